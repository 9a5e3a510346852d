"""Kinds of bad input: what is done wrong, and what the program must say.

Each kind is a function that spoils something in a folder and returns the
command's arguments. They are listed in the modules `bad_…` beside this one; the
test is in `test_bad_input`.
"""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Kind:
    """One kind of bad input.

    Attributes:
        spoil: Makes it, and returns the arguments of `catgan`.
        code: Exit code.
        parts: What standard error must hold.
        found_late: A run may have begun: only reading every picture shows it.
    """

    spoil: Callable
    code: int
    parts: tuple[str, ...]
    found_late: bool = False


KINDS: dict[str, Kind] = {}


def bad(code, *parts, found_late=False):
    """Adds a kind of bad input to the list."""

    def add(spoil):
        KINDS[spoil.__name__] = Kind(spoil, code, parts, found_late)
        return spoil

    return add


@dataclass(frozen=True)
class Place:
    """The folder a command runs in: `tiny.yaml`, and on request a finished run.

    Attributes:
        folder: Empty but for `tiny.yaml`.
        trained: Holds `runs/tiny` and `datasets/tiny`; not to be changed.
    """

    folder: Path
    trained: Path

    def run(self) -> Path:
        """Copies the finished run here."""
        return shutil.copytree(self.trained / "runs/tiny", self.folder / "runs/tiny")

    def dataset(self) -> Path:
        """Copies the data set here, where tiny.yaml expects it."""
        return shutil.copytree(self.trained / "datasets/tiny", self.folder / "datasets/tiny")

    def file(self, name: str, content: str | bytes = "") -> Path:
        """Writes a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def picture(self, name: str, width: int = 40, height: int = 40) -> Path:
        """Writes a PNG."""
        stream = io.BytesIO()
        noise = np.random.default_rng(len(name)).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(stream, "png")
        return self.file(name, stream.getvalue())


def flip(path, at=-50):
    """Flips one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def change_json(path, **changes):
    """Changes fields of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
