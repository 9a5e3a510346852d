"""What a hostile file, address or package must not be able to do."""

import importlib.util
import json
import logging
import zipfile
from pathlib import Path

import keras
import pytest

from tests.conftest import REPOSITORY
from trainer import console
from trainer.config import from_text
from trainer.drawing import open_generator
from trainer.errors import CheckpointError, ConfigError, masked
from trainer.gan.export import foreign_objects
from trainer.launch.job_package import refuse_secrets
from trainer.launch.job_server import address_of

SECRET = "hunter2"
ADDRESS = f"https://me:{SECRET}@host.example:8265/path"


def test_passwords_in_addresses_are_masked():
    assert masked(f"no answer from {ADDRESS}: x") == (
        "no answer from https://…@host.example:8265/path: x"
    )
    for plain in ("gs://bucket/a@b", "https://host/a@b", "mail me@host", "a://b c@d"):
        assert masked(plain) == plain


def test_errors_carry_no_password():
    error = ConfigError(ADDRESS, expected=ADDRESS, remedy=ADDRESS)
    assert SECRET not in f"{error} {error.what} {error.args}"


def test_log_lines_carry_no_password(capfd, tmp_path):
    log = logging.getLogger("catgan")
    before = log.handlers[:], log.level, log.propagate
    try:
        console.set_up(log_file=tmp_path / "log")
        log.warning("connecting to %s", ADDRESS)
        for handler in log.handlers:
            handler.flush()
    finally:
        log.handlers[:], log.level, log.propagate = before
    said = capfd.readouterr().err + (tmp_path / "log").read_text()
    assert said.count("…@host.example") == 2
    assert SECRET not in said


@pytest.mark.parametrize("key", ["run", "dataset.address", "dataset.source"])
def test_a_command_does_not_repeat_a_password(key, tmp_path, capfd, monkeypatch):
    from trainer.cli import main

    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.yaml"
    config.write_text("training: {steps: 1}\n")
    assert main.run(["train", str(config), f"{key}={ADDRESS}", "--dry-run"]) != 0
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err


def test_a_job_server_is_not_named_with_a_password():
    with pytest.raises(ConfigError, match="has a name or password") as caught:
        address_of(ADDRESS)
    assert SECRET not in str(caught.value)


def test_a_variable_with_a_password_is_not_sent():
    refuse_secrets({"STORAGE_EMULATOR_HOST": "http://host:80", "CATGAN_X": "a"})
    with pytest.raises(ConfigError, match="STORAGE_EMULATOR_HOST holds an address") as caught:
        refuse_secrets({"STORAGE_EMULATOR_HOST": ADDRESS})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system ['touch pwned']", "run: !!python/name:os.system ''"],
)
def test_yaml_makes_no_objects(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not valid YAML"):
        from_text(text)
    assert not list(tmp_path.iterdir())


def a_generator(path: Path) -> Path:
    latents = keras.Input((8,))
    pictures = keras.layers.Reshape((2, 2, 2))(latents)
    keras.Model(latents, pictures, name="generator_of_normal").save(path)
    return path


def with_layer(path: Path, **changed: object) -> Path:
    """The file, its last layer said to be something else."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][-1].update(changed)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def test_a_generator_of_keras_own_layers_is_taken(tmp_path):
    assert foreign_objects(a_generator(tmp_path / "generator.keras")) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"module": "os", "class_name": "system"},
        {"module": "builtins", "class_name": "eval"},
        {"module": "keras.utils", "class_name": "get_file"},
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "serialize"},
        {"module": "trainer.cli.main", "class_name": "run"},
        {"module": None, "class_name": "Mine", "registered_name": "mine>Mine"},
    ],
    ids=lambda changed: f"{changed['module']}.{changed['class_name']}",
)
def test_a_generator_that_asks_for_other_code_is_refused(changed, tmp_path):
    path = with_layer(a_generator(tmp_path / "generator.keras"), **changed)
    assert foreign_objects(path) == [changed["class_name"]]
    with pytest.raises(CheckpointError, match="asks for code that is not Keras' own"):
        open_generator(str(path))


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", REPOSITORY / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"dependencies": [{"name": "a", "version": "1", "vulns": []}]}
BAD = {"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1"}]}]}
SKIPPED = {"dependencies": [{"name": "a", "skip_reason": "not found"}]}
OWN = {"dependencies": [*CLEAN["dependencies"], {"name": "catgan", "skip_reason": "not found"}]}


@pytest.mark.parametrize(
    ("report", "code"), [(CLEAN, 0), (OWN, 0), (BAD, 1), (SKIPPED, 1), ({}, 1)]
)
def test_an_audit_passes_only_what_it_has_seen(audit, report, code):
    assert audit.judged(report) == code


@pytest.mark.parametrize(
    ("canary", "code", "told"),
    [
        (SKIPPED, 3, "NOT DONE"),
        ({}, 3, "NOT DONE"),
        (CLEAN, 3, "NOT DONE"),
        (BAD, 0, "1 packages, none"),
    ],
    ids=["skipped", "no answer", "not known", "reached"],
)
def test_an_audit_without_its_database_says_so(audit, canary, code, told, monkeypatch, capsys):
    """What was asked for first is the package that is known to be bad."""
    reports = [canary, CLEAN]
    monkeypatch.setattr(audit, "audited", lambda *words: reports.pop(0))
    assert audit.main() == code
    assert told in capsys.readouterr().out
