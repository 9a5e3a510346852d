"""The command line, run inside this process."""

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from trainer.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def answer(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)


@contextlib.contextmanager
def own_log_lines():
    """Puts the logger back as it was: commands set it up for a whole process."""
    log = logging.getLogger("catgan")
    before = log.handlers[:], log.level, log.propagate
    try:
        yield
    finally:
        log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def catgan(capfd, monkeypatch, tmp_path):
    """Runs `catgan ARGUMENTS` in an empty folder; never raises."""
    monkeypatch.chdir(tmp_path)
    # Commands set these for their process; here they must not outlast the test.
    for name, value in {"TF_ENABLE_ONEDNN_OPTS": "1", "GRPC_VERBOSITY": "ERROR"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: object) -> Ended:
        capfd.readouterr()
        with own_log_lines():
            code = main.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ended(code, out, err)

    return run


TINY = (
    "dataset:\n  source: drawn:40\n  size_px: 32\n  val_fraction: 0.1\n"
    "model: {base_channels: 4, latent_dim: 8}\n"
    "training: {steps: 4, global_batch: 8}\n"
    "checkpoint: {every_steps: 2}\n"
    "samples: {every_steps: 100, count: 4}\n"
    "metrics: {every_steps: 1}\n"
    "log: {tensorboard: false}\n"
)


@pytest.fixture
def tiny(tmp_path):
    """A config that trains in seconds, at `tiny.yaml` in the command's folder."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder with a finished run `runs/tiny` on `datasets/tiny`; not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.yaml").write_text(TINY)
    with contextlib.chdir(folder), own_log_lines():
        assert main.run(["train", "tiny.yaml"]) == 0
    return folder
