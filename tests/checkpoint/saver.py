"""Processes that save checkpoints in a loop and kill themselves where they are told to.

`python -m tests.checkpoint.saver` reads orders from its standard input, one JSON object a
line with the arguments of `save_in_a_loop`, forks a process for each (imports are paid
once) and answers with one line: its exit status as `subprocess` gives it (-9 for a kill)
and what it printed.

The state of a step depends on the step alone, as that of a deterministic run does.
"""

import json
import os
import signal
import sys
import threading
import traceback

from tests.checkpoint.conftest import NEW, meta_of, state_of
from trainer import checkpoint, storage
from trainer.run_folder import MetricsLog, RunFolder

STORAGE = ("write", "read", "read_versioned", "list", "delete", "upload")
SYSTEM = ("open", "link", "replace", "rename", "unlink", "fsync", "utime", "mkdir", "rmdir")


class Killer:
    """Counts calls and ends the process, as the kernel would, before a certain one."""

    def __init__(self, kill_at: int):
        self.kill_at = kill_at
        self.calls = 0
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self.calls += 1
            if self.calls == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, owner: object, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(owner, name, self._counted(getattr(owner, name)))

    def _counted(self, call):
        def counted(*args, **told):
            self.count()
            return call(*args, **told)

        return counted


def save_in_a_loop(address: str, last_step: int, kill_at: int, kind: str) -> int:
    """Saves every ten steps up to the last; returns the number of counted calls.

    Args:
        address: Of the run folder.
        last_step: Where to end.
        kill_at: Before which call to kill the process; 0 for never.
        kind: `storage` counts the run folder's calls, `system` those that change a disk.
    """
    killer = Killer(kill_at)
    run = RunFolder(storage.open_folder(address))
    if kind == "storage":
        killer.watch(run.folder, STORAGE)
    else:
        killer.watch(os, SYSTEM)
    begun = checkpoint.begin(run, NEW, host="victim")
    rows = MetricsLog(run, begun.start, begun.first_step)
    with checkpoint.CheckpointStore(
        run,
        begun.start,
        keep_last=2,
        part_bytes=600,
        upload_threads=2,
        before_publish=lambda step: rows.flush(),
    ) as store:
        for step in range(begun.first_step + 10, last_step + 1, 10):
            rows.append({"step": step, "start": begun.start})
            store.save(step, state_of(step), meta_of(step))
    run.end_start(begun.start, "finished", "done", step=last_step)
    return killer.calls


def obey(order: dict) -> list:
    """Carries one order out in a process of its own; returns its status and its result."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(send, str(save_in_a_loop(**order)).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(send)
    _, status = os.waitpid(child, 0)
    with os.fdopen(receive) as result:
        return [os.waitstatus_to_exitcode(status), result.read()]


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)
