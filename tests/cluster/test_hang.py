"""Workers that hang, fail, or fail again and again: one message names rank, host and cause."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator

import pytest

from tests.cluster.driving import (
    EVERY,
    SLOWLY,
    STEPS,
    Drive,
    assert_finished,
    assert_same_bits,
    checkpoints,
    final_state,
    open_run,
    record,
)
from tests.cluster.nodes import Nodes, several
from tests.conftest import REPOSITORY
from trainer.run_folder import read_metrics

pytestmark = pytest.mark.cluster

TROUBLED = (sys.executable, str(REPOSITORY / "tests" / "cluster" / "troubled.py"))
RANK_1 = f"rank 1 on {socket.gethostname()}"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with several(1, 1) as started:
        yield started


@pytest.fixture
def drive(config, tmp_path, nodes):
    """Starts the run of this test with a trouble, and waits for its end."""

    def start(kind: str, *words: str) -> tuple[int, str]:
        run = ("train", str(config), f"run={tmp_path / 'run'}", "--address", nodes.address)
        program = (*TROUBLED, kind, str(tmp_path / "marker"))
        with Drive(tmp_path, *run, *words, program=program) as driven:
            code = driven.wait()
            driven.leaves_nothing()
        told = driven.told()
        assert "Traceback" not in told
        print(told)
        return code, told

    return start


def resume(tmp_path, nodes) -> None:
    words = ("resume", str(tmp_path / "run"), "--address", nodes.address)
    with Drive(tmp_path, *words) as driven:
        driven.succeed()
        driven.leaves_nothing()


def test_a_stuck_worker_is_noticed_and_replaced(drive, undisturbed, tmp_path):
    code, told = drive("hangs", "cluster.hang_timeout_secs=15")
    assert code == 0, told
    assert_same_bits(undisturbed, final_state(tmp_path / "run"))
    assert_finished(tmp_path / "run")
    first, second = record(tmp_path / "run").starts
    assert first.cause.startswith(f"{RANK_1}: stood still for ")
    assert "after step 45, in troubled.py:" in first.cause
    assert "(hangs), called from callbacks/base.py:" in first.cause
    assert second.first_step == 40
    assert told.count("stood still") == 1, told


def test_a_long_end_is_no_hang(drive, undisturbed, tmp_path):
    """Rank 0 waits longer than for any step, and rank 1 for rank 0."""
    code, told = drive("lingers", "cluster.hang_timeout_secs=15")
    assert code == 0, told
    assert "stood still" not in told
    assert_same_bits(undisturbed, final_state(tmp_path / "run"))
    assert_finished(tmp_path / "run")
    assert len(record(tmp_path / "run").starts) == 1


def test_shards_that_stall_are_noticed_and_read_again(config, undisturbed, tmp_path, nodes):
    """As on a file system of a network whose server does not answer."""
    run, pictures = tmp_path / "run", tmp_path / "pictures"
    shutil.copytree(config.parent / "pictures", pictures)
    keys = (f"dataset.address={pictures}", "dataset.memory_mib=0", "cluster.hang_timeout_secs=15")
    words = ("train", str(config), f"run={run}", *keys, "--address", nodes.address)
    with Drive(tmp_path, *words, program=SLOWLY) as driven:
        driven.wait_for_step(30)
        shards = sorted(pictures.glob("train-*"))
        for shard in shards:
            shard.rename(shard.with_suffix(".kept"))
            os.mkfifo(shard)
        driven.wait_for("stood still")
        for shard in shards:
            shard.with_suffix(".kept").replace(shard)
        driven.succeed()
        driven.leaves_nothing()
    assert_same_bits(undisturbed, final_state(run))
    assert_finished(run)
    first, second = record(run).starts
    assert first.cause.endswith("waiting for data")
    assert second.first_step >= 20
    assert driven.told().count("stood still") == 1, driven.told()


def test_damaged_pictures_are_told_once(config, tmp_path, nodes):
    """All ranks find them."""
    pictures = tmp_path / "pictures"
    shutil.copytree(config.parent / "pictures", pictures)
    for shard in pictures.glob("train-*"):
        damaged = bytearray(shard.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        shard.write_bytes(damaged)
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}", f"dataset.address={pictures}")
    with Drive(tmp_path, *words, "--address", nodes.address) as driven:
        assert driven.wait() == 3, driven.told()
        driven.leaves_nothing()
    told = driven.told()
    assert "Traceback" not in told
    assert told.count("its SHA-256 begins") == 1, told
    assert f"on {socket.gethostname()}: " in told
    assert len(record(run).starts) == 1


def test_a_step_that_kills_its_worker_ends_the_run(drive, undisturbed, tmp_path, nodes):
    """Three times by default; without what kills it, the run goes on."""
    code, told = drive("dies")
    assert code == 6, told
    found = record(tmp_path / "run")
    assert found.status == "failed"
    assert [start.first_step for start in found.starts] == [0, 40, 40]
    assert found.starts[-1].cause.startswith(f"{RANK_1} died")
    last = told.strip().splitlines()[-3:]
    assert any("3 starts in a row" in line and f"{RANK_1} died" in line for line in last), told
    assert any("catgan resume" in line for line in last), told
    resume(tmp_path, nodes)
    assert_same_bits(undisturbed, final_state(tmp_path / "run"))
    assert_finished(tmp_path / "run")


def test_a_bug_is_tried_again_and_then_told_with_its_cause(drive, tmp_path):
    code, told = drive("bug", "cluster.max_same_step_failures=2")
    assert code == 6, told
    found = record(tmp_path / "run")
    assert [start.first_step for start in found.starts] == [0, 40]
    for start in found.starts:
        assert start.cause == f"{RANK_1}: ValueError: three is not four"
    assert told.count("going on from the newest checkpoint") == 2 - 1, told
    assert "2 starts in a row" in told


@pytest.mark.parametrize(
    ("kind", "code", "what"),
    [
        ("own", 3, f"{RANK_1}: the shelf is empty"),
        ("diverges", 7, f"rank 0 on {socket.gethostname()}: the losses of step 46 are not finite"),
    ],
)
def test_an_error_with_a_remedy_is_told_once_and_not_tried_again(drive, tmp_path, kind, code, what):
    got, told = drive(kind, "training.max_rollbacks=0")
    assert got == code, told
    assert told.count(what) == 1, told
    found = record(tmp_path / "run")
    assert found.status == "failed"
    assert len(found.starts) == 1
    assert checkpoints(tmp_path / "run") == [EVERY, 2 * EVERY]
    assert "going on" not in told


def test_losses_that_are_no_numbers_send_all_workers_back(drive, tmp_path, nodes):
    """They come in every attempt; without what makes them, the run goes on at the lower rates."""
    code, told = drive("diverges", "training.max_rollbacks=1")
    assert code == 7, told
    assert "rates of 1/2 and other pictures and draws (1 of at most 1 times" in told
    assert [start.first_step for start in record(tmp_path / "run").starts] == [0, 40]
    resume(tmp_path, nodes)
    assert_finished(tmp_path / "run")
    rows = [row for row in read_metrics(open_run(tmp_path / "run")) if row["step"] > 40]
    assert {row.get("rollbacks") for row in rows} == {1}


def test_a_lost_port_costs_nothing(drive, undisturbed, tmp_path):
    code, told = drive("port", "cluster.max_failures=0")
    assert code == 0, told
    assert_same_bits(undisturbed, final_state(tmp_path / "run"))
    first, second = record(tmp_path / "run").starts
    assert "port" in first.cause
    assert (first.first_step, second.first_step) == (0, 0)
    assert record(tmp_path / "run").step == STEPS
