"""Ranks a data set's training pictures by what a run's discriminators say of them.

Owns which checkpoints judge, and how their margins become one score.

A discriminator at its optimum answers log p(x) / q(x), with p of the training
pictures and q of the generator (Goodfellow et al. 2014, prop. 1). A stranger
among cats may fall off on either side: far below where D has not learned it
either, far above once D knows it and G still does not draw it (the sign by
which Lee et al. 2021, "Self-Diagnosing GAN", find what a GAN misses). Which of
the two differs from kind to kind and from checkpoint to checkpoint. So a
picture's score is its margin's distance from the median picture's, in units of
the spread, the mean over several checkpoints.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from trainer import checkpoint, storage
from trainer.errors import CheckpointError, TrainingError
from trainer.outliers.judge import JUDGE_BATCH, PREFIXES, Judge
from trainer.run_folder import RunFolder, split_run_address

if TYPE_CHECKING:
    from trainer.checkpoint import Checkpoint
    from trainer.data.stream import Dataset

log = logging.getLogger("catgan")

MAX_JUDGES = 8
# Decoded pictures held at once, unless one batch needs more.
_READ_BYTES = 64 * 2**20
# The median distance from the median is this share of a normal distribution's deviation.
_NORMAL_SHARE = 0.6745


@dataclass(frozen=True)
class Outlier:
    """One of the pictures farthest from the others.

    Attributes:
        name: Its name in the source, as `prepare --exclude` takes it.
        score: Mean over checkpoints of |margin - median| / spread; 1 is common, 4 is rare.
        margin: Mean over checkpoints of D(x) - E D(fake).
    """

    name: str
    score: float
    margin: float


def checkpoints_of(address: str) -> "Iterator[Checkpoint]":
    """Yields the checkpoints that judge: the one at the address, or a run's newest, at most 8.

    Several, because one may be off: of 95 strangers among 1,900 drawn cats the last one's 95
    worst held 23, those of eight together 57; of 151 among 3,000 photographs 107 either way.
    A damaged one is left out with a warning.

    Raises:
        CheckpointError: There is none, or none is whole.
    """
    run_address, step = split_run_address(address)
    # Says what is wrong where there is nothing to judge by.
    newest = checkpoint.open_address(address, PREFIXES)
    yield newest
    if step is not None:
        return
    run = RunFolder(storage.open_folder(run_address))
    older = [item for item in checkpoint.list_all(run) if item.counts and item.step < newest.step]
    for item in older[:-MAX_JUDGES:-1]:
        try:
            found = checkpoint.open_step(run, item.step, PREFIXES)
        except CheckpointError as error:
            log.warning("left out: %s", error.what)
            continue
        yield found


def rank(
    judges: list[Judge],
    dataset: "Dataset",
    count: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[tuple[Outlier, int]]:
    """Returns the pictures farthest from the others and their numbers, the worst first.

    Reads the training pictures once, some megabytes at a time; holds one number for each
    picture and judge.

    Args:
        judges: Whose margins are averaged.
        dataset: Of which the training split is judged.
        count: How many to return; fewer where the data set has fewer.
        advance: Called with the number of pictures judged so far.

    Raises:
        TrainingError: No discriminator tells any two pictures apart.
        DataError, StorageError: The data set cannot be read.
    """
    margins = np.empty((len(judges), dataset.train_count))
    picture_bytes = 3 * dataset.size_px**2
    stride = max(1, _READ_BYTES // (picture_bytes * JUDGE_BATCH)) * JUDGE_BATCH
    for first in range(0, dataset.train_count, stride):
        numbers = np.arange(first, min(first + stride, dataset.train_count))
        pictures = dataset.pictures("train", numbers)
        for start in range(0, len(numbers), JUDGE_BATCH):
            part = pictures[start : start + JUDGE_BATCH]
            for margin, judge in zip(margins, judges, strict=True):
                margin[first + start : first + start + len(part)] = judge.margins(
                    part, first + start
                )
        advance(first + len(numbers))
    scores = scores_of(margins)
    worst = np.argsort(-scores, kind="stable")[:count]
    names = dataset.names("train", worst)
    means = margins.mean(axis=0)
    return [
        (Outlier(name, float(scores[number]), float(means[number])), int(number))
        for name, number in zip(names, worst, strict=True)
    ]


def scores_of(margins: np.ndarray) -> np.ndarray:
    """Mean over judges of each picture's distance from the median one; float64 `[n]`.

    In units of the median distance, which a few strangers do not move, brought to the
    standard deviation of a normal distribution. Every judge counts alike: how large its
    logits are says nothing of the pictures.

    Args:
        margins: Float `[judges, n]`.

    Raises:
        TrainingError: All pictures have the same margin, or margins are not finite.
    """
    distances = np.abs(margins - np.median(margins, axis=1, keepdims=True))
    spreads = np.median(distances, axis=1) / _NORMAL_SHARE
    usable = np.isfinite(spreads) & (spreads > 0)
    if not usable.any():
        raise TrainingError(
            "the discriminator gives all pictures the same answer, or none that is a number",
            expected="one that has learned something",
            remedy="train longer, or give the address of an earlier checkpoint",
        )
    return np.mean(distances[usable] / spreads[usable, None], axis=0)
