"""What a worker process does: from one item of a source to one framed record.

Owns the chain read, decode, crop, encode. Holds no state and knows neither the
other items nor the ledger, so the result cannot depend on who runs it.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice

from PIL import Image

from trainer.data.crop import crop_and_resize
from trainer.data.decode import decode
from trainer.data.dedup import signature
from trainer.data.encode import encode
from trainer.data.items import Ref
from trainer.data.reading import read
from trainer.data.records import frame, write_example
from trainer.data.rejection import Rejected

READERS_AT_ONCE = 8
_LANDMARK_BYTES = 4096


@dataclass(frozen=True)
class Recipe:
    """What is done to every picture; the same for all of a data set.

    Attributes:
        size_px, crop, encoding, dedup: See `PrepareOptions`.
        decode_secs: A picture that takes longer than this, once it is read, is left out.
    """

    size_px: int
    crop: str
    encoding: str
    dedup: bool
    decode_secs: float = 60.0


@dataclass(frozen=True)
class Task:
    """One item to convert.

    Attributes:
        number: Of the item in the ledger.
        name: Its name in the source.
        ref, landmarks: How its files are read.
        data: Its bytes, where they have been read already.
        must_be_picture: That it is none is worth telling.
        refusal: Reason and detail, where reading it has failed already.
    """

    number: int
    name: str
    ref: Ref
    landmarks: Ref | None = None
    data: bytes | None = None
    must_be_picture: bool = True
    refusal: tuple[str, str] | None = None


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


def fetch(task: Task, recipe: Recipe) -> Task:
    """Returns the task with the bytes of its files in it; any machine can do it then.

    Raises:
        StorageError: A bucket failed for longer than its deadline.
    """
    if task.ref[0] == "drawn" or task.refusal is not None:
        return task
    try:
        data = read(task.ref) if task.data is None else task.data
        landmarks = task.landmarks
        if recipe.crop == "landmarks" and landmarks is not None:
            landmarks = ("bytes", read(landmarks)[:_LANDMARK_BYTES])
    except Rejected as why:
        return replace(task, refusal=(why.reason, why.detail))
    except MemoryError:
        return replace(task, refusal=_NO_MEMORY)
    return replace(task, data=data, landmarks=landmarks)


def fetch_all(tasks: Iterable[Task], recipe: Recipe) -> Iterator[Task]:
    """Yields what `fetch` returns for each, in order, and reads a few at once and ahead."""
    remaining = iter(tasks)
    with ThreadPoolExecutor(READERS_AT_ONCE) as threads:
        ahead: deque[Future[Task]] = deque(
            threads.submit(fetch, task, recipe) for task in islice(remaining, READERS_AT_ONCE)
        )
        while ahead:
            done = ahead.popleft().result()
            ahead.extend(threads.submit(fetch, task, recipe) for task in islice(remaining, 1))
            yield done


def convert_all(
    tasks: Sequence[Task],
    recipe: Recipe,
    limited: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> list[Outcome]:
    """Returns the outcomes of a few tasks, in their order.

    Args:
        tasks: The tasks.
        recipe: What to do with each.
        limited: Held around the work on each that has been read.
    """
    # A bucket answers in tens of milliseconds, whatever the size: ask for several at once.
    is_far = any(task.ref[0] == "bucket" for task in tasks)
    outcomes = []
    for task in fetch_all(tasks, recipe) if is_far else (fetch(t, recipe) for t in tasks):
        with limited():
            outcomes.append(convert(task, recipe))
    return outcomes


def convert(task: Task, recipe: Recipe) -> Outcome:
    """Returns what becomes of one item; a picture that is rejected is an outcome, not an error."""
    task = fetch(task, recipe)
    try:
        image, attributes = _picture(task, recipe)
    except Rejected as why:
        if not task.must_be_picture and why.reason in _NO_PICTURE:
            return Outcome(task.number)
        return Outcome(task.number, None, why.reason, why.detail, why.side_px)
    except MemoryError:
        return Outcome(task.number, None, *_NO_MEMORY)
    record = frame(write_example(encode(image, recipe.encoding), task.name))
    mark = signature(image) if recipe.dedup else None
    return Outcome(task.number, record, signature=mark, attributes=attributes)


_NO_MEMORY = ("too many pixels", "not enough memory to open it")
_NO_PICTURE = ("not a picture", "text in place of a picture", "empty file", "unreadable")


def _picture(task: Task, recipe: Recipe) -> tuple[Image.Image, str | None]:
    if task.ref[0] == "drawn":
        from trainer.data.drawn import draw_cat

        _, index, seed = task.ref
        pixels, attributes = draw_cat(index, seed, recipe.size_px)
        return Image.fromarray(pixels), json.dumps({"id": task.name, **attributes})
    if task.refusal is not None:
        raise Rejected(*task.refusal)
    landmarks = None
    if recipe.crop == "landmarks" and task.landmarks is not None:
        landmarks = read(task.landmarks)[:_LANDMARK_BYTES].decode("latin-1")
    return crop_and_resize(decode(task.data or b""), recipe.crop, recipe.size_px, landmarks), None
