"""Converts pictures in many processes, and keeps their order.

Owns how tasks are cut into chunks, how many chunks are under way, and that outcomes come
back in the order of the tasks, whoever works on them. An `Executor` does the work: the
processes of this machine here, or a cluster's (`trainer.launch.prepare_on_ray`).
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from trainer.data.convert import Outcome, Recipe, Task, convert_all, fetch_all
from trainer.data.converter import CannotStart, Converter

log = logging.getLogger("catgan.data")

_CHUNK_BYTES = 4_000_000
_CHUNK_TASKS = 16
_CHUNKS_A_WORKER = 3
_FEW_TASKS = 48
_FEW_BYTES = 16_000_000
_WINDOW_BYTES = 1_000_000_000

Chunk = list[Task]


class Pending(Protocol):
    """A chunk under way."""

    def result(self) -> list[Outcome]:
        """Waits for the outcomes of the chunk, in the order of its tasks.

        Raises:
            CatganError: They cannot be had.
        """


class Executor(Protocol):
    """Whoever converts chunks. What comes out must not depend on which one it is.

    Attributes:
        slots: Chunks it can work on at the same time; may change.
        sends_files: The files of tasks are to be read here, because they cannot be where
            the work is done.
    """

    @property
    def slots(self) -> int: ...  # noqa: D102

    @property
    def sends_files(self) -> bool: ...  # noqa: D102

    def submit(self, chunk: Chunk) -> Pending:
        """Begins work on a chunk and returns at once."""

    def stop(self) -> None:
        """Ends the work; chunks still under way are lost."""


MakeExecutor = Callable[[Recipe], Executor]


def convert_with_workers(
    tasks: Iterable[Task],
    recipe: Recipe,
    workers: int | None = None,
    make_executor: MakeExecutor | None = None,
) -> Generator[Outcome, None, None]:
    """Yields the outcomes of all tasks, in their order. Close it when leaving it early.

    Args:
        tasks: Drawn from as workers become free.
        recipe: What to do with each.
        workers: Processes of this machine; None for one a core.
        make_executor: Who works; default: those processes.

    Raises:
        CatganError: A source failed, or those who work did.
    """
    remaining = iter(tasks)
    executor: Executor | None
    if make_executor is not None:
        executor = make_executor(recipe)
    else:
        first = _first_few(remaining)
        workers = workers or len(os.sched_getaffinity(0))
        if len(first) < _FEW_TASKS and sum(len(task.data or b"") for task in first) < _FEW_BYTES:
            workers = 1  # not worth more processes
        # Foreign files may crash a decoder; what the program draws itself does not.
        is_harmless = all(task.ref[0] == "drawn" for task in first)
        executor = None if workers == 1 and is_harmless else _local(recipe, workers)
        remaining = _followed_by(first, remaining)
    if executor is None:
        for chunk in _chunks(remaining, recipe):
            yield from convert_all(chunk, recipe)
        return
    try:
        yield from _in_order(remaining, recipe, executor)
    finally:
        executor.stop()


def _first_few(tasks: Iterator[Task]) -> list[Task]:
    first: list[Task] = []
    held = 0
    while len(first) < _FEW_TASKS and held < _FEW_BYTES:
        task = next(tasks, None)
        if task is None:
            break
        first.append(task)
        held += len(task.data or b"")
    return first


def _local(recipe: Recipe, workers: int) -> "LocalExecutor | None":
    try:
        return LocalExecutor(recipe, workers)
    except CannotStart as error:
        log.warning("%s; this process works alone", error.what)
        return None


class LocalExecutor:
    """Processes of this machine.

    Args:
        recipe: What to do with each task.
        workers: At most so many processes; they are started as chunks come.

    Raises:
        CannotStart: Not even the first can be started.
    """

    sends_files = False

    def __init__(self, recipe: Recipe, workers: int) -> None:
        self._recipe = recipe
        self.slots = workers
        first = Converter(recipe)
        first.start()
        self._idle: deque[Converter] = deque([first])
        self._all = [first]
        self._lock = threading.Lock()
        # A thread for each process: it waits for the answers.
        self._threads = ThreadPoolExecutor(workers, "converter")

    def submit(self, chunk: Chunk) -> Future[list[Outcome]]:
        """Begins work on a chunk."""
        return self._threads.submit(self._convert, chunk)

    def stop(self) -> None:
        """Ends all processes."""
        with self._lock:
            for converter in self._all:
                converter.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for converter in self._all:
            converter.close()

    def _convert(self, chunk: Chunk) -> list[Outcome]:
        with self._lock:
            if not self._idle:
                self._all.append(Converter(self._recipe))
                self._idle.append(self._all[-1])
            converter = self._idle.popleft()
        try:
            return converter.convert(chunk)
        finally:
            self._idle.append(converter)


def _in_order(tasks: Iterable[Task], recipe: Recipe, executor: Executor) -> Iterator[Outcome]:
    """Keeps enough chunks under way that nobody waits, and few enough to bound the memory."""
    if executor.sends_files:
        tasks = fetch_all(tasks, recipe)
    waiting: deque[tuple[Pending, int]] = deque()
    held = 0
    for chunk in _chunks(tasks, recipe):
        size = sum(_bytes_of(task, recipe) for task in chunk)
        held += size
        waiting.append((executor.submit(chunk), size))
        while len(waiting) >= executor.slots * _CHUNKS_A_WORKER or held > _WINDOW_BYTES:
            pending, size = waiting.popleft()
            yield from pending.result()
            held -= size
    while waiting:
        yield from waiting.popleft()[0].result()


def _followed_by(first: Iterable[Task], rest: Iterable[Task]) -> Iterator[Task]:
    yield from first
    yield from rest


def _bytes_of(task: Task, recipe: Recipe) -> int:
    return max(recipe.size_px**2 * 3, len(task.data or b""))


def _chunks(tasks: Iterable[Task], recipe: Recipe) -> Iterator[Chunk]:
    """Yields tasks in lots that are worth a message to another process, but not large."""
    chunk: Chunk = []
    held = 0
    for task in tasks:
        chunk.append(task)
        held += _bytes_of(task, recipe)
        if len(chunk) == _CHUNK_TASKS or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk
