"""What a trial is judged by: the kernel distance of its averaged generator's pictures.

Owns how many pictures are compared. Measuring is `trainer.evaluation`'s, with the feature
network that `evaluation.features` names; its distance is KID where that is Inception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.config import Config
from trainer.errors import DataError

MAX_PICTURES = 1024
# Ten blocks of ten pictures for the error.
MIN_PICTURES = 100


@dataclass(frozen=True)
class Score:
    """One figure and its standard error, lower is better.

    Attributes:
        value: Squared kernel distance, unbiased: may be below zero.
        error: Its standard error over pictures, not over runs.
        count: Pictures on either side.
        features: What it was measured with, and its weights.
        fingerprint: Of the data set.
    """

    value: float
    error: float
    count: int
    features: str
    fingerprint: str


def score(checkpoint: str, config: Config) -> Score:
    """Compares pictures of a checkpoint with held-out ones, at equal counts.

    Args:
        checkpoint: Its address.
        config: Of the run.

    Raises:
        DataError: Fewer than 100 pictures are held out.
        ConfigError: The feature network is not to be had.
        CheckpointError: The checkpoint is missing or damaged.
    """
    from trainer.evaluation.evaluate import EvaluateOptions, evaluate
    from trainer.launch.starting import open_dataset

    dataset = open_dataset(config)
    count = judged_count(dataset.manifest, dataset.address)
    wish = EvaluateOptions(("kid",), (judging_network(config),), count)
    found = evaluate(checkpoint, dataset.address, wish, cache_dir=config.dataset.cache_dir)
    result = found.results[0]
    origin, figure = result.provenance, result.figures["kernel_distance"]
    named = f"{origin.features} {origin.weights_sha256[:8]}"
    return Score(figure.value, figure.error or 0.0, count, named, origin.fingerprint)


def judging_network(config: Config) -> str:
    """Returns the first network that `evaluation.features` names: two distances have no order."""
    first = config.evaluation.features.split(",")[0].strip()
    if first != "auto":
        return first
    from trainer import quiet

    quiet.import_tensorflow()
    from trainer.evaluation import networks

    return networks.expanded((first,), config.dataset.size_px)[0]


def refuse_unlike(scores: Sequence[Mapping[str, Any]]) -> None:
    """Raises DataError where scores were not all measured with the same."""
    for what in ("features", "fingerprint", "count"):
        kinds = sorted({str(score[what]) for score in scores})
        if len(kinds) > 1:
            raise DataError(
                f"trials were scored with different {what}: {', '.join(kinds)}",
                expected="the same network, pictures and count for all: else nothing compares",
                remedy="begin a new search: --out ADDRESS; with the same network on every node",
            )


def judged_count(manifest: Any, address: str) -> int:
    """Returns how many pictures a score compares; raises DataError where they are too few."""
    count = min(manifest.counts.validation, MAX_PICTURES)
    if count < MIN_PICTURES:
        raise DataError(
            f"{address} holds out {count} pictures",
            expected=f"{MIN_PICTURES} or more, to judge trials by",
            remedy="prepare it again with a greater --val-fraction",
        )
    return count
