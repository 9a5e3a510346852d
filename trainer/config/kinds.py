"""The kinds of values that keys of a config take, and their limits."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
)

from trainer.errors import ConfigError
from trainer.progress import Interval
from trainer.schedules import Value, ValueSchedule


def _interval(value: Any) -> Interval:
    try:
        return Interval.parse(value)
    except ConfigError as error:
        raise ValueError(error.expected or error.what) from None


def _interval_out(value: Interval) -> int | str:
    return int(value.value) if value.unit == "steps" else str(value)


Every = Annotated[Interval, BeforeValidator(_interval), PlainSerializer(_interval_out)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Zero = Annotated[int, Field(ge=0, le=10**12)]
Positive = Annotated[float, Field(gt=0, lt=10, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("a power of two: networks halve and double pictures")
    return value


PictureSize = Annotated[int, Field(ge=32, le=256), AfterValidator(_power_of_two)]


def _several(given: Any) -> Any:
    """Reads `[a, b]`, or `a, b` and `a` as people write them, to a tuple without repetitions."""
    if isinstance(given, str):
        given = [name.strip() for name in given.split(",") if name.strip()]
    if not isinstance(given, list | tuple):
        return given
    try:
        return tuple(dict.fromkeys(given))
    except TypeError:
        return tuple(given)


Several = BeforeValidator(_several)


def _value(allowed: str, fits: Callable[[float], bool]) -> Callable[[Any], Value]:
    """Returns what reads a number or a schedule, all of whose values must fit."""

    def read(given: Any) -> Value:
        if isinstance(given, str):
            given = ValueSchedule.parse(given)
        if isinstance(given, bool) or not isinstance(given, int | float | ValueSchedule):
            raise ValueError("a number, or a schedule such as '2e-4 to 5e-5'")
        ends = (given.first, given.last) if isinstance(given, ValueSchedule) else (given,)
        if not all(math.isfinite(end) and fits(end) for end in ends):
            raise ValueError(f"{allowed}, a number or a schedule such as '2e-4 to 5e-5'")
        return given if isinstance(given, ValueSchedule) else float(given)

    return read


def value_out(value: Value | str) -> float | str:
    """Returns a value as YAML writes it and `_value` reads it."""
    return str(value) if isinstance(value, ValueSchedule) else value


def _scheduled(allowed: str, fits: Callable[[float], bool]) -> Any:
    return Annotated[
        Value, PlainValidator(_value(allowed, fits)), PlainSerializer(value_out), allowed
    ]


# Numbers, or functions of the pictures seen.
PositiveValue = _scheduled("> 0 < 10", lambda end: 0 < end < 10)
NotNegativeValue = _scheduled("≥ 0 ≤ 1e+06", lambda end: 0 <= end <= 10**6)
ADAPTIVE: Literal["adaptive"] = "adaptive"
_share = _value("≥ 0 ≤ 1", lambda end: 0 <= end <= 1)


def _share_or_adaptive(given: Any) -> Value | Literal["adaptive"]:
    return ADAPTIVE if given == ADAPTIVE else _share(given)


StrengthValue = Annotated[
    Value | Literal["adaptive"],
    PlainValidator(_share_or_adaptive),
    PlainSerializer(value_out),
    "≥ 0 ≤ 1 or adaptive",
]


class Section(BaseModel):
    """A frozen group of keys; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )
