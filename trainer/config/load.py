"""Reads a config from YAML and `key=value` overrides; writes it back as YAML.

Every way in ends in ConfigError with the key's name, the value, what was
expected and, for an unknown key, the closest known one.
"""

import difflib
import re
import types
from collections.abc import Sequence
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from trainer.config.check import check
from trainer.config.settings import Config
from trainer.errors import ConfigError

_MAX_CONFIG_BYTES = 1_000_000
_SECTIONS = frozenset(
    name
    for name, field in Config.model_fields.items()
    if field.default_factory or isinstance(field.default, BaseModel)
)


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a config file, applies `key.sub=value` overrides, checks it.

    `run` and `dataset.address` default to `runs/NAME` and `datasets/NAME`,
    where NAME is the file's name without its ending.

    Raises:
        ConfigError: For a missing file, bad YAML, or any key or value at fault.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config file at {path}",
            expected="the path of a YAML file",
            remedy=_similar_file(path),
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the config {path} cannot be read: {getattr(error, 'strerror', None) or error}",
            expected="a YAML file that this user may read",
            remedy="give its path, for example configs/debug.yaml",
        ) from None
    return from_text(decoded(raw, str(path)), overrides, name=path.stem, where=str(path))


def from_text(
    text: str,
    overrides: Sequence[str] = (),
    *,
    name: str = "",
    where: str = "the config",
) -> Config:
    """Reads a config from YAML text; see `load`."""
    tree = _parse(text, where)
    for item in overrides:
        _set(tree, *_split(item))
    if name:
        tree.setdefault("run", f"runs/{name}")
        dataset = tree.setdefault("dataset", {})
        if isinstance(dataset, dict):
            dataset.setdefault("address", f"datasets/{name}")
    return _validate(tree, where)


def override(config: Config, overrides: Sequence[str]) -> Config:
    """Returns the config with `key=value` overrides applied and checked again."""
    tree = config.model_dump(mode="json")
    for item in overrides:
        _set(tree, *_split(item))
    return _validate(tree, "the overrides")


def to_yaml(config: Config) -> str:
    """Returns the whole config, defaults included, as YAML that `from_text` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def setting(key: str, value: Any) -> str:
    """Returns `key=value` as an override that reads back as this value, plain as in JSON."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return f"{key}=" + text.removesuffix("...\n").rstrip()


def differences(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Returns `{key: (value in one, value in other)}` for all keys that differ."""
    left, right = flat(one), flat(other)
    return {key: (left[key], right[key]) for key in left if left[key] != right[key]}


def flat(config: Config) -> dict[str, Any]:
    """Returns `{key: value}` of all keys, in their order, as plain values."""
    tree = config.model_dump(mode="json")
    return {key: reduce(getitem, key.split("."), tree) for key in all_keys()}


def decoded(raw: bytes, where: str) -> str:
    """Returns the text of a config; raises ConfigError where it is none."""
    if len(raw) > _MAX_CONFIG_BYTES:
        raise ConfigError(
            f"{where} has {len(raw):,} bytes",
            expected=f"a config of at most {_MAX_CONFIG_BYTES:,} bytes",
            remedy="give the YAML config, not a data file",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{where} is not UTF-8 text (byte {error.start})",
            expected="a YAML file",
            remedy="save it as UTF-8",
        ) from None


class _Loader(yaml.SafeLoader):
    """YAML without duplicate keys and without aliases, which can unpack to gigabytes."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.YAMLError(f"an alias (*name) at line {mark.line + 1} is not allowed here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str) and key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key!r} stands twice, again at line {line}")
            seen.add(key if isinstance(key, str) else id(key_node))
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 4e-4 as text; people write rates that way.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)


def _yaml(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader, stricter
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        message = " ".join(str(error).split())
        raise ConfigError(
            f"{where} is not valid YAML: {message[:300]}",
            expected="`key: value` lines, sections indented by two blanks",
            remedy="mend the line that is named",
        ) from None


def _parse(text: str, where: str) -> dict:
    tree = _yaml(text, where)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{where} holds a {type(tree).__name__}, not keys",
            expected="`key: value` lines",
            remedy="start from one of the files in configs/",
        )
    # A section whose lines are all comments is an empty one.
    return {key: {} if value is None and key in _SECTIONS else value for key, value in tree.items()}


def _split(item: str) -> tuple[str, Any]:
    key, sign, value = item.partition("=")
    if not sign or not key.strip():
        raise ConfigError(
            f"{item!r} is not an override",
            expected="key=value, e.g. training.steps=1000",
            remedy="write it without blanks around the =",
        )
    parsed = _yaml(value, f"the value of {key.strip()}")
    return key.strip(), "" if parsed is None and value.strip() not in ("null", "~") else parsed


def _set(tree: dict, key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        below = tree.setdefault(section, {})
        if not isinstance(below, dict):
            raise ConfigError(
                f"{key} cannot be set: {section} is a value, not a section",
                expected="a key of the config",
                remedy=_closest(key),
            )
        tree = below
    tree[last] = value


def _validate(tree: dict, where: str) -> Config:
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, where) from None
    except RecursionError:
        raise ConfigError(
            f"{where} is nested too deep",
            expected="sections of one level",
            remedy="write `key: value` lines under each section; all keys: catgan train --keys",
        ) from None
    return check(config)


def _key(problem: Any) -> str:
    # A union adds the name of each member it tried behind the key.
    return ".".join(str(part) for part in problem["loc"] if part not in ("literal['auto']", "bool"))


def _explain(error: ValidationError, where: str) -> ConfigError:
    problems = error.errors(include_url=False)
    first = problems[0]
    key = _key(first)
    rest = {_key(problem) for problem in problems} - {key}
    more = f" (and {len(rest)} more: {', '.join(sorted(rest)[:5])})" if rest else ""
    if first["type"] == "extra_forbidden":
        held = first.get("input")
        if isinstance(held, dict) and held:
            key = f"{key}.{next(iter(held))}"
        return ConfigError(
            f"{where}: there is no key {key!r}{more}",
            expected="a key of the config",
            remedy=_closest(key),
        )
    value = repr(first.get("input"))
    short = value if len(value) <= 80 else value[:77] + "..."
    return ConfigError(
        f"{where}: {key}={short} cannot be used{more}",
        expected=" or ".join(
            problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            for problem in problems
            if _key(problem) == key
        ),
        remedy=_help(key),
    )


def all_keys(model: type[BaseModel] = Config, prefix: str = "") -> dict[str, Any]:
    """Returns `{dotted key: pydantic FieldInfo}` for every key that takes a value."""
    keys: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field.annotation
        if (
            isinstance(kind, type)
            and not isinstance(kind, types.GenericAlias)
            and issubclass(kind, BaseModel)
        ):
            keys |= all_keys(kind, f"{prefix}{name}.")
        else:
            keys[prefix + name] = field
    return keys


def _closest(key: str) -> str:
    known = list(all_keys())
    sections = sorted({name.split(".")[0] for name in known if "." in name})
    if "." not in key and (near := difflib.get_close_matches(key, sections, 1, 0.7)):
        return f"did you mean the section {near[0]}?"
    last = key.rsplit(".", 1)[-1]
    close = [name for name in known if name.rsplit(".", 1)[-1] == last]
    close = difflib.get_close_matches(key, close or known, 2, 0.0 if close else 0.5)
    if not close:
        by_last = {name.rsplit(".", 1)[-1]: name for name in known}
        close = [by_last[n] for n in difflib.get_close_matches(last, list(by_last), 1, 0.5)]
    return f"did you mean {' or '.join(close)}?" if close else "all keys: catgan train --keys"


def _help(key: str) -> str:
    # An element of a list is told with its place behind the key.
    field = all_keys().get(re.sub(r"\.\d+$", "", key))
    if field is None:
        return "write the section as `key: value` lines"
    return f"{key}: {field.description}"


def _similar_file(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml")]
    except OSError:
        names = []
    close = difflib.get_close_matches(path.name, names, 1, 0.4)
    if close:
        return f"did you mean {path.with_name(close[0])}?"
    return "give a config such as configs/debug.yaml, or use `catgan train --pictures DIR`"
