"""All that is checked of Kubernetes objects, in one question.

Owns the order: schemas and Kubernetes' own types, the operator's rules, and the same again for
every pod inside.
"""

from pathlib import Path
from typing import Any

import yaml

from tests.infra import rules, schemas

Object = dict[str, Any]


def problems(item: Object) -> list[str]:
    """What is wrong with an object; empty: nothing."""
    # A rule may trip over what a schema refuses, so it is asked only of what is well formed.
    if found := schemas.refused(item):
        return found
    inner = [text for pod in rules.pods_of(item) for text in schemas.refused(pod)]
    return inner + rules.broken(item)


def all_problems(items: list[Object]) -> list[str]:
    """The same of several, each with its kind and name; and whether two have one name."""
    found, seen = [], set()
    for item in items:
        place = item.get("metadata", {})
        key = (item.get("kind"), place.get("namespace"), place.get("name"))
        if key in seen:
            found.append(f"{key} is there twice")
        seen.add(key)
        found += [f"{item.get('kind')} {place.get('name')}: {text}" for text in problems(item)]
    return found


def read(text: str) -> list[Object]:
    """The objects of a YAML text."""
    return [item for item in yaml.safe_load_all(text) if item]


def read_file(path: Path) -> list[Object]:
    """The objects of a YAML file."""
    return read(path.read_text(encoding="utf-8"))


def only(items: list[Object], kind: str) -> Object:
    """The one object of a kind."""
    (found,) = [item for item in items if item["kind"] == kind]
    return found
