"""Who measures checkpoints while a run trains: a process of this machine, or a Ray task.

Owns how the work gets there and back. Either yields to training: at nice 10 it gets about a
tenth of a core that both want (Linux's weights are 1,024 to 110), and it sees no GPU. A local
process ends with whoever began it, since it listens to its standard input.
"""

import dataclasses
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any

from trainer import child, storage
from trainer.callbacks.evaluating import Evaluator, Found, Job
from trainer.config import Config
from trainer.errors import CatganError, StorageError, TrainingError
from trainer.run_folder import names, split_run_address

log = logging.getLogger("catgan.evaluation")

NICENESS = 10


@dataclass(frozen=True)
class Task:
    """What is to be measured, as plain values."""

    address: str
    against: str
    metrics: tuple[str, ...]
    features: tuple[str, ...]
    count: int | None
    cache_dir: str

    @classmethod
    def of(cls, config: Config, run_address: str, step: int) -> "Task":
        """The checkpoint of a step, measured as the config says."""
        asked = config.evaluation
        return cls(
            storage.join(run_address, names.checkpoint_folder(step)),
            config.dataset.address,
            asked.metrics,
            tuple(name.strip() for name in asked.features.split(",")),
            asked.count or None,
            config.dataset.cache_dir,
        )

    def done(self) -> Found:
        """Measures, here and now."""
        from trainer import quiet

        quiet.import_tensorflow()
        from trainer.evaluation.evaluate import EvaluateOptions, measure, open_sides
        from trainer.evaluation.files import write_nearest

        wish = EvaluateOptions(tuple(self.metrics), tuple(self.features), self.count)
        # Open until the end: training may delete the checkpoint meanwhile.
        sides = open_sides(self.address, self.against, wish, self.cache_dir)
        found = measure(sides, wish)
        run, _ = split_run_address(self.address)
        try:
            write_nearest(found, sides, storage.open_folder(run), names.NEAREST)
        except StorageError as error:
            # The figures took minutes, and do not need the picture.
            log.warning("%s was not written: %s", names.NEAREST, error.what)
        return found.as_dict()


def local(config: Config, run_address: str) -> Evaluator:
    """Returns what measures in processes of this machine."""
    return lambda step: _Process(Task.of(config, run_address, step))


def on_ray(config: Config, run_address: str) -> Evaluator:
    """Returns what measures in Ray tasks, spread over the nodes.

    They ask for no core, so that they run where workers have taken all, and yield to these.
    """
    import ray

    # The niceness of a process stays: it must not do anything else afterwards.
    options = {"num_cpus": 0, "max_calls": 1, "max_retries": 1, "scheduling_strategy": "SPREAD"}
    remote = ray.remote(**options)(_measured_kindly)
    return lambda step: _RayTask(remote.remote(Task.of(config, run_address, step)))


def _measured(task: Task) -> Found | CatganError:
    try:
        return task.done()
    except CatganError as error:
        return error
    except Exception as error:  # training must hear of it, whatever it is
        return _failed(f"measuring failed with {type(error).__name__}: {error}")


def _failed(what: str) -> TrainingError:
    return TrainingError(what, expected="figures", remedy="try it by hand: catgan evaluate RUN")


def _measured_kindly(task: Task) -> Found | CatganError:
    os.nice(NICENESS)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    return _measured(task)


class _Process(Job):
    def __init__(self, task: Task) -> None:
        # A pipe that nobody reads would fill up.
        self._complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        try:
            self._process = self._begun(task, self._complaints)
        except OSError as error:
            self._complaints.close()
            raise _failed(f"no process can measure: {error}") from error
        self._said, self._complaint = "", "it said nothing"
        # An answer may be longer than a pipe holds.
        self._reader = threading.Thread(target=self._read, name="evaluation", daemon=True)
        self._reader.start()

    @staticmethod
    def _begun(task: Task, complaints: IO[str]) -> subprocess.Popen:
        process = subprocess.Popen(
            child.command("trainer.launch.evaluators"),
            env=child.environment(CUDA_VISIBLE_DEVICES="-1"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        print(json.dumps(dataclasses.asdict(task)), file=process.stdin, flush=True)
        return process

    def _read(self) -> None:
        with self._complaints as complaints:
            with self._process:  # closes the pipes, standard input only when all was said
                self._said = self._process.stdout.read() if self._process.stdout else ""
            complaints.seek(0)
            self._complaint = (complaints.read().strip().splitlines() or [self._complaint])[-1][
                :300
            ]

    def done(self) -> bool:
        return not self._reader.is_alive()

    def result(self) -> Found:
        self._reader.join()
        try:
            told = json.loads(self._said)
        except ValueError:
            code = self._process.returncode
            raise _failed(
                f"the process that measures ended with exit code {code}: {self._complaint}"
            ) from None
        if "error" in told:
            raise TrainingError(told["error"])
        return told

    def cancel(self) -> None:
        self._process.kill()
        self._reader.join()


class _RayTask(Job):
    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def done(self) -> bool:
        import ray

        return bool(ray.wait([self._reference], timeout=0)[0])

    def result(self) -> Found:
        import ray

        try:
            found = ray.get(self._reference)
        except ray.exceptions.RayError as error:
            raise _failed(f"the task that measures failed: {error}") from error
        if isinstance(found, CatganError):
            raise found
        return found

    def cancel(self) -> None:
        import ray

        ray.cancel(self._reference, force=True)


def main() -> None:
    """Measures what standard input asks for; ends at once when that is closed."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print must not look like an answer
    task = Task(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    found = _measured(task)
    told = {"error": str(found)} if isinstance(found, CatganError) else found
    print(json.dumps(told), file=out, flush=True)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
