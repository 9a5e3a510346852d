"""TensorBoard event files: scalars and grids.

Owns the event files of one start. An event file is a TFRecord file of
TensorFlow's own `Event` messages, so neither TensorBoard nor its writer is
needed to train: `tf.summary.scalar` would need the whole server installed.

Events are kept in memory and written behind the training. A local file is
appended to, for TensorBoard keeps it open; an object in a bucket cannot be, so
there the part is written whole until it is large, then a new one is begun.
"""

import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.callbacks.background import Background
from trainer.callbacks.base import StepCallback
from trainer.data.records import frame
from trainer.errors import StorageError
from trainer.gan.sampling import png_bytes
from trainer.run_folder import names
from trainer.storage import Folder

_LOCAL_SECS = 5.0
_BUCKET_SECS = 60.0
_PART_BYTES = 4_000_000
_NOT_SCALARS = ("step", "images_seen", "seconds")

_Event, _Summary = tf.compat.v1.Event, tf.compat.v1.Summary


class EventFile:
    """Event files in one folder. Safe to use from several threads.

    Args:
        folder: Where they lie.
        suffix: Ends their names, so that two starts never share one.
        part_bytes: Size at which the next file is begun.
    """

    def __init__(self, folder: Folder, suffix: str, part_bytes: int = _PART_BYTES) -> None:
        self._folder = folder
        self._suffix = suffix
        self._part_bytes = part_bytes
        self._lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._part = self._size = 0
        self._name, self._whole = "", b""

    def add(self, event: Any) -> None:
        """Keeps an event for the next flush; stamps it with the time."""
        event.wall_time = time.time()
        with self._lock:
            self._waiting.append(frame(event.SerializeToString()))

    def flush(self) -> None:
        """Writes what was added. If that fails, the events are kept for the next time.

        Raises:
            StorageError: The folder cannot be written.
        """
        with self._flush_lock:
            with self._lock:
                waiting, self._waiting = self._waiting, []
            try:
                if waiting:
                    self._write(b"".join(waiting))
            except BaseException:
                with self._lock:
                    self._waiting = waiting + self._waiting
                raise

    def _write(self, data: bytes) -> None:
        if not self._name or self._size >= self._part_bytes:
            self._begin_part()
        if self._size == 0:
            version = _Event(wall_time=time.time(), file_version="brain.Event:2")
            data = frame(version.SerializeToString()) + data
        path = self._folder.path(self._name)
        if path is None:
            self._folder.write(self._name, self._whole + data)
            self._whole += data
        else:
            _append(path, data)
        self._size += len(data)

    def _begin_part(self) -> None:
        self._part += 1
        self._size, self._whole = 0, b""
        self._name = (
            f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}"
            f".{self._suffix}-{self._part:04d}"
        )


def _append(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(data)
    except OSError as error:
        raise StorageError(
            f"the event file {path} cannot be written: {error.strerror or error}",
            expected="a folder with room that can be written",
            remedy="make room or mend the folder, or set log.tensorboard=false; then resume",
        ) from error


class TensorBoard(StepCallback):
    """Writes rows of metrics and grids as TensorBoard shows them.

    Args:
        folder: The run folder.
        start: Number of this start, part of the file names.
    """

    def __init__(self, folder: Folder, start: int) -> None:
        super().__init__()
        inside = folder.child(names.TENSORBOARD)
        self._file = EventFile(inside, names.start_name(start))
        self._flush_secs = _LOCAL_SECS if folder.is_local else _BUCKET_SECS
        self._flushed_at = time.monotonic()
        self._behind = Background("tensorboard")

    def begin(self, step: int) -> None:
        """Has TensorBoard hide what an earlier start wrote beyond `step`."""
        session = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        self._file.add(_Event(step=step + 1, session_log=session))

    def row(self, row: dict[str, Any]) -> None:
        """Adds the figures of a row; does no I/O."""
        values = [
            _Summary.Value(tag=name, simple_value=value)
            for name, value in row.items()
            if name not in _NOT_SCALARS
        ]
        self._file.add(_Event(step=row["step"], summary=_Summary(value=values)))

    def grid(self, step: int, grid: np.ndarray) -> None:
        """Adds a grid, uint8 `[H, W, 3]`; does no I/O."""
        height, width, _ = grid.shape
        image = _Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png_bytes(grid)
        )
        value = _Summary.Value(tag="samples", image=image)
        self._file.add(_Event(step=step, summary=_Summary(value=[value])))

    def after_call(self, step: int, logs: dict[str, Any]) -> None:
        """Writes behind the training if the last write is old enough."""
        if self._behind.busy or time.monotonic() - self._flushed_at < self._flush_secs:
            return
        self._flushed_at = time.monotonic()
        self._behind.submit(self._file.flush)

    def close(self) -> None:
        """Writes what is left."""
        try:
            self._behind.submit(self._file.flush)
        finally:
            self._behind.close()
