"""From the bytes of a picture file to 8-bit sRGB.

Owns which formats are read, how each kind of pixel becomes RGB, and the limits
that keep a hostile file from taking the memory. Does not crop or resize
(`crop.py`).

A file's name says nothing here: formats are told by content. Only the formats
listed are tried, so that no picture can reach Pillow's rarer readers.
"""

import codecs
import io
import logging
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from trainer.data.rejection import Rejected

log = logging.getLogger("catgan.data")

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000")
# MPO (two pictures of one camera) is opened by the JPEG reader.
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXELS = 100_000_000
BACKGROUND = (255, 255, 255)

DECODING = {
    "alpha": "composited over white",
    "animation": "first frame",
    "profile": "embedded ICC profiles converted to sRGB",
    "orientation": "turned as EXIF says",
    "sixteen_bit": "scaled to 8 bits",
    "max_pixels": MAX_PIXELS,
}

_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*")
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def decode(data: bytes) -> Image.Image:
    """Returns the picture in `data`: mode RGB, 8 bits, sRGB, upright.

    Raises:
        Rejected: It is not a whole picture, or one that is too large to open.
    """
    image = open_header(data)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Rejected("too many pixels", f"{width}x{height}, at most {MAX_PIXELS:,} pixels")
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise whatever their file makes them stumble on
        reason = "cut short" if "truncated" in str(error) else "damaged"
        raise Rejected(reason, _said(error)) from error
    turn = _TURNS.get(_orientation(image))
    try:
        rgb = _to_rgb(image)
    except (Rejected, MemoryError):
        raise
    except Exception as error:  # a header may promise what its pixels do not keep
        raise Rejected("damaged", _said(error)) from error
    return rgb.transpose(turn) if turn is not None else rgb


def _refuse_by_first_bytes(data: bytes) -> None:
    if not data:
        raise Rejected("empty file")
    if len(data) > MAX_FILE_BYTES:
        raise Rejected("file too large", f"{len(data):,} bytes, at most {MAX_FILE_BYTES:,}")
    if data.startswith(b"version https://git-lfs"):
        raise Rejected("Git LFS pointer")


def open_header(data: bytes) -> Image.Image:
    """Returns the picture in `data` as it is stored, with its size known and no pixel decoded.

    Raises:
        Rejected: It does not begin as a picture does.
    """
    _refuse_by_first_bytes(data)
    is_heif = data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS
    formats = (*FORMATS, "HEIF") if is_heif and _register_heif() else FORMATS
    try:
        with warnings.catch_warnings():
            # Large pictures up to our own limit are welcome, and broken EXIF is survived.
            warnings.simplefilter("ignore")
            return Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        if is_heif and "HEIF" not in formats:
            raise Rejected("needs HEIF support") from error
        if _is_text(data[:256]):
            raise Rejected("text in place of a picture", f"begins {data[:40]!r}") from error
        reason = "damaged" if data.startswith(_SIGNATURES) else "not a picture"
        raise Rejected(reason, f"begins {data[:12]!r}") from error
    except Image.DecompressionBombError as error:
        raise Rejected("too many pixels", _said(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # see `decode`
        reason = "unpacks to too much" if "too large" in str(error) else "damaged"
        raise Rejected(reason, _said(error)) from error


def _register_heif() -> bool:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


def _is_text(head: bytes) -> bool:
    try:
        # A letter of several bytes may be cut at the end, where the head was.
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _orientation(image: Image.Image) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a broken EXIF block must not cost a good picture
        return 1


# --- pixels ------------------------------------------------------------------


def _to_rgb(image: Image.Image) -> Image.Image:
    """Returns `image` as RGB over the background, whatever its mode."""
    mode = image.mode
    if mode.startswith("I") or mode == "F":
        return _over_background(_from_deep_grey(image))
    if mode == "LAB":
        return _from_lab(image)
    if mode in ("P", "1", "L", "RGB") and image.info.get("transparency") is None:
        return _to_srgb(image if mode == "RGB" else image.convert("L" if mode in "1L" else "RGB"))
    if mode == "CMYK":
        return _to_srgb(image)
    if image.has_transparency_data:
        return _over_background(_alpha_to_srgb(image.convert("RGBA")))
    return _to_srgb(image.convert("RGB"))


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Returns grey as RGBA, 0..65535 scaled to 0..255 (Pillow itself would clip)."""
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):
            raise Rejected("pixel values of unknown range", f"floats from {low:g} to {high:g}")
        grey = np.round(values * 255)
    else:
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise Rejected("pixel values of unknown range", f"integers from {low} to {high}")
        grey = np.round(values / 257.0)
    transparent = image.info.get("transparency")
    alpha = np.full(grey.shape, 255, np.uint8)
    if isinstance(transparent, int):
        alpha[values == transparent] = 0
    return Image.fromarray(np.dstack([grey.astype(np.uint8), alpha]), "LA").convert("RGBA")


def _over_background(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    canvas.alpha_composite(image)
    return canvas.convert("RGB")


def _alpha_to_srgb(image: Image.Image) -> Image.Image:
    alpha = image.getchannel("A")
    rgb = _to_srgb(image.convert("RGB"), image.info.get("icc_profile"))
    rgb.putalpha(alpha)
    return rgb


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return _transformed(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))


def _transformed(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    result = ImageCms.applyTransform(image, transform)
    if result is None:  # only ever where it was asked to work in place
        raise ValueError("the colour transform gave nothing back")
    return result


def _to_srgb(image: Image.Image, profile: Any = None) -> Image.Image:
    """Returns RGB; colours go through the embedded profile where there is a usable one."""
    profile = profile or image.info.get("icc_profile")
    if isinstance(profile, bytes) and image.mode in ("RGB", "CMYK", "L"):
        try:
            embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(embedded):
                srgb = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(embedded, srgb, image.mode, "RGB")
                return _transformed(image, transform)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            log.debug("unusable colour profile: %s", error)
    return image.convert("RGB")
