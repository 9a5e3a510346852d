"""Files of ours with anything in them: never a traceback, always a code that says which kind."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.conftest import own_log_lines
from trainer.cli import main

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3)
    ),
    max_leaves=5,
)
FILES = {
    "datasets/tiny/manifest.json": ("datasets/tiny", 3),
    "runs/tiny/run.json": ("runs/tiny", 5),
    "runs/tiny/checkpoints/step-000000004/manifest.json": ("runs/tiny", 5),
}


def spots(value, path=()):
    """Yields the place of every value inside a JSON value."""
    yield path
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from spots(below, (*path, key))


def changed(value, path, new):
    """Returns a JSON value with one place replaced, or taken out where `new` is `...`."""
    if not path:
        return None if new is ... else new
    copy = json.loads(json.dumps(value))
    below = copy
    for key in path[:-1]:
        below = below[key]
    if new is ...:
        del below[path[-1]]
    else:
        below[path[-1]] = new
    return copy


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_file_is_never_a_traceback(trained, tmp_path, capfd, name):
    place = tmp_path / "here"
    for part in ("runs", "datasets"):
        shutil.copytree(trained / part, place / part)
    address, code = FILES[name]
    whole = json.loads((place / name).read_text())
    paths = sorted(spots(whole), key=str)

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(paths), st.just(...) | JSON)
    def try_one(path, new):
        (place / name).write_text(json.dumps(changed(whole, path, new)))
        capfd.readouterr()
        with own_log_lines():
            found = main.run(["inspect", str(place / address), "--json"])
        said = capfd.readouterr().err
        assert found in (0, code), said
        assert "internal error" not in said
        assert found == 0 or "  do: " in said

    try_one()


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_bytes_are_never_a_traceback(trained, tmp_path, capfd, name):
    place = tmp_path / "here"
    for part in ("runs", "datasets"):
        shutil.copytree(trained / part, place / part)
    address, code = FILES[name]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=60))
    def try_one(data):
        (place / name).write_bytes(data)
        capfd.readouterr()
        with own_log_lines():
            found = main.run(["inspect", str(place / address)])
        said = capfd.readouterr().err
        assert (found, "internal error" in said) == (code, False), said

    try_one()
