"""Processes of our own import what this one does, wherever it stands."""

import subprocess

from trainer import child, drawing


def test_another_package_of_the_same_name_in_the_working_folder_is_not_taken(tmp_path):
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer/__init__.py").write_text("raise SystemExit('a stranger')")
    (tmp_path / "json.py").write_text("raise SystemExit('a stranger')")
    ended = subprocess.run(
        child.command("trainer.launch.evaluators"),
        env=child.environment(),
        cwd=tmp_path,
        input="[]\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a stranger" not in ended.stderr
    assert "evaluators.py" in ended.stderr  # it was found, and did not like what it was told


def test_the_environment_is_kept_and_added_to(monkeypatch):
    monkeypatch.setenv("CATGAN_TEST", "kept")
    found = child.environment(CUDA_VISIBLE_DEVICES="-1")
    assert (found["CATGAN_TEST"], found["CUDA_VISIBLE_DEVICES"]) == ("kept", "-1")
    root = drawing.__file__.rsplit("/trainer/", 1)[0]
    assert root in found["PYTHONPATH"].split(":")
