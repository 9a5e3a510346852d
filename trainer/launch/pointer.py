"""What Ray is told of our checkpoints: where a published one lies.

Owns the pointer, a file of a few lines that Ray manages as if it were a checkpoint. Ray may
delete what it manages; it never gets hold of a checkpoint itself. Writes no checkpoint, and
nothing of ours reads a pointer: a start goes on from what the run folder holds
(`trainer.checkpoint.begin`).
"""

import hashlib
import json
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow.fs
from pydantic import BaseModel, ConfigDict, Field

from trainer import storage
from trainer.checkpoint.format import Manifest
from trainer.checkpoint.listing import fetch_manifest
from trainer.errors import CatganError, CheckpointError
from trainer.launch.ray_storage import ray_storage
from trainer.run_folder import RunFolder, names, step_name

if TYPE_CHECKING:
    import ray.train

FORMAT_VERSION: Literal[1] = 1
POINTER = "pointer.json"
_PINNED = {"format", "format_version", "step", "images_seen", "start", "tensors", "parts", "meta"}
log = logging.getLogger("catgan.ray")
_lock = threading.Lock()
_written: set[str] = set()
_told: set[str] = set()


class Pointer(BaseModel):
    """What `pointer.json` holds.

    Attributes:
        format: Always `catgan-pointer`.
        format_version: Of this file.
        run: Address of the run folder.
        step: Finished steps.
        start: Number of the start that wrote the checkpoint.
        manifest_sha256: See `manifest_hash`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["catgan-pointer"] = "catgan-pointer"
    format_version: Literal[1] = FORMAT_VERSION
    run: str = Field(min_length=1)
    step: int = Field(ge=0)
    start: int = Field(ge=1)
    manifest_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def manifest_hash(manifest: Manifest) -> str:
    """Returns a SHA-256 in hex over what a checkpoint is: its tensors, parts and origin.

    Not over the manifest's bytes: a start that goes on from a checkpoint writes its
    manifest anew, with its own number in `adopted_by` and nothing else changed.
    """
    pinned = manifest.model_dump(mode="json", include=_PINNED)
    text = json.dumps(pinned, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def write_pointer(folder: storage.Folder, run: RunFolder, step: int) -> Pointer:
    """Writes `pointer.json` into a folder, for a checkpoint that is published.

    Args:
        folder: Where Ray is to find it.
        run: The run folder.
        step: Of the checkpoint.

    Raises:
        CheckpointError: The step has no manifest, or one that cannot be read.
        StorageError: Either folder cannot be reached.
    """
    try:
        manifest, _ = fetch_manifest(run, step)
    except storage.NotFound as error:
        raise CheckpointError(
            f"{run.address} has no published checkpoint {step_name(step)} to point to",
            expected="a checkpoint whose manifest is written",
            remedy="report a step only after its checkpoint was published",
        ) from error
    pointer = Pointer(
        run=run.address, step=step, start=manifest.start, manifest_sha256=manifest_hash(manifest)
    )
    folder.write(POINTER, (pointer.model_dump_json(indent=1) + "\n").encode())
    return pointer


def report(run: RunFolder, step: int | None, metrics: Mapping[str, Any], *, writer: bool) -> None:
    """Reports a step to Ray, with a pointer to its checkpoint.

    **All ranks call this, at the same steps in the same order**: Ray lets none go on before
    all have come, and waits without a limit. The pointer lies in the experiment's folder
    before Ray hears of it, so no rank uploads anything inside the barrier; to keep its two
    requests out of the training thread too, call `prepare_pointer` from the thread that
    published. Trouble with a pointer is a warning: it must not keep the others waiting.
    Ray takes one report in each of its polls (`RAY_TRAIN_HEALTH_CHECK_INTERVAL_S`, 2 s by
    default), so reporting more often than that waits for it.

    Args:
        run: The run folder.
        step: Of a published checkpoint; None, and on other ranks, there is none to report.
        metrics: Plain figures by name. Ray keeps those of rank 0.
        writer: Whether this rank brings the pointer; exactly one does.
    """
    from ray import train

    pointed = _pointed(run, step) if writer and step is not None else None
    train.report(
        dict(metrics),
        checkpoint=pointed,
        checkpoint_upload_mode=train.CheckpointUploadMode.NO_UPLOAD,
    )


def prepare_pointer(run: RunFolder, step: int) -> bool:
    """Writes the pointer that `report` will hand to Ray; returns whether it is there.

    Call it on the writing rank, in any thread, once the step is published. Never raises for
    trouble with storage or the checkpoint: it is logged, and the step goes without.
    """
    from ray import train

    folder = run.folder.child(
        f"{names.RAY}/{train.get_context().get_experiment_name()}/{step_name(step)}"
    )
    with _lock:
        if folder.address in _written:
            return True
        try:
            write_pointer(folder, run, step)
        except CatganError as error:
            log.warning("Ray is not told of %s: %s", step_name(step), error.what)
            return False
        _written.add(folder.address)
        return True


def _pointed(run: RunFolder, step: int) -> "ray.train.Checkpoint | None":
    """The pointer as Ray wants to have it; None where there is none or Ray has it already.

    A folder that Ray is told of twice is deleted as soon as Ray drops the first mention.
    """
    from ray import train

    if not prepare_pointer(run, step):
        return None
    path, filesystem = ray_storage(run.address)
    folder = f"{path}/{train.get_context().get_experiment_name()}/{step_name(step)}"
    with _lock:
        if folder in _told:
            return None
        _told.add(folder)
    return train.Checkpoint(folder, filesystem=filesystem or pyarrow.fs.LocalFileSystem())
