"""A stretch of a run trained again: the same bits, or the change is found."""

import json

import numpy as np
import pytest

from tests.launch.conftest import EVERY, STEPS, open_run
from trainer import checkpoint, config, device, storage
from trainer.checkpoint.format import serialise
from trainer.checkpoint.listing import fetch_manifest, manifest_name
from trainer.errors import CheckpointError, ConfigError
from trainer.launch import again, audit, starting
from trainer.launch.scratch import copy_all
from trainer.launch.verify_compare import differences
from trainer.run_folder import RunRecord, StartRecord, names
from trainer.run_folder.record import DatasetRecord


@pytest.fixture
def audited(small):
    """`catgan audit` in a process of its own, as JSON; `(exit code, answer)`."""

    def run(address, *words):
        process = small.server.catgan("audit", str(address), "--json", *map(str, words))
        code = process.wait()
        return code, json.loads(process.output() or "{}") or process.told()

    return run


@pytest.fixture
def published(unbroken, tmp_path):
    """A copy of the run without a stop, for those that change it."""
    copy_all(open_run(unbroken).folder, storage.open_folder(str(tmp_path / "published")))
    return tmp_path / "published"


def test_a_stretch_of_an_untouched_run_is_the_same(audited, unbroken, tmp_path):
    code, found = audited(unbroken, "--interval", "last", "--scratch", tmp_path / "scratch")
    assert code == 0, found
    assert (found["first"], found["last"]) == (STEPS - EVERY, STEPS)
    assert found["exact"], found["why_not"]
    assert found["different"] == []
    assert found["tensors"] > 20
    assert list(tmp_path.iterdir()) == []


def record_of(*first_steps):
    starts = tuple(
        StartRecord(number=number, token=str(number), first_step=step)
        for number, step in enumerate(first_steps, 1)
    )
    dataset = DatasetRecord(address="data", fingerprint="f")
    return RunRecord(name="x", dataset=dataset, config_hash="", starts=starts)


@pytest.mark.parametrize(
    ("first_steps", "stretch", "inside"),
    [
        ((0, 20), (20, 40), []),
        ((0, 20), (0, 40), [2]),
        ((0, 20), (0, 20), []),
        ((0, 50, 20), (20, 90), []),  # the run went back behind start 2
        ((0, 50, 60, None), (20, 90), [2, 3]),
    ],
)
def test_starts_inside_a_stretch_are_known(first_steps, stretch, inside):
    found = again.starts_between(record_of(*first_steps), *stretch)
    assert [start.number for start in found] == inside


def test_a_stretch_of_several_starts_and_another_device_accuse_nobody(monkeypatch):
    """Settings may have changed at a checkpoint that is not kept."""
    ours = starting.versions()
    trained = StartRecord(number=1, token="1", first_step=0, versions=ours)
    exact = config.from_text("deterministic: true")
    assert not audit._why_not_exact(exact, trained, [])
    later = StartRecord(number=2, token="2", first_step=50, versions=ours)
    assert "from step 50" in audit._why_not_exact(exact, trained, [later])
    on_gpu = trained.model_copy(update={"versions": {**ours, "gpu": "X"}})
    assert "gpu X there, none here" in audit._why_not_exact(exact, on_gpu, [])
    monkeypatch.setattr(device, "gpu_name", lambda: "X")
    assert not audit._why_not_exact(exact, on_gpu, [])
    assert "gpu none there, X here" in audit._why_not_exact(exact, trained, [])


def flip_one_bit(run, step: int) -> str:
    """Changes the last bit of one weight, and mends every checksum; returns its name."""
    folder = open_run(run)
    manifest, _ = fetch_manifest(folder, step)
    state = checkpoint.open_step(folder, step).load()
    name = next(
        name for name in sorted(state) if name.startswith("generator/") and "kernel" in name
    )
    bits = state[name].copy()
    bits.view(np.uint32).flat[7] ^= 1
    state[name] = bits
    place = names.checkpoint_folder(step)
    text = json.loads(folder.folder.read(manifest_name(step)))
    for part in text["parts"]:
        inside = [t for t, entry in text["tensors"].items() if entry["part"] == part["name"]]
        data, checksum = serialise({t: state[t] for t in inside})
        folder.folder.write(f"{place}/{part['name']}", bytes(data))
        part.update(size_bytes=len(data), sha256=checksum)
    folder.folder.write(manifest_name(step), json.dumps(text).encode())
    assert manifest.step == step
    return name


@pytest.mark.parametrize("at", [STEPS, STEPS - EVERY])
def test_one_bit_of_one_weight_is_found(audited, published, tmp_path, at):
    """At the end of the stretch, or at its beginning; every checksum is right."""
    name = flip_one_bit(published, at)
    checkpoint.open_step(open_run(published), at).verify()
    code, found = audited(published, "--interval", "last", "--scratch", tmp_path / "scratch")
    assert code == 5
    assert found["exact"]
    assert found["verdict"] == "different"
    if at == STEPS:
        assert len(found["different"]) == 1
        assert found["different"][0].startswith(f"{name}: 1 of ")


def test_from_the_beginning_and_noted_for_the_page(audited, published, tmp_path):
    code, found = audited(
        published, "--interval", STEPS - 2 * EVERY, "--note", "--scratch", tmp_path / "scratch"
    )
    assert code == 0, found
    assert (found["first"], found["last"]) == (0, STEPS - 2 * EVERY)
    noted = json.loads((published / names.audit(STEPS - 2 * EVERY)).read_text())
    assert noted["verdict"] == "same"
    from trainer.report.page import page
    from trainer.report.run_view import read_run

    text = page([read_run(str(published))])
    assert f"steps 1 to {STEPS - 2 * EVERY}" in text
    assert "have the same bits" in text


def test_a_changed_config_is_found(audited, published, tmp_path):
    """The config is part of every checkpoint: another rate gives other weights."""
    folder = open_run(published)
    text = json.loads(folder.folder.read(manifest_name(STEPS)))
    meta = text["meta"]
    changed = config.from_text(meta["config"], ["generator_optimizer.rate=0.0003"])
    meta["config"] = config.to_yaml(changed)
    folder.folder.write(manifest_name(STEPS), json.dumps(text).encode())
    code, found = audited(published, "--interval", "last", "--scratch", tmp_path / "scratch")
    assert code == 5, found


def test_what_cannot_be_audited_is_said(unbroken, tmp_path):
    with pytest.raises(ConfigError, match="no stretch ends at step 3"):
        audit.audit(str(unbroken), interval="3")
    with pytest.raises(CheckpointError, match="no run"):
        audit.audit(str(tmp_path / "nothing"))


def test_why_bits_may_differ(unbroken):
    run = open_run(unbroken)
    settings = again.config_until(run, STEPS)
    start = run.must_have_record().starts[-1]
    assert audit._why_not_exact(settings, start, []) == ""
    loose = settings.model_copy(update={"deterministic": False})
    assert "deterministic=true" in audit._why_not_exact(loose, start, [])
    silent = start.model_copy(update={"versions": {}})
    assert "what processor" in audit._why_not_exact(settings, silent, [])
    away = start.model_copy(
        update={"world_size": 4, "versions": {**start.versions, "tensorflow": "1.0"}}
    )
    told = audit._why_not_exact(settings, away, [])
    assert "4 workers trained it" in told
    assert "tensorflow 1.0 there" in told


def test_what_is_no_longer_rounding_is_not_called_a_change():
    """Where bits could not be expected to be the same, nobody is accused."""
    expected = {"w": np.ones(4, np.float32)}
    near = differences(expected, {"w": np.array([1, 1, 1, 1.0001], np.float32)})
    far = differences(expected, {"w": np.array([1, 1, 1, 2], np.float32)})
    assert audit._verdict([], exact=True) == "same"
    assert audit._verdict(near, exact=True) == "different"
    assert audit._verdict(near, exact=False) == "same but for rounding"
    assert audit._verdict(far, exact=False) == "undecided"
