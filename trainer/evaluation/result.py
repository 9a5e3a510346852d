"""What an evaluation says, and with what it was measured (contract: numbers carry their origin).

Owns the form of a result and the rule which results may stand in one table, plot or "best".
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.errors import ConfigError
from trainer.evaluation import scale
from trainer.evaluation.figures import Figure

FORMAT = 1
# What these two are called where the network is the Inception of papers; else they carry its name.
_NAMES = {"frechet_distance": "FID", "kernel_distance": "KID"}


@dataclass(frozen=True)
class Provenance:
    """Everything a figure depends on besides the judged pictures.

    Attributes:
        features: Name of the network, with the size that pictures are reduced to first.
        weights_sha256: Of its weights.
        resizer: How pictures got its size.
        count: Pictures on each side.
        seed: Of the first judged picture; None where they are files.
        split: Of the real pictures.
        fingerprint: Of the real data set.
        size_px: Height and width of all pictures.
        train_count, held_out_count: Real pictures that `nearest` looked among.
        quantised: What the pictures were rounded to.
    """

    features: str
    weights_sha256: str
    resizer: str
    count: int
    seed: int | None
    split: str
    fingerprint: str
    size_px: int
    train_count: int
    held_out_count: int
    quantised: str = "uint8"

    def differs(self, other: "Provenance") -> list[str]:
        """Returns the names of what is not the same."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class Neighbour:
    """A judged picture and the training picture that is nearest to it.

    Attributes:
        place: Of the judged picture: its seed less the first seed, or its place in the shuffle.
        picture: Number of the training picture.
        distance: Between their features.
    """

    place: int
    picture: int
    distance: float


@dataclass(frozen=True)
class Result:
    """Figures of one feature network.

    Attributes:
        figures: By name.
        left_out: Metrics that were not asked for by name and could not be had, and why.
        provenance: See `Provenance`.
        neighbours: Nearest training pictures of the first judged pictures.
        usual_distance: Median distance of held-out pictures to their nearest training picture.
    """

    figures: dict[str, Figure]
    left_out: dict[str, str]
    provenance: Provenance
    neighbours: tuple[Neighbour, ...] = ()
    usual_distance: float | None = None

    def label(self, figure: str) -> str:
        """Returns what a figure is called: FID and KID are Inception's alone."""
        network = self.provenance.features
        name = _NAMES.get(figure)
        if name is None:
            return figure.replace("_", " ")
        return name if network == "inception" else f"{figure.replace('_', ' ')} ({network})"

    def scale(self) -> list[str]:
        """Returns what the distance compares with, a line each; see `trainer.evaluation.scale`."""
        figure, origin = self.figures.get("kernel_distance"), self.provenance
        if figure is None:
            return []
        network, weights = origin.features, origin.weights_sha256
        return scale.told(network, weights, origin.size_px, figure.value)


@dataclass(frozen=True)
class Evaluation:
    """All that was measured of one subject.

    Attributes:
        subject: Address of what was judged.
        against: Address of the real data set.
        about: What the subject is.
        results: One for each feature network.
    """

    subject: str
    against: str
    about: dict[str, Any]
    results: tuple[Result, ...]
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON; see `from_dict`."""
        results = [
            asdict(r) | {"labels": {name: r.label(name) for name in r.figures}}
            for r in self.results
        ]
        return asdict(self) | {"format": FORMAT, "results": results}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "Evaluation":
        """Reads what `as_dict` gave."""
        results = tuple(
            Result(
                {name: Figure(**figure) for name, figure in one["figures"].items()},
                one["left_out"],
                Provenance(**one["provenance"]),
                tuple(Neighbour(**neighbour) for neighbour in one["neighbours"]),
                one["usual_distance"],
            )
            for one in told["results"]
        )
        return cls(
            told["subject"], told["against"], told["about"], results, told.get("versions", {})
        )


def refuse_unlike(results: Sequence[Result]) -> None:
    """Raises ConfigError where results were not measured alike and may not be compared."""
    for one in results[1:]:
        differs = results[0].provenance.differs(one.provenance)
        if differs:
            first, other = (
                ", ".join(f"{name} {getattr(r.provenance, name)}" for name in differs)
                for r in (results[0], one)
            )
            raise ConfigError(
                f"figures are not comparable: {first} beside {other}",
                expected="the same network, weights, counts, seed and real pictures for all",
                remedy="catgan evaluate each again with the same --features, --count and --against",
            )
