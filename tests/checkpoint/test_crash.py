"""Real processes, killed with a real SIGKILL between any two writes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkpoint.conftest import assert_is_state
from trainer import checkpoint, storage
from trainer.run_folder import RunFolder, read_metrics

KILLED = -9
LAST_STEP = 40

Saver = Callable[..., int]


def _savers(env: dict[str, str], log) -> Iterator[Saver]:
    """Yields a function that saves in a process of its own and returns the calls it made."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.checkpoint.saver"],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
    )  # fmt: skip

    def save(address, *, kill_at=0, kind="storage", last_step=LAST_STEP) -> int:
        order = {"address": str(address), "last_step": last_step, "kill_at": kill_at, "kind": kind}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, f"the saver died; {log.name} says why"
        status, printed = json.loads(answer)
        assert status in (0, KILLED if kill_at else 0), Path(log.name).read_text()
        return int(printed or 0)

    yield save
    process.stdin.close()
    assert process.wait(60) == 0


@pytest.fixture
def saver(tmp_path) -> Iterator[Saver]:
    with (tmp_path / "log").open("w") as log:
        yield from _savers(dict(os.environ), log)


@pytest.fixture
def bucket_saver(tmp_path, bucket) -> Iterator[Saver]:
    with (tmp_path / "log").open("w") as log:
        yield from _savers(bucket.env(), log)


def check_whole(address) -> int:
    """Checks the newest checkpoint and the rows up to it; returns its step, 0 for none."""
    run = RunFolder(storage.open_folder(str(address)))
    newest = checkpoint.find_newest(run)
    if newest is None:
        return 0
    assert_is_state(newest.load(), newest.step)
    rows = [row["step"] for row in read_metrics(run) if row["step"] <= newest.step]
    assert rows == list(range(10, newest.step + 1, 10))
    return newest.step


def kill_and_go_on(save: Saver, address, points, kind="storage") -> None:
    """Kills at each point in turn, each time going on from what the ones before left."""
    step = 0
    for point in points:
        save(address, kill_at=point, kind=kind, last_step=step + LAST_STEP)
        was, step = step, check_whole(address)
        assert step >= was, "what was published is not lost"
        for unfinished in Path(address).glob("**/.catgan-tmp-*"):
            os.utime(unfinished, (0, 0))  # as if the restart had taken its time
    assert step > 0
    save(address, last_step=step + 10)
    assert check_whole(address) == step + 10


def kill_everywhere(save: Saver, folder, kind="storage") -> None:
    """Kills at every point, each time in a run of its own, and goes on once."""
    for point in range(1, save(f"{folder}/count", kind=kind) + 1):
        address = f"{folder}/run-{point}"
        save(address, kill_at=point, kind=kind)
        step = check_whole(address)
        save(address, last_step=step + 10)
        assert check_whole(address) == step + 10


def leftovers(address) -> list[str]:
    """Files that are neither of the newest two checkpoints, nor rows, nor the record."""
    run = RunFolder(storage.open_folder(str(address)))
    kept = set()
    for item in checkpoint.list_all(run)[-2:]:
        assert item.counts
        folder = f"checkpoints/step-{item.step:09d}"
        kept |= {f"{folder}/manifest.json"} | {f"{folder}/{p.name}" for p in item.manifest.parts}
    return [
        entry.name
        for entry in run.folder.list()
        if entry.name not in kept | {"run.json"} and not entry.name.startswith("metrics/")
    ]


def test_killed_on_disk_between_storage_calls(tmp_path, saver):
    calls = saver(tmp_path / "count")
    assert calls > 60
    kill_and_go_on(saver, tmp_path / "run", range(1, calls, 4))
    assert leftovers(tmp_path / "run") == []


def test_killed_on_disk_between_system_calls(tmp_path, saver):
    calls = saver(tmp_path / "count", kind="system")
    assert calls > 100
    kill_and_go_on(saver, tmp_path / "run", range(1, calls, 13), "system")
    assert leftovers(tmp_path / "run") == []
    assert not list(tmp_path.glob("run/**/.catgan-tmp-*")), "nor unfinished files"
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2


def test_killed_on_a_bucket_between_storage_calls(bucket, bucket_saver):
    calls = bucket_saver(f"{bucket.address}/count")
    kill_and_go_on(bucket_saver, f"{bucket.address}/run", range(1, calls, 13))
    assert leftovers(f"{bucket.address}/run") == []


def test_a_bucket_with_faults_slows_saving_and_changes_nothing(bucket, bucket_saver):
    bucket.faults.add("status", status=503, every=3)
    bucket.faults.add("lose_answer", every=7)
    bucket.faults.add("cut", every=11)
    address = f"{bucket.address}/run"
    bucket_saver(address)
    assert check_whole(address) == LAST_STEP
    assert len(RunFolder(storage.open_folder(address)).read_record().starts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["storage", "system"])
def test_killed_on_disk_at_every_point(tmp_path, saver, kind):
    kill_everywhere(saver, tmp_path, kind)


@pytest.mark.slow
def test_killed_on_a_bucket_at_every_point(bucket, bucket_saver):
    kill_everywhere(bucket_saver, bucket.address)
