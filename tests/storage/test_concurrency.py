"""Many writers at once: nothing is lost, nothing happens twice, one wins.

Not run against fake-gcs-server: of eight creations at once that each ask that
the object be absent, it lets all eight succeed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.fixtures import Bucket
from tests.storage.incrementer import add
from trainer import storage

atomic = pytest.mark.parametrize("folder", ["local", "our server"], indirect=True)

THREADS = 5
TIMES = 5


def count_in_threads(folder: storage.Folder) -> list[str]:
    def work(who: int) -> None:
        mine = storage.open_folder(folder.address)
        for turn in range(TIMES):
            add(mine, f"{who}-{turn}")

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    return json.loads(folder.read("counter.json"))


@atomic
def test_threads_lose_no_increment(folder: storage.Folder) -> None:
    labels = count_in_threads(folder)
    assert len(labels) == len(set(labels)) == THREADS * TIMES


@pytest.mark.parametrize("kind", ["status", "reset", "lose_answer", "cut"])
def test_threads_lose_no_increment_in_a_failing_bucket(
    bucket: Bucket, bucket_folder: storage.Folder, kind: str
) -> None:
    bucket.faults.add(kind, every=5)
    labels = count_in_threads(bucket_folder)
    assert len(labels) == len(set(labels)) == THREADS * TIMES


@pytest.mark.parametrize("where", ["local", "bucket"])
def test_processes_lose_no_increment(
    bucket: Bucket, tmp_path_factory: pytest.TempPathFactory, where: str
) -> None:
    address = str(tmp_path_factory.mktemp("run")) if where == "local" else bucket.address
    command = [sys.executable, "-m", "tests.storage.incrementer", address]
    workers = [
        subprocess.Popen([*command, str(who), "8"], env=bucket.env(PYTHONPATH=os.getcwd()))
        for who in range(3)
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0, 0]
    labels = json.loads(storage.open_folder(address).read("counter.json"))
    assert len(labels) == len(set(labels)) == 24


def race(attempt: Callable[[int], object]) -> list[int]:
    """Run attempts at once; returns which of them had no conflict."""

    def one(number: int) -> int | None:
        try:
            attempt(number)
        except storage.Conflict:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        return [number for number in pool.map(one, range(8)) if number is not None]


@atomic
def test_one_creator_wins(folder: storage.Folder) -> None:
    for round_number in range(5):
        name = f"claim {round_number}"
        winners = race(
            lambda n, name=name: folder.write(name, b"%d" % n, if_generation=storage.ABSENT)
        )
        assert [b"%d" % winner for winner in winners] == [folder.read(name)]


@atomic
def test_one_swapper_wins(folder: storage.Folder) -> None:
    generation = folder.write("it", b"start")
    winners = race(lambda n: folder.write("it", b"%d" % n, if_generation=generation))
    assert [b"%d" % winner for winner in winners] == [folder.read("it")]


def test_a_forked_child_has_a_connection_of_its_own(bucket_folder: storage.Folder) -> None:
    bucket_folder.write("it", b"parent")
    child = os.fork()
    if child == 0:
        try:
            ok = bucket_folder.read("it") == b"parent"
            bucket_folder.write("from child", b"x")
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert bucket_folder.read("from child") == b"x"
