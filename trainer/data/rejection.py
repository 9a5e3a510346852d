"""Why a file of a source did not become a picture.

Owns the reasons and their remedies. `decode.py`, `crop.py` and the sources
raise `Rejected`; `prepare.py` counts it and lists it in `rejected.jsonl`.
"""

UNREADABLE_FOLDER = "unreadable folder"
REMEDIES = {
    "excluded": "",
    "duplicate": "leave --dedup away to keep near-duplicates",
    "empty file": "download it again",
    "not a picture": "",
    "text in place of a picture": "download it again",
    "Git LFS pointer": "run 'git lfs pull' in the source",
    "cut short": "download it again",
    "damaged": "download it again",
    "too many pixels": "make it smaller with another program",
    "unpacks to too much": "",
    "file too large": "make it smaller with another program",
    "needs HEIF support": "pip install pillow-heif",
    "pixel values of unknown range": "convert it to 8 or 16 bits with another program",
    "smaller than asked for": "ask for a smaller --size",
    "not square": "take --crop center",
    "no cat face found": "take --crop center",
    "no landmarks": "put a .cat file beside it, or take --crop face",
    "landmarks cannot be a face": "correct its .cat file, or --exclude it",
    "face cut off by the edge": "",
    "link in an archive": "pack the files themselves, not links",
    "device in an archive": "",
    "encrypted": "unpack the archive with its password and give the folder",
    "name that cannot be read": "rename it",
    "unreadable": "check its permissions",
    UNREADABLE_FOLDER: "check its permissions",
    "decoder crashed": "",
    "too slow to decode": "convert it with another program",
}


class Rejected(Exception):
    """A file is left out.

    Args:
        reason: A key of `REMEDIES`.
        detail: What was found, with the values.
        side_px: Where the picture was too small: the side it could have had.
    """

    def __init__(self, reason: str, detail: str = "", side_px: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.side_px = side_px
