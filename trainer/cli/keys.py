"""Every key of a config as a table: name, default, what is allowed, what it means.

Owns the table only; the keys are declared in `trainer.config.settings`.
"""

import types
from typing import Any, Literal, get_args, get_origin

from trainer.cli.answer import give
from trainer.config import Config
from trainer.config.load import all_keys
from trainer.progress import Interval
from trainer.schedules import Value, ValueSchedule

# Limits from here on only keep nonsense out; nobody meets them.
_NO_LIMIT = 10**9


def show_keys(*, as_json: bool) -> None:
    """Writes the table, or a list of `{key, default, allowed, help}` as JSON."""
    rows = key_rows()
    if as_json:
        give(rows)
        return
    from trainer.cli.tables import show_table

    show_table(
        ["key", "default", "allowed", "meaning"],
        [[row["key"], _shown(row["default"]), row["allowed"], row["help"]] for row in rows],
    )


def key_rows() -> list[dict[str, Any]]:
    """Returns `{key, default, allowed, help}` for each key, in the config's order."""
    defaults = Config()
    return [
        {
            "key": key,
            "default": _default(defaults, key),
            "allowed": _allowed(field),
            "help": field.description or "",
        }
        for key, field in all_keys().items()
    ]


def _default(config: Config, key: str) -> Any:
    value: Any = config
    for part in key.split("."):
        value = getattr(value, part)
    return str(value) if isinstance(value, Interval | ValueSchedule) else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value in ("", ()) else f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(field: Any) -> str:
    kind = field.annotation
    if kind is Interval:
        return "interval"
    if kind == Value:
        told = " ".join(item for item in field.metadata if isinstance(item, str))
        return f"number or schedule {told}"
    names = _names(kind)
    limits = [text for item in field.metadata for text in _limits(item)]
    return " ".join([names, *limits]).strip()


def _names(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(str(value) for value in get_args(kind))
    if get_origin(kind) is tuple:
        return f"[{', '.join(_names(part) for part in get_args(kind))}]"
    if isinstance(kind, types.UnionType) or get_origin(kind) is not None:
        return "|".join(_names(part) for part in get_args(kind))
    return {str: "text", int: "whole", float: "number", bool: "true|false"}.get(kind, "")


def _limits(item: Any) -> list[str]:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    inner = getattr(item, "metadata", None)
    if inner:
        return [text for part in inner for text in _limits(part)]
    return [
        f"{sign} {getattr(item, name):g}"
        for name, sign in signs.items()
        if isinstance(getattr(item, name, None), int | float)
        and abs(getattr(item, name)) < _NO_LIMIT
    ]
