"""What a worker process does: from one item of a source to one framed record.

Owns the chain read, decode, crop, encode. Holds no state and knows neither the
other items nor the ledger, so the result cannot depend on who runs it.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from PIL import Image

from trainer.data.crop import crop_and_resize
from trainer.data.decode import decode
from trainer.data.dedup import signature
from trainer.data.encode import encode
from trainer.data.items import Ref
from trainer.data.reading import read
from trainer.data.records import frame, write_example
from trainer.data.rejection import Rejected

_READERS_AT_ONCE = 8


@dataclass(frozen=True)
class Recipe:
    """What is done to every picture; the same for all of a data set."""

    size_px: int
    crop: str
    encoding: str
    dedup: bool


@dataclass(frozen=True)
class Task:
    """One item to convert; `data` is set where the source streams it."""

    number: int
    name: str
    ref: Ref
    landmarks: Ref | None = None
    data: bytes | None = None
    must_be_picture: bool = True


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a framed record, or a reason (empty for `not a picture at all`)."""

    number: int
    record: bytes | None = None
    reason: str = ""
    detail: str = ""
    side_px: int | None = None
    signature: bytes | None = None
    attributes: str | None = None


def convert_all(tasks: Sequence[Task], recipe: Recipe) -> list[Outcome]:
    """Returns the outcomes of a few tasks, in their order."""
    if any(task.ref[0] == "bucket" for task in tasks):
        # A bucket answers in tens of milliseconds, whatever the size: ask for several at once.
        with ThreadPoolExecutor(_READERS_AT_ONCE) as threads:
            return list(threads.map(lambda task: convert(task, recipe), tasks))
    return [convert(task, recipe) for task in tasks]


def convert(task: Task, recipe: Recipe) -> Outcome:
    """Returns what becomes of one item; a picture that is rejected is an outcome, not an error."""
    try:
        image, attributes = _picture(task, recipe)
    except Rejected as why:
        if not task.must_be_picture and why.reason in _NO_PICTURE:
            return Outcome(task.number)
        return Outcome(task.number, None, why.reason, why.detail, why.side_px)
    except MemoryError:
        return Outcome(task.number, None, "too many pixels", "not enough memory to open it")
    record = frame(write_example(encode(image, recipe.encoding), task.name))
    mark = signature(image) if recipe.dedup else None
    return Outcome(task.number, record, signature=mark, attributes=attributes)


_NO_PICTURE = ("not a picture", "text in place of a picture", "empty file", "unreadable")


def _picture(task: Task, recipe: Recipe) -> tuple[Image.Image, str | None]:
    if task.ref[0] == "drawn":
        from trainer.data.drawn import draw_cat

        _, index, seed = task.ref
        pixels, attributes = draw_cat(index, seed, recipe.size_px)
        return Image.fromarray(pixels), json.dumps({"id": task.name, **attributes})
    data = read(task.ref) if task.data is None else task.data
    landmarks = None
    if recipe.crop == "landmarks" and task.landmarks is not None:
        landmarks = read(task.landmarks)[:4096].decode("latin-1")
    return crop_and_resize(decode(data), recipe.crop, recipe.size_px, landmarks), None
