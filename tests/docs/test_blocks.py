"""Every code block of the documentation runs, or says what it needs that a test cannot have."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.docs.blocks import PAGES, blocks
from trainer.cli.main import cli

ALL = blocks()
COMMANDS = [(block.where, words) for block in ALL if block.language == "bash"
            for words in block.commands()]  # fmt: skip


@pytest.mark.parametrize(("where", "words"), COMMANDS, ids=lambda value: str(value)[:60])
def test_commands_and_options_exist(where, words):
    """Also of blocks that are not run."""
    group = click.Context(cli, info_name="catgan")
    name, command, rest = cli.resolve_command(group, list(words))
    if "…" in rest:
        rest = [word for word in rest if word != "…"]
    command.make_context(name, rest, parent=group)


def test_languages_are_known_and_reasons_are_given():
    assert {block.language for block in ALL} <= {"bash", "python", "text", "yaml"}
    assert {block.page for block in ALL if block.language == "bash"} >= {"README.md"}
    for block in ALL:
        assert not block.not_run or len(block.not_run) > 10, block.where


def test_every_benchmark_that_is_named_is_there():
    for page in PAGES:
        for name in re.findall(r"\bbenchmarks\.(\w+)", (REPOSITORY / page).read_text("utf-8")):
            assert (REPOSITORY / "benchmarks" / f"{name}.py").is_file(), f"{page}: {name}"


def test_every_link_between_pages_leads_somewhere():
    for page in PAGES:
        text = (REPOSITORY / page).read_text("utf-8")
        for target in re.findall(r"\]\((?!https?://)([^)#]+)(?:#[^)]*)?\)", text):
            assert ((REPOSITORY / page).parent / target).exists(), f"{page}: {target}"


@pytest.fixture
def place(tmp_path):
    """A checkout's configs, a home with pictures, and commands that train little."""
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    pictures = tmp_path / "home" / "Pictures" / "cats"
    pictures.mkdir(parents=True)
    noise = np.random.default_rng(0)
    for number in range(520):  # a fifth of them is enough to judge by
        small = noise.integers(0, 256, (8, 8, 3), np.uint8)
        large = Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)
        large.save(pictures / f"{number:03d}.png")
    with zipfile.ZipFile(tmp_path / "cats128.zip", "w") as archive:
        for path in pictures.iterdir():
            archive.write(path, path.name)
    shutil.copytree(pictures, tmp_path / "PICTURES")
    tools = tmp_path / "tools"
    tools.mkdir()
    program = tools / "catgan"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.docs.small_catgan "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.fixture
def env(place):
    """An environment with that home, and `catgan` that trains little before the real one."""
    return {
        **os.environ,
        "HOME": str(place / "home"),
        "PATH": f"{place / 'tools'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def run_block(block, place, env) -> None:
    """Runs a block as a reader would; pages of pictures and figures are not looked at."""
    programs = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    if block.language not in programs:
        return
    command = [*programs[block.language], block.text]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.where}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "block",
    [block for block in ALL if block.language == "python" and not block.not_run],
    ids=lambda block: block.where,
)
def test_python_blocks_run(block, place, env):
    run_block(block, place, env)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page, place, env):
    """All of a page in order, in one folder."""
    for block in ALL:
        if block.page == page and not block.not_run:
            run_block(block, place, env)
