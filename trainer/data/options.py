"""What a person can ask of `prepare`.

Owns the options, their limits and their defaults. Does not act on them.
"""

from dataclasses import asdict, dataclass
from typing import Any, get_args

from trainer.data.shards import MAX_SIZE_PX, MIN_SIZE_PX, Encoding
from trainer.errors import ConfigError

CROPS = ("none", "center", "face", "landmarks")
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """Options of `prepare`.

    Attributes:
        size_px: Height and width of the prepared pictures, 8 to 1024.
        crop: `center` takes the largest centred square; `none` takes only
            pictures that are square already; `face` the largest cat face that
            OpenCV's cascade finds; `landmarks` the face that a `.cat` file
            beside the picture marks.
        encoding: `png` (exact), `jpeg` (quality 95, smaller) or `raw` (exact,
            large, nothing to decode).
        val_fraction: Share of the pictures kept aside for validation, 0 to 0.5.
        dedup: Leave out near-duplicates of earlier pictures.
        exclude: Path of a list of file names to leave out, one a line.
        workers: Processes; None for one a core. Changes nothing in the result.
    """

    size_px: int = 64
    crop: str = "center"
    encoding: str = "png"
    val_fraction: float = 0.05
    dedup: bool = False
    exclude: str | None = None
    workers: int | None = None

    def __post_init__(self) -> None:
        if not MIN_SIZE_PX <= self.size_px <= MAX_SIZE_PX:
            raise ConfigError(
                f"size is {self.size_px} px",
                expected=f"{MIN_SIZE_PX} to {MAX_SIZE_PX}",
                remedy="give for example --size 64",
            )
        _one_of("crop", self.crop, CROPS)
        _one_of("encoding", self.encoding, ENCODINGS)
        if not 0 <= self.val_fraction <= 0.5:
            raise ConfigError(
                f"val-fraction is {self.val_fraction:g}",
                expected="0 (no validation split) to 0.5 (half of the pictures)",
                remedy="give for example --val-fraction 0.05",
            )
        if self.workers is not None and self.workers < 1:
            raise ConfigError(
                f"workers is {self.workers}",
                expected="at least 1",
                remedy="leave --workers away to use all cores",
            )

    def that_matter(self) -> dict[str, Any]:
        """Returns the options that change the result, for the manifest."""
        fields = asdict(self)
        del fields["workers"], fields["exclude"]
        return fields


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(
            f"{name} is {value!r}",
            expected=f"one of {', '.join(allowed)}",
            remedy=f"give for example --{name} {getattr(PrepareOptions, name)}",
        )
