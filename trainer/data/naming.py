"""What a file's name says before it is opened.

Owns which files are passed over unopened. A picture's format is never taken
from its name (`decode.py`), but a folder of pictures also holds licences,
tables and what operating systems leave behind.
"""

from typing import Literal

Kind = Literal["picture", "perhaps", "landmarks", "side file"]

LANDMARK_SUFFIX = ".cat"
MAX_NOTE_BYTES = 64 * 1024


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PICTURES = _words(
    "jpg jpeg jpe jfif jif mpo png apng gif webp bmp dib tif tiff avif heif heic hif "
    "ppm pgm pbm pnm jp2 j2k jpg_large"
)
_SIDE_FILES = _words(
    "txt md rst json jsonl csv tsv xml html htm yaml yml toml ini cfg log db pdf doc docx "
    "py ipynb sh bat mat npy npz pkl pb pt pth h5 tfrecord parquet arrow sqlite url lnk part "
    "zip tar gz tgz bz2 xz 7z rar mp4 mov avi mkv webm mp3 wav svg ps eps ai psd xcf exe dll "
    "sha256 md5 sum crc aae xmp thm license"
)
_SIDE_NAMES = _words("license licence readme copying notice authors thumbs desktop makefile")


def kind_of(name: str) -> Kind:
    """Returns what a file may be, by its path inside the source.

    `picture`: must turn out to be one, else it is rejected. `perhaps`: a name
    that says nothing; taken if it holds a picture, passed over if not.
    """
    parts = name.replace("\\", "/").split("/")
    if any(part.startswith(".") or part == "__MACOSX" for part in parts if part not in (".", "..")):
        return "side file"
    base = parts[-1].lower()
    stem, dot, suffix = base.rpartition(".")
    if base.endswith(LANDMARK_SUFFIX):
        return "landmarks"
    if dot and suffix in _PICTURES:
        return "picture"
    if suffix in _SIDE_FILES or (stem or base) in _SIDE_NAMES or base in _SIDE_NAMES:
        return "side file"
    return "perhaps"


def is_licence(name: str) -> bool:
    """Tells whether a file states the licence of its source: at the top, or one folder down."""
    parts = name.replace("\\", "/").split("/")
    stem = parts[-1].lower().split(".")[0]
    is_named_so = len(parts) <= 2 and stem in ("license", "licence", "copying")
    return is_named_so and kind_of(name) == "side file"


def is_note(name: str) -> bool:
    """Tells whether a file is a small one that is read beside the pictures."""
    return kind_of(name) == "landmarks" or is_licence(name)
