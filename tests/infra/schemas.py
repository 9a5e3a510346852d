"""What the API server would refuse: schemas of KubeRay and Kueue, and those of Kubernetes.

Owns reading the schemas, which are no part of the repository, and telling what is wrong with an
object in words. Rules that no schema can say are in `rules.py`.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SHARED

jsonschema = pytest.importorskip("jsonschema")
kubernetes_validate = pytest.importorskip("kubernetes_validate")

FOLDER = SHARED / "schemas"
KUBERNETES = "1.36"
# Kinds of these are not Kubernetes' own, so it has no schema of them.
EXTENSIONS = ("ray.io/", "kueue.x-k8s.io/")

Object = dict[str, Any]


def folder() -> Path:
    """Where the schemas are; skips the test that asks where there are none."""
    if not FOLDER.is_dir():
        pytest.skip(f"the schemas of KubeRay and Kueue are not at {FOLDER}")
    return FOLDER


@functools.cache
def _schemas() -> dict[tuple[str, str], Any]:
    found = {}
    for path in sorted(folder().glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        fields = schema.get("properties", {})
        if "kind" in fields:
            key = (fields["apiVersion"]["const"], fields["kind"]["const"])
            found[key] = jsonschema.Draft7Validator(schema)
    return found


def refused(item: Object) -> list[str]:
    """What the API server would say against an object; empty: it takes it."""
    kind = (item.get("apiVersion", ""), item.get("kind", ""))
    if kind[0].startswith(EXTENSIONS):
        if kind not in _schemas():
            return [f"{kind}: there is no such kind"]
        validator = _schemas()[kind]
        wrong = [
            f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(item)
        ]
        return wrong + list(_twice(validator.schema, validator.schema, item, "$"))
    try:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message[:200]}"]
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError):
        return [f"{kind}: there is no such kind"]
    return []


def _twice(schema: Object, root: Object, value: Any, where: str) -> Iterator[str]:
    """Entries of a list that have the same key: the API server refuses them."""
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        others = schema.get("additionalProperties")
        for name, inner in value.items():
            below = schema.get("properties", {}).get(name, others)
            if isinstance(below, dict):
                yield from _twice(below, root, inner, f"{where}.{name}")
    elif isinstance(value, list):
        yield from _same_keys(schema.get("x-kubernetes-list-map-keys", []), value, where)
        for place, inner in enumerate(value):
            if isinstance(schema.get("items"), dict):
                yield from _twice(schema["items"], root, inner, f"{where}[{place}]")


def _same_keys(names: list[str], items: list[Any], where: str) -> Iterator[str]:
    seen = set()
    for item in items if names else []:
        key = tuple(item.get(name) for name in names) if isinstance(item, dict) else ()
        if key in seen:
            yield f"{where}: {key} is there twice"
        seen.add(key)
