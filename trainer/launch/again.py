"""A stretch of a run trained once more, in a scratch run folder, from the checkpoint before it.

Owns the scratch run: what is copied into it, and what of its config is not the run's. It is
trained by `trainer.launch.door` like any other, in this process, alone.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from trainer import checkpoint
from trainer import config as configs
from trainer.checkpoint.listing import manifest_name
from trainer.checkpoint.networks import config_of
from trainer.config import Config
from trainer.launch import door
from trainer.launch.scratch import only_tried, scratch_folder
from trainer.launch.starting import Options
from trainer.progress import Interval
from trainer.run_folder import RunFolder, RunRecord, StartRecord, names


@contextlib.contextmanager
def scratch_run(address: str) -> Iterator[RunFolder]:
    """Gives a run folder that nobody else has, and removes it at the end."""
    with only_tried(), scratch_folder(address) as folder:
        yield RunFolder(folder)


def config_until(run: RunFolder, step: int) -> Config:
    """Returns the config with which a run was trained up to a step.

    It is that of the first checkpoint from there on: a start goes on from a checkpoint, so no
    key changed between it and the one before, but where that one is not kept: see
    `starts_between`. Beyond the last it is the run's own.

    Raises:
        CheckpointError: There is no run, or it is damaged.
    """
    later = [item.step for item in checkpoint.list_all(run) if item.counts and item.step >= step]
    if later:
        return config_of(checkpoint.open_step(run, min(later), prefixes=()))
    return configs.from_text(run.read_config(), where=f"the config of {run.address}")


def starts_between(record: RunRecord, first: int, last: int) -> list[StartRecord]:
    """Returns the starts that a stretch was trained by, but for the one that began it.

    They went on from checkpoints inside it, which are not kept, maybe with other settings, on
    another machine or with another number of workers.

    Args:
        record: Of the run.
        first: Step before the stretch.
        last: Its last step.
    """
    found, left = [], last
    for start in reversed(record.starts):
        if start.first_step is None or start.first_step >= left:
            continue  # it trained nothing of the stretch, or a later start went back behind it
        if start.first_step > first:
            found.append(start)
        left = start.first_step
    return found[::-1]


def train_again(
    run: RunFolder,
    config: Config,
    first: int,
    last: int,
    scratch: RunFolder,
) -> None:
    """Trains from one step to another in a scratch run folder.

    Args:
        run: The run; only read.
        config: Of that stretch, see `config_until`.
        first: The step of the checkpoint to begin with; 0: from nothing.
        last: The step after which training stops.
        scratch: From `scratch_run`.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, or the data set has other pictures.
        CatganError: See `trainer.worker.run`.
    """
    from trainer.callbacks.stop_at import StopAt

    config = _alone(config, scratch, last)
    options = Options(callbacks=lambda gan: [StopAt(last)])
    if not first:
        door.train(config, options)
        return
    _copy(run, first, scratch)
    scratch.write_config(configs.to_yaml(config))
    door.resume(scratch.address, options=options)


def _alone(config: Config, scratch: RunFolder, last: int) -> Config:
    """The run's config for one process that shows nothing and measures nothing."""
    every = config.checkpoint.every_steps
    # A call of several steps ends at a checkpoint; at another step it must not be in the way.
    aligned = every.unit == "steps" and every.value and last % int(every.value) == 0
    training = {"max_mins": 0.0, "max_rollbacks": 0}
    if not aligned:
        training["steps_per_call"] = 1
    never = Interval(0, "steps")
    parts: dict[str, dict[str, Any]] = {
        # Its data set is known by the fingerprint, wherever it lies.
        "dataset": {"source": ""},
        "training": training,
        "samples": {"every_steps": never},
        "evaluation": {"every_steps": never},
        "log": {"tensorboard": False},
    }
    update: dict[str, Any] = {
        name: getattr(config, name).model_copy(update=changed) for name, changed in parts.items()
    }
    update["cluster"] = type(config.cluster)()
    return config.model_copy(update={"run": scratch.address, **update})


def _copy(run: RunFolder, step: int, scratch: RunFolder) -> None:
    """Copies one checkpoint, and the record without the starts that came after it."""
    found = checkpoint.open_step(run, step, prefixes=())
    record = run.must_have_record()
    starts = tuple(start for start in record.starts if start.number <= found.manifest.start)
    record = record.model_copy(
        update={"status": "stopped", "step": step, "holder": None, "starts": starts}
    )
    inside = names.checkpoint_folder(step)
    for entry in run.folder.list(f"{inside}/"):
        if entry.name != manifest_name(step):
            scratch.folder.write(entry.name, run.folder.read(entry.name))
    scratch.folder.write(manifest_name(step), run.folder.read(manifest_name(step)))
    scratch.folder.write(names.RECORD, record.to_json())


def saved_steps(run: RunFolder) -> list[int]:
    """Returns the steps of a run's checkpoints that count, in order.

    Raises:
        CheckpointError: There is no run.
    """
    run.must_have_record()
    return sorted(item.step for item in checkpoint.list_all(run) if item.counts)
