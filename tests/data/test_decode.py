"""Awkward files, one by one: what each becomes, or why it does not."""

import builtins
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trainer.data import decode as decoding
from trainer.data.decode import decode
from trainer.data.rejection import REMEDIES, Rejected

HOPPER = (128, 128, (89.7, 80.1, 95.4))
DICE = (200, 150, (211, 202.7, 204))
BLACK_CAT = (500, 375, (79.2, 78.9, 79.0))

# Width, height and mean colour as they must come out.
CONVERTED = {
    "Kätzchen im Garten (1).JPG": BLACK_CAT,
    "adobe-rgb.jpg": (100, 100, (28, 4.5, 3.5)),
    "alpha.webp": DICE,
    "animated.gif": (320, 240, (249.7, 250.9, 247)),
    "animated.webp": (245, 245, (134.6, 136.6, 90.2)),
    "apng16.png": (128, 64, (255, 0, 0)),
    "bad-exif.jpg": (500, 500, (125.5, 125.5, 125.5)),
    "cmyk.jpg": (100, 100, (30.2, 5.4, 7.4)),
    "cmyk.tif": (100, 100, (30.2, 5.4, 7.4)),
    "exif-orientation-3.jpg": HOPPER,
    "exif-orientation-5.jpg": HOPPER,
    "exif-orientation-6.jpg": HOPPER,
    "exif-orientation-6.webp": HOPPER,
    "exif-typeerror.jpg": (800, 531, (160.5, 159.6, 141.7)),
    "gray.jpg": (128, 128, (84.7, 84.7, 84.7)),
    "gray16.png": (64, 64, (35.1, 35.1, 35.1)),
    "hopper.tif": HOPPER,
    "junk-header.jpg": (1024, 768, (117.1, 115.8, 116.8)),
    "junk-tail.jpg": BLACK_CAT,
    "lab.tif": HOPPER,
    "mpo-named.jpg": (640, 480, (120.5, 108.9, 99.1)),
    "one-pixel.png": (1, 1, (255, 255, 255)),
    "pages.tiff": (10, 10, (0, 128, 0)),
    "palette-plain.png": (127, 64, (119.4, 116.8, 120.5)),
    "palette.png": (162, 150, (190.1, 188.8, 171.6)),
    "photo.avif": HOPPER,
    "photo.bmp": HOPPER,
    "photo.webp": (480, 360, (119.4, 132.1, 94.3)),
    "png-named.jpg": HOPPER,
    "progressive.jpg": (256, 160, (119.8, 120.2, 102.9)),
    "rgb16.tif": (100, 40, (41.8, 28.8, 21.6)),
    "rgba.png": DICE,
    "still.gif": HOPPER,
    "webp-named.jpg": HOPPER,
}
REJECTED = {
    ".DS_Store": "not a picture",
    "README.txt": "text in place of a picture",
    "bomb-text.png": "unpacks to too much",
    "bomb.gif": "too many pixels",
    "broken-stream.png": "damaged",
    "empty.jpg": "empty file",
    "error-page.jpg": "text in place of a picture",
    "half.jpg": "cut short",
    "header-only.png": "damaged",
    "lfs-pointer.jpg": "Git LFS pointer",
    "truncated-progressive.jpg": "cut short",
    "truncated.png": "cut short",
}
WITH_EXTRA = {"photo.heif"}


@pytest.fixture
def awkward(shared_data):
    return shared_data / "awkward"


def test_the_tables_know_every_file(awkward):
    found = {path.name for path in awkward.iterdir()}
    assert found == {*CONVERTED, *REJECTED, *WITH_EXTRA}


@pytest.mark.parametrize("name", CONVERTED)
def test_converts(awkward, name):
    width, height, colour = CONVERTED[name]
    image = decode((awkward / name).read_bytes())
    assert image.mode == "RGB"
    assert image.size == (width, height)
    # Lossy formats and the trip through Lab differ by a little.
    np.testing.assert_allclose(np.asarray(image).mean((0, 1)), colour, atol=1.5)


@pytest.mark.parametrize("name", REJECTED)
def test_rejects(awkward, name):
    with pytest.raises(Rejected) as caught:
        decode((awkward / name).read_bytes())
    assert caught.value.reason == REJECTED[name]
    assert caught.value.reason in REMEDIES


@pytest.mark.parametrize(
    "name", [name for name, expected in CONVERTED.items() if expected is HOPPER]
)
def test_all_portraits_are_the_same_upright_picture(awkward, name):
    """Orientation, Lab, palette, HEIF's cousin AVIF …: pixel by pixel, not only on average."""
    reference = np.asarray(decode((awkward / "photo.bmp").read_bytes())).astype(float)
    pixels = np.asarray(decode((awkward / name).read_bytes())).astype(float)
    assert np.abs(pixels - reference).mean() < 8


def test_heif_is_read_where_the_extra_is_installed(awkward):
    pytest.importorskip("pillow_heif", reason="needs pip install pillow-heif")
    image = decode((awkward / "photo.heif").read_bytes())
    assert image.size == (128, 128)
    np.testing.assert_allclose(np.asarray(image).mean((0, 1)), HOPPER[2], atol=1.5)


def test_heif_without_the_extra_names_it(awkward, monkeypatch):
    real = builtins.__import__

    def without_heif(name, *args, **kwargs):
        if name == "pillow_heif":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_heif)
    with pytest.raises(Rejected) as caught:
        decode((awkward / "photo.heif").read_bytes())
    assert caught.value.reason == "needs HEIF support"
    assert "pillow-heif" in REMEDIES[caught.value.reason]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"x" + "ä".encode() * 200, "text in place of a picture"),  # cut inside a letter
        (b"\xff\xfe\xfa\xfb", "not a picture"),
        (b"words \xff words", "not a picture"),
    ],
)
def test_text_is_what_is_whole_utf8(data, reason):
    with pytest.raises(Rejected) as caught:
        decode(data)
    assert caught.value.reason == reason


def encoded(image: Image.Image, kind: str = "png", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp))))
    np.testing.assert_array_equal(pixels[..., 0], np.round(ramp / 257.0))
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def test_alpha_is_composited_over_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 128))
    pixels = np.asarray(decode(encoded(image)))
    assert pixels[3, 3].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == [127, 127, 127]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation):
    image = Image.new("RGB", (6, 4), (0, 0, 0))
    image.putpixel((1, 0), (255, 255, 255))
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = image if orientation == 1 else image.transpose(Image.Transpose(turns[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(decode(encoded(stored, exif=exif)))
    np.testing.assert_array_equal(pixels, np.asarray(image))


def test_float_pixels_of_unknown_range_are_rejected():
    with pytest.raises(Rejected, match="unknown range"):
        decode(encoded(Image.fromarray(np.full((4, 4), 300.0, np.float32)), "tiff"))
    half = decode(encoded(Image.fromarray(np.full((4, 4), 0.5, np.float32)), "tiff"))
    assert np.asarray(half).max() == 128


def test_thirty_two_bit_integers_are_rejected():
    with pytest.raises(Rejected, match="unknown range"):
        decode(encoded(Image.fromarray(np.full((4, 4), 2**20, np.int32)), "tiff"))


def test_an_embedded_profile_changes_the_colours():
    from PIL import ImageCms

    image = Image.new("RGB", (4, 4), (200, 100, 50))
    assert np.asarray(decode(encoded(image)))[0, 0].tolist() == [200, 100, 50]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = np.asarray(decode(encoded(image, icc_profile=srgb))).astype(int)
    np.testing.assert_allclose(same[0, 0], [200, 100, 50], atol=1)
    broken = np.asarray(decode(encoded(image, icc_profile=b"nothing of the kind")))
    assert broken[0, 0].tolist() == [200, 100, 50]


def test_a_header_that_promises_too_many_pixels_is_believed():
    """A PNG of 70,000 x 70,000 in a few bytes is refused before anything is unpacked."""
    header = struct.pack(">IIBBBBB", 70_000, 70_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(Rejected, match="too many pixels"):
        decode(data)


def test_our_own_limit_holds_below_pillows(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 99)
    with pytest.raises(Rejected, match="10x10, at most 99"):
        decode(encoded(Image.new("RGB", (10, 10))))


def test_postscript_is_never_interpreted():
    with pytest.raises(Rejected):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")


def _small_files() -> list[bytes]:
    image = Image.fromarray(np.random.RandomState(0).randint(0, 256, (9, 7, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    return [
        encoded(image),
        encoded(image, "jpeg", exif=exif),
        encoded(image.convert("CMYK"), "jpeg"),
        encoded(image.convert("P"), "gif"),
        encoded(image, "webp"),
        encoded(image, "tiff", compression="tiff_lzw"),
        encoded(image, "bmp"),
        encoded(image.convert("RGBA"), "png"),
        encoded(Image.fromarray(np.arange(63, dtype=np.uint16).reshape(9, 7)), "png"),
        encoded(image, "avif"),
        encoded(image, "jpeg2000"),
        encoded(image, "ppm"),
    ]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_anywhere_gives_a_picture_or_a_reason(data):
    """Nothing else may come out: one odd file among a million must not end the work."""
    original = bytearray(data.draw(st.sampled_from(_small_files())))
    for _ in range(data.draw(st.integers(1, 4))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(original)))
    damaged = bytes(original[:cut] if data.draw(st.booleans()) else original)
    try:
        image = decode(damaged)
    except Rejected as why:
        reason = why.reason
    else:
        assert (image.mode, min(image.size) > 0) == ("RGB", True)
        return
    assert reason in REMEDIES
