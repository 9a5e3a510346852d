"""Worker processes that convert pictures.

Owns the processes: how many tasks are under way, what happens when one dies,
and that none outlives the program. What they do is `convert.py`.

Results come back in the order of the tasks. Few tasks are under way at a time,
so memory does not grow with their number.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection

from trainer.data.convert import Outcome, Recipe, Task, convert_all

_CHUNK_BYTES = 4_000_000
_CHUNK_TASKS = 16
_CHUNKS_A_WORKER = 3
_FEW_TASKS = 48

Chunk = list[Task]


def convert_with_workers(
    tasks: Iterable[Task], recipe: Recipe, workers: int | None
) -> Iterator[Outcome]:
    """Yields the outcomes of all tasks, in their order.

    Args:
        tasks: Drawn from as workers become free.
        recipe: What to do with each.
        workers: Processes; None for one a core. With 1, and for a few tasks,
            this process does the work itself.
    """
    workers = workers or len(os.sched_getaffinity(0))
    chunks = _chunks(tasks, recipe)
    first = list(islice(chunks, 1 + _FEW_TASKS // _CHUNK_TASKS))
    if workers == 1 or sum(len(chunk) for chunk in first) < _FEW_TASKS:
        for chunk in _followed_by(first, chunks):
            yield from convert_all(chunk, recipe)
        return
    pool = _Pool(recipe, workers)
    try:
        yield from pool.run(_followed_by(first, chunks))
    finally:
        pool.stop()


def _followed_by(first: Iterable[Chunk], rest: Iterable[Chunk]) -> Iterator[Chunk]:
    yield from first
    yield from rest


def _chunks(tasks: Iterable[Task], recipe: Recipe) -> Iterator[Chunk]:
    """Yields tasks in lots that are worth a message to another process, but not large."""
    result_bytes = recipe.size_px**2 * 3
    chunk: Chunk = []
    held = 0
    for task in tasks:
        chunk.append(task)
        held += max(result_bytes, len(task.data or b""))
        if len(chunk) == _CHUNK_TASKS or held >= _CHUNK_BYTES:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


class _Pool:
    def __init__(self, recipe: Recipe, workers: int) -> None:
        self._recipe, self._workers = recipe, workers
        # Not forked: the program may hold threads (TensorFlow's) that a fork would break.
        self._context = multiprocessing.get_context("spawn")
        self._start(workers)

    def _start(self, workers: int) -> None:
        # Workers end when the other end of this pipe closes: at `stop`, or when this
        # process dies, even by SIGKILL.
        leash, self._hold = self._context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            workers, self._context, initializer=_begin_worker, initargs=(leash,)
        )
        self._leash = leash

    def stop(self) -> None:
        """Ends the workers once the chunks in their hands are done; starts no others.

        In this order: a worker that the leash ends while it sends its outcome leaves half a
        message in the pipe, and the executor would wait for the other half for ever.
        """
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._hold.close()
        self._leash.close()

    def run(self, chunks: Iterator[Chunk]) -> Iterator[Outcome]:
        waiting: deque[tuple[Future[list[Outcome]], Chunk]] = deque()
        for chunk in chunks:
            waiting.append((self._submit(chunk), chunk))
            if len(waiting) >= self._workers * _CHUNKS_A_WORKER:
                yield from self._collect(waiting)
        while waiting:
            yield from self._collect(waiting)

    def _submit(self, chunk: Chunk) -> "Future[list[Outcome]]":
        try:
            return self._executor.submit(convert_all, chunk, self._recipe)
        except BrokenProcessPool as error:
            broken: Future[list[Outcome]] = Future()
            broken.set_exception(error)
            return broken

    def _collect(self, waiting: "deque[tuple[Future[list[Outcome]], Chunk]]") -> list[Outcome]:
        future, chunk = waiting.popleft()
        try:
            return future.result()
        except BrokenProcessPool:
            return self._one_by_one([chunk, *(later for _, later in _drain(waiting))])

    def _one_by_one(self, chunks: list[Chunk]) -> list[Outcome]:
        """Finds the file that killed a worker: each task alone, in a process of its own kind.

        A decoder's crash takes its process along, and with it every chunk that
        was under way; only the file that crashes again by itself is left out.
        """
        outcomes = []
        self._restart(1)
        for task in (task for chunk in chunks for task in chunk):
            try:
                outcomes += self._submit([task]).result()
            except BrokenProcessPool:
                detail = "the process that opened it died"
                outcomes.append(Outcome(task.number, None, "decoder crashed", detail))
                self._restart(1)
        self._restart(self._workers)
        return outcomes

    def _restart(self, workers: int) -> None:
        self.stop()
        self._start(workers)


def _drain(
    waiting: "deque[tuple[Future[list[Outcome]], Chunk]]",
) -> Iterator[tuple["Future[list[Outcome]]", Chunk]]:
    while waiting:
        yield waiting.popleft()


def _begin_worker(leash: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent to handle
    threading.Thread(target=_end_with_parent, args=(leash,), daemon=True).start()


def _end_with_parent(leash: Connection) -> None:
    with suppress(EOFError, OSError):
        leash.recv_bytes()
    os._exit(1)
