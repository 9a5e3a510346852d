"""The doors to training: a config, or a run's address.

Owns what a run folder's state means for a command (design C1): begin, go on,
say that it is finished, refuse; and whether this process trains (`local.py`) or
the workers of a Ray cluster do (`on_ray.py`). Nothing is written before the
config, the addresses and the data set have been checked.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from trainer import config as configs
from trainer import storage
from trainer.command_line import catgan
from trainer.config import Config
from trainer.errors import CheckpointError
from trainer.launch.same_run import refuse_changes, same_config
from trainer.launch.starting import Options, Outcome, on_cluster
from trainer.run_folder import RunFolder, RunRecord, names, split_run_address


def train(config: Config, options: Options | None = None) -> Outcome:
    """Trains a run, or goes on with it if its folder holds it already.

    Raises:
        ConfigError: The folder holds a run with another config; the keys are named.
        CatganError: See `trainer.worker.run`.
    """
    options = options or Options()
    folder = RunFolder(storage.open_folder(config.run))
    record = folder.read_record()
    if record is not None and never_began(folder):
        record = None
    if record is not None and not options.overrides:
        config = same_config(config, folder)
    if record is not None and options.from_step is None and is_finished(record, config):
        return _already_finished(folder, record)
    return _launcher(config, options)(config, folder, options)


def _launcher(config: Config, options: Options) -> Callable[[Config, RunFolder, Options], Outcome]:
    if on_cluster(config, options):
        from trainer.launch import on_ray

        return on_ray.start
    from trainer import quiet

    # Before what `local` imports would bring it in, aloud.
    quiet.import_tensorflow()
    from trainer.launch import local

    return local.start


def resume(address: str, overrides: Sequence[str] = (), options: Options | None = None) -> Outcome:
    """Goes on with a run, from its address or that of one of its checkpoints.

    Args:
        address: Folder or bucket prefix.
        overrides: `key=value` for this start and those after it.
        options: See `Options`.

    Raises:
        ConfigError: An override would change the weights' shapes, the data order or a draw.
        CheckpointError: There is no run at this address, or none of its checkpoints counts.
    """
    options = options or Options()
    run_address, step = split_run_address(address)
    _, config = resumed_config(run_address, overrides)
    if options.from_step is None:
        options = replace(options, from_step=step)
    return train(config, replace(options, overrides=tuple(overrides)))


def resumed_config(address: str, overrides: Sequence[str]) -> tuple[RunFolder, Config]:
    """Returns a run's folder and its own config, with overrides that a resumption may have.

    Raises:
        ConfigError: An override would change the weights' shapes, the data order or a draw.
        CheckpointError: There is no run at this address, or it never began.
    """
    folder = RunFolder(storage.open_folder(address))
    if folder.read_record() is not None and never_began(folder):
        raise CheckpointError(
            f"the run {folder.address} was claimed and never began: it has no config.yaml and no "
            "checkpoint",
            expected="a run that has begun",
            remedy=f"begin it: {catgan('train', 'CONFIG', configs.setting('run', folder.address))}",
        )
    before = configs.from_text(folder.read_config(), where=f"the config of {folder.address}")
    before = before.model_copy(update={"run": folder.address})
    config = configs.override(before, overrides)
    refuse_changes(before, config)
    return folder, config


def never_began(folder: RunFolder) -> bool:
    """Says whether a run's driver died between claiming the run and writing its config."""
    from trainer import checkpoint

    return not folder.folder.exists(names.CONFIG) and not checkpoint.list_all(folder)


def is_finished(record: RunRecord, config: Config) -> bool:
    """Says whether a run has all the steps that its config asks for."""
    return record.status == "finished" and record.step >= config.training.steps


def _already_finished(folder: RunFolder, record: RunRecord) -> Outcome:
    more = catgan("resume", folder.address, f"training.steps={2 * record.step}")
    cause = f"it has all its {record.step:,} steps"
    return Outcome("already finished", record.step, folder.address, cause, more)
