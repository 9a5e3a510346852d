"""Judges pictures against real ones.

Owns the order of the work: open both sides, agree on a count, measure features once for each
network, then every metric. What is asked for and cannot be had is an error; of the metrics
that are measured unasked, those that need more pictures are left out with the reason.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from trainer import __version__, storage
from trainer.data.shards import SPLITS, Split
from trainer.data.stream import Dataset
from trainer.errors import DataError
from trainer.evaluation import figures, networks
from trainer.evaluation.networks import FeatureNetwork
from trainer.evaluation.real import RealFeatures, open_set
from trainer.evaluation.result import Evaluation, Neighbour, Provenance, Result
from trainer.evaluation.subjects import Subject, open_subject
from trainer.run_folder import RunFolder, names, split_run_address

log = logging.getLogger("catgan")

MOST_TRAIN = 50_000
MOST_COUNT = 10_000
NEIGHBOURS = 16
_PART = 1024


@dataclass(frozen=True)
class Sides:
    """Both sides of an evaluation, open.

    A generator is in memory: its run may go on and delete the checkpoint that it is of.

    Attributes:
        subject: Whose pictures are judged.
        dataset: The real ones.
    """

    subject: Subject
    dataset: Dataset


@dataclass(frozen=True)
class EvaluateOptions:
    """What to measure.

    Attributes:
        metrics: Some of `figures.METRICS`; empty: all that there are enough pictures for.
        features: Names of feature networks, see `networks.expanded` and `networks.find`.
        count: Pictures on each side; None: as many as the real split has, at most 10,000.
        seed: Of a generator's first picture.
        split: Of the real pictures: `validation`, those held out, or `train`.
    """

    metrics: tuple[str, ...] = ()
    features: tuple[str, ...] = ("auto",)
    count: int | None = None
    seed: int = 0
    split: Split = "validation"


# Told what is measured, how many pictures are done, and of how many.
Progress = Callable[[str, int, int], None]


def evaluate(
    address: str,
    against: str,
    wish: EvaluateOptions | None = None,
    *,
    cache_dir: str = "",
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Judges the pictures at an address against a data set.

    Args:
        address: A run, a checkpoint, a `.keras` file, a data set, or a folder of pictures.
        against: A data set that `catgan prepare` wrote.
        wish: What to measure; default: everything.
        cache_dir: For shards of a bucket; empty: the user's cache folder.
        progress: See `Progress`.

    Raises:
        ConfigError: The wish makes no sense.
        DataError: Too few pictures, pictures of another size, or damaged ones.
        CheckpointError, StorageError: What is judged cannot be read.
    """
    wish = wish or EvaluateOptions()
    return measure(open_sides(address, against, wish, cache_dir), wish, progress=progress)


def open_sides(address: str, against: str, wish: EvaluateOptions, cache_dir: str = "") -> Sides:
    """Opens what is judged and the real pictures; see `evaluate` for arguments and errors."""
    if wish.metrics:
        figures.check_metrics(wish.metrics)
    dataset = open_set(against, cache_dir)
    subject = open_subject(address, seed=wish.seed, cache_dir=cache_dir)
    _refuse_other_size(subject, dataset)
    if (subject.about.get("fingerprint"), subject.about.get("split")) == (
        dataset.fingerprint,
        wish.split,
    ):
        log.warning("both sides are the same pictures, the %s split of %s", wish.split, against)
    _tell_of_other_training_pictures(subject, dataset)
    return Sides(subject, dataset)


def measure(
    sides: Sides,
    wish: EvaluateOptions,
    *,
    progress: Progress = lambda what, done, total: None,
) -> Evaluation:
    """Judges what `open_sides` opened; see `evaluate` for arguments and errors."""
    asked = figures.check_metrics(wish.metrics) if wish.metrics else ()
    subject, dataset = sides.subject, sides.dataset
    count = _count(subject, dataset, wish)
    results = []
    for name in networks.expanded(wish.features, dataset.size_px):
        network = networks.find(name)
        results.append(_Judge(subject, dataset, network, count, wish.split, progress).of(asked))
    about = dict(subject.about)
    versions = {"catgan": __version__}
    return Evaluation(subject.origin, dataset.address, about, tuple(results), versions)


def _refuse_other_size(subject: Subject, dataset: Dataset) -> None:
    if subject.size_px != dataset.size_px:
        raise DataError(
            f"{subject.origin} gives pictures of {subject.size_px} px and {dataset.address} has "
            f"{dataset.size_px} px",
            expected="the same size on both sides: sharpness alone would tell them apart",
            remedy=f"catgan prepare PICTURES NEW --size {subject.size_px}, and judge against that",
        )


def _tell_of_other_training_pictures(subject: Subject, dataset: Dataset) -> None:
    """What a data set holds out may be what a run on another one was trained on."""
    run, _ = split_run_address(subject.origin.removesuffix(f"/{names.GENERATOR}"))
    if run.endswith(".keras"):
        return
    record = RunFolder(storage.open_folder(run)).read_record()
    if record is not None and record.dataset.fingerprint != dataset.fingerprint:
        log.warning(
            "%s was trained on %s, whose pictures are not those of %s: if some of these are among "
            "them, they are not held out, and every figure is too good",
            run,
            record.dataset.address,
            dataset.address,
        )


def _count(subject: Subject, dataset: Dataset, wish: EvaluateOptions) -> int:
    real = int(getattr(dataset.manifest.counts, wish.split))
    most = real if subject.most is None else min(real, subject.most)
    if wish.count is None:
        return min(most, MOST_COUNT)
    if not 1 <= wish.count <= most:
        raise DataError(
            f"{wish.count:,} pictures on each side",
            expected=f"1 to {most:,}: {dataset.address} has {real:,} in {wish.split}"
            + ("" if subject.most is None else f", {subject.origin} has {subject.most:,}"),
            remedy=f"lower --count, take --split train, or {figures.HOLD_OUT_MORE}",
        )
    return wish.count


@contextlib.contextmanager
def _kept_if(kept: bool, refused: dict[str, DataError], metric: str) -> Iterator[None]:
    """Keeps why a metric cannot be had, or lets the error through."""
    try:
        yield
    except DataError as error:
        if not kept:
            raise
        refused[metric] = error


class _Judge:
    """One network's judgement of one subject."""

    def __init__(
        self,
        subject: Subject,
        dataset: Dataset,
        network: FeatureNetwork,
        count: int,
        split: Split,
        progress: Progress,
    ) -> None:
        self._subject, self._network, self._count, self._split = subject, network, count, split
        self._progress = progress
        self._real = {
            name: RealFeatures(dataset, name, network, partial(progress, f"{name} pictures"))
            for name in SPLITS
        }
        self._provenance = Provenance(
            network.name,
            network.weights_sha256,
            network.resizer,
            count,
            subject.about.get("seed"),
            split,
            dataset.fingerprint,
            dataset.size_px,
            min(MOST_TRAIN, self._real["train"].count),
            min(MOST_TRAIN, self._real["validation"].count),
        )

    def of(self, asked: tuple[str, ...]) -> Result:
        """Measures the metrics, or all that can be had where none is asked for."""
        refused: dict[str, DataError] = {}
        possible: list[str] = []
        for metric in asked or figures.METRICS:
            with _kept_if(not asked, refused, metric):
                self._refuse_too_few(metric)
                possible.append(metric)
        if not possible:
            raise refused["kid"]
        rows = self._rows("nearest" in possible)
        found: dict[str, figures.Figure] = {}
        for metric in possible:
            with _kept_if(not asked, refused, metric):
                found |= figures.measure(metric, rows)
        if not found:
            raise refused["kid"]
        left_out = {name: f"{e.what}; needs {e.expected}" for name, e in refused.items()}
        if rows.other is None:
            has = f"the other split has {self._other.count:,}"
            left_out["real pictures"] = f"{has}; needs {self._count:,}"
        neighbours = self._neighbours(rows) if "nearest" in possible else {}
        return Result(found, left_out, self._provenance, **neighbours)

    def _refuse_too_few(self, metric: str) -> None:
        count = self._count
        if metric == "nearest":
            count = self._provenance.held_out_count
        figures.refuse_too_few(metric, self._network.width, count)

    @property
    def _other(self) -> RealFeatures:
        """The split that the baseline is of."""
        return self._real["train" if self._split == "validation" else "validation"]

    def _rows(self, with_all: bool) -> figures.Features:
        other = self._other
        rows = figures.Features(
            self._fake(),
            self._real[self._split].first(self._count),
            other.first(self._count) if other.count >= self._count else None,
        )
        if not with_all:
            return rows
        return dataclasses.replace(
            rows,
            held_out=self._real["validation"].first(self._provenance.held_out_count),
            train=self._real["train"].first(self._provenance.train_count),
        )

    def _fake(self) -> np.ndarray:
        rows = []
        for begin in range(0, self._count, _PART):
            end = min(self._count, begin + _PART)
            rows.append(self._network.features(self._subject.pictures(begin, end)))
            self._progress("judged pictures", end, self._count)
        return np.concatenate(rows)

    def _neighbours(self, rows: figures.Features) -> dict:
        """Nearest training pictures of the first judged ones, and how far is usual."""
        places, distances = (found[:NEIGHBOURS] for found in rows.nearest_of_fake)
        numbers = self._real["train"].numbers(self._provenance.train_count)
        return {
            "neighbours": tuple(
                Neighbour(place, int(numbers[near]), float(distance))
                for place, (near, distance) in enumerate(zip(places, distances, strict=True))
            ),
            "usual_distance": float(np.median(rows.usual_distances)),
        }
