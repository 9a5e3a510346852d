"""What a trial notes on every rank: when its first step was done, and the memory it took.

Owns the notes' place and form. Runs in the training processes.
"""

import json
import os
import resource
import socket
import time
from dataclasses import dataclass
from typing import Any

from trainer import storage

_NOTES = "notes"


@dataclass(frozen=True)
class Watch:
    """Makes the callback on each rank; goes to workers as it is.

    Attributes:
        address: Folder for the notes.
    """

    address: str

    def __call__(self, gan: Any) -> list:
        """Returns the callback."""
        from trainer.callbacks.base import StepCallback

        address, rank = self.address, gan.distribution.rank
        note: dict[str, Any] = {"rank": rank, "host": socket.gethostname()}

        class Noting(StepCallback):
            def after_call(self, step: int, logs: dict[str, Any]) -> None:
                note.setdefault("first_step_at", time.time())

            def end(self, step: int) -> None:
                note.update(memory())
                name = f"{_NOTES}/rank-{rank:04d}.json"
                storage.open_folder(address).write(name, json.dumps(note).encode())

        return [Noting()]


def memory() -> dict[str, Any]:
    """Returns the most memory that this process had, and what its device has."""
    import tensorflow as tf

    devices = tf.config.get_visible_devices("GPU")
    if not devices:
        pages, size = (os.sysconf(name) for name in ("SC_PHYS_PAGES", "SC_PAGE_SIZE"))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {"device": "the CPU", "peak_bytes": peak, "total_bytes": pages * size}
    details = tf.config.experimental.get_device_details(devices[0])
    told = tf.config.experimental.get_memory_info("GPU:0")
    return {
        "device": details.get("device_name", "a GPU"),
        "peak_bytes": told["peak"],
        "total_bytes": total_gpu_bytes() or told["peak"],
    }


def total_gpu_bytes() -> int:
    """Returns the memory of the first GPU, 0 where NVIDIA's program does not say."""
    import subprocess

    asked = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
        return int(float(answer.stdout.split()[0]) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def read_notes(folder: storage.Folder) -> list[dict[str, Any]]:
    """Returns the notes of all ranks, in order."""
    names = sorted(entry.name for entry in folder.list(_NOTES))
    return [json.loads(folder.read(name)) for name in names]
