"""Real processes that cost little: forked from one that has TensorFlow imported.

Owns a process that has imported everything a run needs and has run nothing: TensorFlow
starts its threads and devices at its first operation, which comes after the fork. So a
child is like a fresh process, without the seconds of importing
(`test_fork_server.py` shows that they end at the same bits).

Talks JSON lines: `{"start": {...}}` and `{"poll": pid}` on standard input, answers on
standard output. When its input ends, it kills what still runs and goes.
"""

import importlib
import json
import os
import signal
import sys
import traceback

# Otherwise NumPy's library of matrix products has threads when the fork comes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from trainer import quiet

IMPORTS = (
    "google.cloud.storage",
    "trainer.checkpoint",
    "trainer.cli.main",
    "trainer.cli.outcome",
    "trainer.cli.resume",
    "trainer.cli.train",
    "trainer.data.prepare",
    "trainer.launch.local",
    "trainer.storage.bucket",
    "trainer.worker",
)


def child(order: dict) -> int:
    """Becomes the process that was ordered, and returns its exit code."""
    for descriptor, name in ((0, os.devnull), (1, order["stdout"]), (2, order["stderr"])):
        flags = os.O_RDONLY if descriptor == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        opened = os.open(name, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    module, _, function = order["call"].partition(":")
    return getattr(importlib.import_module(module), function)(order["args"])


def start(order: dict) -> int:
    """Forks; returns the child's process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        code = child(order)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def poll(pid: int) -> int | None:
    """The child's exit code, negative for a signal; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def main() -> None:
    quiet.import_tensorflow()
    for name in IMPORTS:
        importlib.import_module(name)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running: set[int] = set()
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            pid = start(order["start"])
            running.add(pid)
            answer = {"pid": pid}
        else:
            code = poll(order["poll"])
            if code is not None:
                running.discard(order["poll"])
            answer = {"code": code}
        print(json.dumps(answer), flush=True)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
