"""`catgan prepare` as a person meets it."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest

from tests.data.pictures import pictures, write_folder
from trainer import storage
from trainer.data.shards import read_manifest


def catgan(*arguments, **options):
    command = [sys.executable, "-m", "trainer", "prepare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def test_the_answer_is_the_address_and_all_else_is_beside_it(tmp_path):
    source = write_folder(tmp_path / "source", {**pictures(30), "bad.jpg": b"", "a.txt": b"x"})
    done = catgan(source, tmp_path / "set", "--size", 16, "--workers", 1)
    assert done.returncode == 0
    assert done.stdout == f"{tmp_path / 'set'}\n"
    assert "28 pictures and 2 for validation, 16 px" in done.stderr
    assert f"1 files were left out (1 empty file): see {tmp_path / 'set'}/rejected.jsonl" in (
        done.stderr
    )
    again = catgan(source, tmp_path / "set", "--size", 16)
    assert again.returncode == 0
    assert "prepared already" in again.stderr


def test_json(tmp_path):
    done = catgan("drawn:20", tmp_path / "set", "--size", 16, "--encoding", "raw", "--json")
    answer = json.loads(done.stdout)
    assert answer["counts"]["train"] == 19
    assert answer["fingerprint"] == read_manifest(storage.open_folder(tmp_path / "set")).fingerprint


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["drawn:9", "{}/set", "--size", "4"], 2, "8 to 1024"),
        (["drawn:9", "{}/set", "--val-fraction", "0.9"], 2, "0 (no validation split) to 0.5"),
        (["drawn:9", "{}/set", "--exclude", "{}/none"], 2, "exclude list"),
        (["{}/nowhere", "{}/set"], 3, "there is no source"),
        (["{}", "{}/set"], 3, "holds no pictures"),
        (["gs://", "{}/set"], 2, "gs://"),
        (["drawn:9", "/dev/null/set"], 4, "cannot be"),
        (["drawn:9"], 2, "DATASET"),
        (["drawn:9", "{}/set", "--address", "127.0.0.1:1"], 6, "no Ray cluster answers"),
        (["drawn:9", "{}/set", "--address", "ray://x:1"], 6, "is not the address"),
        (["drawn:9", "{}/set", "--address", "local", "--size", "4"], 2, "8 to 1024"),
    ],
)
def test_errors(tmp_path, arguments, code, said):
    done = catgan(*(argument.format(tmp_path) for argument in arguments))
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "set").exists()


def test_a_full_disk_keeps_what_is_done(tmp_path):
    """A limit on the size of files stands in for a full disk: the system says no just the same.

    Work is saved at every 200th picture; about 280 fit.
    """
    target = tmp_path / "set"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, 1_200_000))

    done = catgan("drawn:600", target, "--size", 64, "--workers", 1, preexec_fn=limit)
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
    assert not (target / "manifest.json").exists()
    assert (target / ".prepare").is_dir()
    done = catgan("drawn:600", target, "--size", 64, "--workers", 1)
    assert done.returncode == 0
    assert "going on" in done.stderr
    assert not (target / ".prepare").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_says_how_to_go_on(tmp_path, number, code):
    command = [sys.executable, "-m", "trainer", "prepare", "drawn:20000", str(tmp_path / "set")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        ledger = tmp_path / "set" / ".prepare" / "records.bin"
        while process.poll() is None and not (ledger.exists() and ledger.stat().st_size):
            time.sleep(0.02)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    assert process.returncode == code
    assert "run the same command again" in said
    assert "Traceback" not in said
