"""`prepare` on a Ray cluster: pictures are converted by Ray tasks.

Owns what a task is, what happens when the cluster loses one, and who reads a file that
only this machine has. The outcomes are those of `trainer.data.pool`, whose order and
window hold here too; so the data set has the same bytes.

Each Ray worker lets a converting process of its own do the work (`data.converter`), as on
one machine: a file that crashes a decoder costs no Ray worker.
"""

import functools
import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from trainer.data.convert import Outcome, Recipe, Task, fetch
from trainer.data.converter import Converter
from trainer.data.pool import Chunk, MakeExecutor
from trainer.errors import CatganError, ClusterError
from trainer.launch import ray_package
from trainer.launch.ray_address import last_line
from trainer.launch.ray_cluster import connected, nodes
from trainer.launch.ray_package import Mark, Package

log = logging.getLogger("catgan")

PATIENCE_SECS = 1800.0
"""How long the cluster may finish no chunk at all."""
_SAY_SO_EVERY_SECS = 60.0
_LOOK_EVERY_SECS = 5.0
_RETRIES = 3
_LIBRARIES = ("pillow", "numpy", "opencv-python-headless")
_ON_THIS_MACHINE = ("file", "range", "zip")


@contextmanager
def on_ray(
    address: str, *, workers: int | None = None, package: Package = "code"
) -> Iterator[MakeExecutor]:
    """Gives `prepare` a cluster to convert pictures on, while the block runs.

    Args:
        address: See `ray_cluster.connected`.
        workers: At most so many tasks at once; default: one for each core. Of a local
            cluster also its cores.
        package: How this package gets to the cluster's workers.

    Raises:
        ClusterError: The cluster cannot be reached or has no core to give.
    """
    with ExitStack() as stack:

        def connect() -> None:
            connection = stack.enter_context(connected(address, cpus=workers, package=package))
            _must_have_cores(connection.address)

        def make_executor(recipe: Recipe) -> RayExecutor:
            if address == "local":
                connect()
            return RayExecutor(recipe, workers)

        # An address is tried before anything is written; a cluster of our own can wait until
        # it is known that there is something to convert.
        if address != "local":
            connect()
        yield make_executor


def _must_have_cores(address: str) -> None:
    found = nodes()
    cpus = sum(node.cpus for node in found)
    if cpus < 1:
        raise ClusterError(
            f"the cluster at {address} has no cores to give: its {len(found)} nodes offer {cpus:g}",
            expected="at least one, for one task",
            remedy="start its nodes with --num-cpus, or leave --address away",
        )
    log.info("converting on %d nodes with %g cores, cluster %s", len(found), cpus, address)


@dataclass(frozen=True)
class _Order:
    """What every task is told.

    Attributes:
        recipe: What to do.
        mark: What the worker must have in common with the driver.
        homes: Ids of the nodes that can read this machine's files.
    """

    recipe: Recipe
    mark: Mark
    homes: frozenset[str]


class RayExecutor:
    """Ray tasks as an executor of `trainer.data.pool`. Only inside `connected`.

    Args:
        recipe: What to do with each task.
        workers: At most so many tasks at once; default: one for each core.
    """

    def __init__(self, recipe: Recipe, workers: int | None = None) -> None:
        import ray

        found = nodes()
        here = frozenset(node.id for node in found if node.is_here)
        self.sends_files = len(here) < len(found)
        order = _Order(recipe, ray_package.mark(*_LIBRARIES), here)
        self._recipe, self._workers = recipe, workers
        self._order = ray.put(order)
        # Nothing but a lost node or worker is tried again: a file's fault is no exception.
        options = {"num_cpus": 1, "max_retries": _RETRIES, "scheduling_strategy": "SPREAD"}
        self._remote = ray.remote(**options)(_convert)
        self._running: dict[Any, None] = {}
        self._progress = time.monotonic()
        self._cpus, self._looked = sum(node.cpus for node in found), time.monotonic()

    @property
    def slots(self) -> int:
        """Cores of the cluster as it is now."""
        if time.monotonic() - self._looked > _LOOK_EVERY_SECS:
            self._cpus, self._looked = sum(node.cpus for node in nodes()), time.monotonic()
        return max(1, min(int(self._cpus), self._workers or int(self._cpus)))

    def submit(self, chunk: Chunk) -> "_Pending":
        """Begins work on a chunk."""
        return _Pending(self, chunk)

    def stop(self) -> None:
        """Takes back what has not begun."""
        import ray

        for reference in self._running:
            ray.cancel(reference, force=False)
        self._running.clear()

    def begin(self, chunk: Chunk) -> Any:
        """Hands a chunk to the cluster; returns Ray's reference."""
        reference = self._remote.remote(chunk, self._order)
        self._running[reference] = None
        return reference

    def outcomes(self, chunk: Chunk, reference: Any) -> list[Outcome]:
        """Waits for the outcomes of a chunk that was begun.

        Raises:
            ray.exceptions.RayError: The cluster lost it again and again.
            CatganError: What the task raised.
        """
        found = self._wait(reference)
        if found is None:
            # A node that came later, and is not this machine: send the bytes along.
            found = self._wait(self.begin([fetch(task, self._recipe) for task in chunk]))
        return found or []

    def _wait(self, reference: Any) -> list[Outcome] | None:
        import ray

        try:
            self._wait_until_done(reference)
            return ray.get(reference, timeout=PATIENCE_SECS)
        except ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        finally:
            self._running.pop(reference, None)

    def _wait_until_done(self, reference: Any) -> None:
        import ray

        said, before = time.monotonic(), -1
        while not ray.wait([reference], timeout=_LOOK_EVERY_SECS, fetch_local=False)[0]:
            now, running = time.monotonic(), list(self._running)
            finished = len(ray.wait(running, num_returns=len(running), timeout=0)[0])
            if finished != before:
                before, self._progress = finished, now
            if now - self._progress > PATIENCE_SECS:
                raise ClusterError(
                    f"the cluster has finished no picture for {PATIENCE_SECS / 60:.0f} minutes",
                    expected="a free core",
                    remedy="look with 'ray status' at who holds its cores, and run the same "
                    "command again: it goes on where it stopped",
                )
            if now - max(said, self._progress) > _SAY_SO_EVERY_SECS:
                said = now
                log.warning("waiting for a free core of the cluster")
        self._progress = time.monotonic()


class _Pending:
    """A chunk under way on the cluster."""

    def __init__(self, executor: RayExecutor, chunk: Chunk) -> None:
        self._executor, self._chunk = executor, chunk
        self._reference = executor.begin(chunk)

    def result(self) -> list[Outcome]:
        """Returns the outcomes of the chunk, in the order of its tasks.

        Raises:
            ClusterError: Nodes were lost too often, or cannot be set up.
            CatganError: What a task raised.
        """
        import ray

        try:
            return self._executor.outcomes(self._chunk, self._reference)
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise _cannot_set_up(error) from error
        except ray.exceptions.RayError:
            alone = [(task, self._executor.begin([task])) for task in self._chunk]
            return [outcome for task, ref in alone for outcome in self._alone(task, ref)]

    def _alone(self, task: Task, reference: Any) -> list[Outcome]:
        from ray.exceptions import OutOfMemoryError, RayError, WorkerCrashedError

        try:
            return self._executor.outcomes([task], reference)
        except (OutOfMemoryError, WorkerCrashedError):
            # As on one machine: what takes its process along again and again is at fault.
            return [Outcome(task.number, None, "decoder crashed", "its workers died")]
        except RayError as error:
            raise ClusterError(
                f"the cluster lost {task.name} {1 + _RETRIES} times: {last_line(error)}",
                expected="nodes that stay for a few seconds",
                remedy="run the same command again: it goes on where it stopped",
            ) from error


def _convert(chunk: Sequence[Task], order: _Order) -> list[Outcome] | None:
    """Runs in a worker; returns None where it cannot read the files."""
    import ray

    _check(order.mark)
    is_home = ray.get_runtime_context().get_node_id() in order.homes
    if not is_home and any(_is_local(task) for task in chunk):
        return None
    converter = _converter(order.recipe)
    try:
        return converter.convert(chunk)
    except CatganError as error:
        error.args = (f"{error.what} (on {socket.gethostname()})",)
        error.what = error.args[0]
        raise
    except BaseException:  # taken back by the driver: the line may hold half an answer
        converter.close()
        _converter.cache_clear()
        raise


def _is_local(task: Task) -> bool:
    refs = (task.ref if task.data is None and task.refusal is None else (), task.landmarks or ())
    return any(ref[0] in _ON_THIS_MACHINE for ref in refs if ref)


@functools.cache
def _check(expected: Mark) -> None:
    ray_package.must_match(expected)


@functools.lru_cache(maxsize=1)
def _converter(recipe: Recipe) -> Converter:
    return Converter(recipe)


def _cause(error: Any) -> Exception:
    """What a task raised, as the driver should raise it."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    if isinstance(cause, CatganError):
        return cause
    text = str(error)
    if "ModuleNotFoundError" in text or "failed to import" in text:
        return ClusterError(
            f"a worker of the cluster cannot run this program: {last_line(cause)}",
            expected="nodes with this program's requirements",
            remedy="give --package pip, or start the nodes from an image that has them",
        )
    return cause


def _cannot_set_up(error: Exception) -> ClusterError:
    return ClusterError(
        f"the workers of the cluster cannot be set up: {last_line(error)}",
        expected="nodes that can take this program's sources, and reach pip's index for "
        "--package pip",
        remedy="start them from an image that has the program, and give --package none",
    )
