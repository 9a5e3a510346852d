"""What an evaluation says, and with what it was measured (contract: numbers carry their origin).

Owns the form of a result and the rule which results may stand in one table, plot or "best".
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from trainer.errors import CheckpointError
from trainer.evaluation import scale
from trainer.evaluation.figures import Figure

FORMAT = 1
# The network of papers. Its figures are called as there; all others carry their network's name, so
# that two networks' figures are never taken for one.
_INCEPTION = "inception"
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
        left_out: What could not be had, and why: metrics that were not asked for by name, and the
            figures of real pictures.
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
        """Returns what a figure is called: FID, KID and bare names are Inception's alone."""
        network, name = self.provenance.features, figure.replace("_", " ")
        return _NAMES.get(figure, name) if network == _INCEPTION else f"{name} ({network})"

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
        versions: Of the program that measured.
    """

    subject: str
    against: str
    about: dict[str, Any]
    results: tuple[Result, ...]
    versions: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Returns plain values, ready for JSON; see `from_dict`."""
        results = [
            asdict(r) | {"labels": {name: r.label(name) for name in r.figures}, "scale": r.scale()}
            for r in self.results
        ]
        return asdict(self) | {"format": FORMAT, "results": results}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> "Evaluation":
        """Reads what `as_dict` gave; raises CheckpointError where another version did."""
        if told.get("format") != FORMAT:
            raise CheckpointError(
                f"an evaluation of {told.get('subject')} has the format {told.get('format')!r}",
                expected=f"{FORMAT}, as this version writes it",
                remedy="measure it again with catgan evaluate, or use the version that wrote it",
            )
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


def unlike(results: Sequence[Result]) -> list[str]:
    """Returns the names of what differs between the origins of results; none: they compare."""
    first = results[0].provenance
    return sorted({name for one in results for name in first.differs(one.provenance)})
