"""From the address of a run to a sheet of outliers and a list of them.

Owns the order of the work and the files. Decides nothing about pictures.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import storage
from trainer.checkpoint.networks import config_of
from trainer.errors import ConfigError
from trainer.gan.sampling import png_bytes
from trainer.outliers import sheet
from trainer.outliers.judge import Judge, open_judge
from trainer.outliers.rank import Outlier, checkpoints_of, rank
from trainer.run_folder import split_run_address

if TYPE_CHECKING:
    from trainer.config import Config

log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        dataset: Address of the data set.
        fingerprint: Its fingerprint.
        judged: Training pictures that were judged.
        checkpoints: Addresses of the checkpoints whose discriminators judged, the newest first.
        outliers: The worst first.
        files: Names of the files written.
    """

    dataset: str
    fingerprint: str
    judged: int
    checkpoints: list[str]
    outliers: list[Outlier]
    files: list[str]


def find_outliers(
    address: str,
    out: str,
    *,
    count: int = 64,
    against: str | None = None,
    open_dataset: Callable[["Config"], Any],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Found:
    """Ranks training pictures, and writes `outliers.png` and `outliers.txt`.

    Args:
        address: A run or a checkpoint, folder or bucket.
        out: Folder or bucket prefix for the files.
        count: Names in the list; the sheet shows 64 of them at most.
        against: Data set whose training pictures are ranked; default: the run's own.
        open_dataset: Opens the data set of a config.
        progress: Called with the number of pictures judged so far, and of all.

    Raises:
        ConfigError: `count` is below 1.
        CheckpointError: There is no run, or none of its checkpoints is whole.
        DataError: The data set is missing, damaged, or of another size.
    """
    if count < 1:
        raise ConfigError(f"count {count}", expected="1 or more", remedy="--count 64")
    folder = storage.open_folder(out)
    judges, config = _judges(address, against)
    dataset = open_dataset(config)
    _tell(judges, dataset)
    worst = rank(judges, dataset, count, lambda done: progress(done, dataset.train_count))
    files = _write(folder, worst, judges[0].origin, dataset)
    return Found(
        dataset.address,
        dataset.fingerprint,
        dataset.train_count,
        [judge.origin for judge in judges],
        [outlier for outlier, _ in worst],
        files,
    )


def _write(
    folder: storage.Folder, worst: list[tuple[Outlier, int]], origin: str, dataset: Any
) -> list[str]:
    """Writes the sheet and the list; returns their names."""
    text, unfit = sheet.exclude_list([o for o, _ in worst], origin, dataset.address)
    if unfit:
        log.warning("%d of the names cannot stand in a list: '#' begins a comment there", unfit)
    shown = worst[: sheet.MAX_SHEET_PICTURES]
    pictures = dataset.pictures("train", np.array([number for _, number in shown]))
    folder.write(sheet.SHEET_NAME, png_bytes(sheet.sheet(pictures, [o for o, _ in shown])))
    folder.write(sheet.LIST_NAME, text)
    return [sheet.SHEET_NAME, sheet.LIST_NAME]


def _judges(address: str, against: str | None) -> tuple[list[Judge], "Config"]:
    """Opens the judges; the config is the newest one's, with the data set that is judged."""
    judges: list[Judge] = []
    for found in checkpoints_of(address):
        if not judges:
            config = config_of(found)
        judges.append(open_judge(found))
    if against is not None:
        settings = config.dataset.model_copy(update={"address": against})
        config = config.model_copy(update={"dataset": settings})
    return judges, config


def _tell(judges: list[Judge], dataset: Any) -> None:
    steps = ", ".join(f"{judge.step:,}" for judge in judges)
    run, _ = split_run_address(judges[0].origin)
    log.info("judging %s training pictures of %s", f"{dataset.train_count:,}", dataset.address)
    log.info("by the discriminators of %s, steps %s", run, steps)
    if len(judges) == 1:
        log.warning(
            "one discriminator judges alone, and may be off: the address of a run with more "
            "checkpoints (checkpoint.keep_last=8) asks several"
        )
