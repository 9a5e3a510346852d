"""The doctor on a healthy set-up and on broken ones: what it says, what to do, the exit code."""

import json
import re
import shlex
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.bad_input import flip
from tests.fakes import stored_objects
from trainer import config as configs
from trainer import storage
from trainer.cli import doctor
from trainer.cli.prepare import prepare as prepare_command
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.errors import ClusterError
from trainer.launch import doctor_cluster, doctor_storage, doctor_trial
from trainer.launch.ray_package import Mark, training_mark

CONFIG = """
dataset: {size_px: 32, val_fraction: 0, address: ADDRESS}
model: {base_channels: 2, max_channels: 4, latent_dim: 8}
training: {steps: 100000, global_batch: 8}
loss: {penalty_every_steps: 4}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor") / "pictures"
    prepare("drawn:40", str(folder), PrepareOptions(size_px=32, val_fraction=0.0))
    return folder


@pytest.fixture
def config(tmp_path, pictures) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG.replace("ADDRESS", str(pictures)))
    return path


def copied(pictures: Path, address: str) -> storage.Folder:
    there = storage.open_folder(address)
    for entry in storage.open_folder(str(pictures)).list():
        there.write(entry.name, (pictures / entry.name).read_bytes())
    return there


def failures(answer: dict) -> list[dict]:
    return [found for found in answer["findings"] if found["state"] == "failure"]


def test_a_healthy_set_up_is_measured(catgan, config, pictures, bucket, tmp_path):
    run = f"{bucket.address}/run"
    copied(pictures, f"{bucket.address}/pictures")
    place = (f"run={run}", f"dataset.address={bucket.address}/pictures")
    prices = ("cost.price_per_hour=3.6",)
    cache = f"dataset.cache_dir={tmp_path / 'cache'}"
    ended = catgan("doctor", config, *place, *prices, cache, "--secs", 20, "--json")
    assert ended.code == 0, ended.err
    found = {item["name"]: item for item in ended.answer["findings"]}
    assert {item["state"] for item in found.values()} == {"ok"}, found
    names = {"versions here", "run folder", "data set", "lanes", "step", "memory of rank 0"}
    assert names | {"grace period", "to the end"} == set(found)
    figures = ended.answer["figures"]
    assert 0 < figures["step_secs"] < 1
    assert figures["left_secs"] > 100_000 * figures["step_secs"]
    assert figures["cost"] == pytest.approx(figures["left_secs"] / 1000)
    assert figures["checkpoint_bytes"] > 1000
    assert "overwriting refused" in found["run folder"]["told"]
    left = [name for name in storage.open_folder(bucket.address).list() if "doctor" in name.name]
    assert not left


def test_a_dry_run_says_what_it_would_do(catgan, config):
    ended = catgan("doctor", config, "--dry-run")
    assert ended.code == 0
    assert "would examine" in ended.out
    assert "removed after it" in ended.out
    assert len(catgan("doctor", config, "--dry-run", "--json").answer["would_examine"]) == 4


def test_lines_for_a_person(catgan, config, tmp_path):
    ended = catgan("doctor", config, f"run={tmp_path / 'run'}", "--secs", 0)
    assert ended.code == 0
    assert re.search(r"^ok +data set: .*: 40 pictures in \d+ shards", ended.out, re.MULTILINE)
    assert not (tmp_path / "run").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def lacks_its_data_set(config, pictures, tmp_path):
    return (f"dataset.address={tmp_path / 'nothing'}",), 3, "nothing", "prepare"


def lacks_a_shard(config, pictures, tmp_path):
    there = copied(pictures, str(tmp_path / "cut"))
    next(iter((tmp_path / "cut").glob("train-*"))).unlink()
    return (f"dataset.address={there.address}",), 3, "train-0", "prepare"


def has_a_flipped_bit(config, pictures, tmp_path):
    there = copied(pictures, str(tmp_path / "flipped"))
    shard = sorted((tmp_path / "flipped").glob("train-*"))[0]
    flip(shard, shard.stat().st_size // 2)
    return (f"dataset.address={there.address}",), 3, "is damaged", "prepare"


def has_pictures_of_another_size(config, pictures, tmp_path):
    return ("dataset.size_px=64",), 3, "pictures of 32 px", "dataset.size_px=32"


def cannot_write(config, pictures, tmp_path):
    (tmp_path / "file").write_text("in the way")
    return (f"run={tmp_path / 'file' / 'run'}",), 4, "file", ""


def names_no_cluster(config, pictures, tmp_path):
    return ("--address", "127.0.0.1:9"), 6, "no Ray cluster answers", "--address local"


def wants_a_gpu_that_is_not_there(config, pictures, tmp_path):
    return ("cluster.gpus_per_worker=1",), 6, "TensorFlow sees no GPU", "driver"


@pytest.mark.parametrize(
    "broken",
    [
        lacks_its_data_set,
        lacks_a_shard,
        has_a_flipped_bit,
        has_pictures_of_another_size,
        cannot_write,
        names_no_cluster,
        wants_a_gpu_that_is_not_there,
    ],
)
def test_a_broken_set_up_is_told(catgan, config, pictures, tmp_path, broken):
    words, code, told, remedy = broken(config, pictures, tmp_path)
    ended = catgan("doctor", config, f"run={tmp_path / 'run'}", *words, "--json")
    assert ended.code == code, ended.out
    failed = failures(ended.answer)
    assert len(failed) == 1, failed
    assert told in failed[0]["told"]
    assert remedy in failed[0]["remedy"]
    # A piece of a run that cannot work is not tried.
    assert ended.answer["findings"][-1]["told"].startswith("was not tried")
    assert ended.answer["figures"] == {}


def test_a_data_set_to_come_is_prepared_as_the_first_start_would(tmp_path):
    wish = {"size_px": 32, "crop": "face", "encoding": "jpeg", "val_fraction": 0.25}
    place = {"source": "my cats", "address": f"{tmp_path}/not there"}
    keys = [f"dataset.{key}={value}" for key, value in (wish | place).items()]
    config = configs.from_text(CONFIG.replace("ADDRESS", "nowhere"), keys, name="small")
    (found,) = doctor_storage.dataset(config)
    words = shlex.split(found.remedy.partition("catgan ")[2])
    given = prepare_command.make_context("prepare", words[1:]).params
    assert (words[0], given["source"], given["dataset"]) == ("prepare", *place.values())
    assert {key: given[key] for key in wish} == wish


def test_an_examination_that_told_nothing_says_where_its_log_is():
    fate = SimpleNamespace(exit_code=1, job=SimpleNamespace(id="job 1", message="it fell"))
    with pytest.raises(ClusterError) as raised:
        doctor._read("", fate, "http://head:8265")
    assert "catgan logs 'job 1' --address http://head:8265" in raised.value.remedy


def test_a_bucket_that_may_not_be_written(catgan, config, bucket, tmp_path):
    bucket.faults.add("status", status=403, operations=("insert", "upload"))
    ended = catgan("doctor", config, f"run={bucket.address}/run", "--secs", 0, "--json")
    if ended.code == 0:  # the operation has another name there
        pytest.fail(f"{bucket.faults.report()}")
    assert ended.code == 4
    assert len(failures(ended.answer)) == 1


def test_a_server_that_overwrites_unasked(catgan, config, bucket, monkeypatch):
    """Ours, with its ears closed to preconditions."""
    monkeypatch.setattr(stored_objects, "check", lambda *given, **named: None)
    ended = catgan("doctor", config, f"run={bucket.address}/run", "--secs", 0, "--json")
    assert ended.code == 4
    assert "lets a second writer overwrite" in failures(ended.answer)[0]["told"]


def test_fewer_shards_than_lanes(pictures):
    config = configs.from_text(
        CONFIG.replace("ADDRESS", str(pictures)), ["cluster.workers=2"], name="small"
    )
    shards = len(list(pictures.glob("train-*")))
    config = configs.override(config, [f"training.global_batch={4 * shards}"])
    config = configs.override(config, [f"dataset.lanes={4 * shards}"])
    found = {finding.name: finding for finding in doctor_storage.dataset(config)}
    assert found["lanes"].state == "warning"
    assert f"{shards} shards are fewer than the {4 * shards} lanes" in found["lanes"].told


TRIAL = doctor_trial.Trial(
    start_secs=10.0,
    step_secs=0.5,
    grid_secs=2.0,
    checkpoint_secs=4.0,
    checkpoint_bytes=95_000_000,
    notes=[
        {"rank": 0, "host": "a", "device": "the CPU", "peak_bytes": 95, "total_bytes": 100},
    ],
)


@pytest.mark.parametrize(
    ("keys", "state", "of"),
    [
        (("cluster.spot=true",), "ok", "of 15 s"),
        (("cluster.spot=true", "training.steps_per_call=20"), "warning", "of 15 s"),
        (("training.steps_per_call=20",), "ok", "of 120 s"),
        (("cluster.grace_secs=9",), "warning", "of 9 s"),
    ],
)
def test_a_checkpoint_has_to_fit_into_the_grace_period(pictures, keys, state, of):
    """5 s until it is heard, two calls of the step, 4 s to write."""
    config = configs.from_text(CONFIG.replace("ADDRESS", str(pictures)), list(keys), name="small")
    found = {finding.name: finding for finding in doctor_trial.findings(config, TRIAL)}
    assert found["grace period"].state == state
    assert of in found["grace period"].told
    assert found["memory of rank 0"].state == "warning"  # 95 of 100


def test_time_and_cost_to_the_end(pictures):
    config = configs.from_text(
        CONFIG.replace("ADDRESS", str(pictures)),
        ["training.steps=1024", "samples.every_steps=512", "cluster.workers=2"],
        name="small",
    )
    # Grids at 512 and 1024, and where the step doubles: 1, 2, 4 … 1024.
    secs = doctor_trial.left_secs(config, TRIAL, 0)
    assert secs == pytest.approx(10 + 1024 * 0.5 + (2 + 11) * 2.0)
    half = doctor_trial.left_secs(config, TRIAL, 512)
    assert half == pytest.approx(10 + 512 * 0.5 + (1 + 1) * 2.0)
    assert doctor_trial.cost(config, 3600) == 0
    priced = configs.override(config, ["cost.price_per_gpu_hour=0.7", "cluster.gpus_per_worker=1"])
    assert doctor_trial.cost(priced, 1800) == pytest.approx(0.7)


def test_gpus_as_a_node_describes_them():
    built = {"cuda": "12.5.1", "cudnn": "9"}
    seen = {"seen": ["NVIDIA L4"], "built": built, "driver": "550.90"}
    (good,) = doctor_cluster.gpu_findings("a", seen)
    assert (good.state, "NVIDIA L4, driver 550.90" in good.told) == ("ok", True)
    (none,) = doctor_cluster.gpu_findings("a", {**seen, "seen": []})
    assert (none.state, "driver 550.90" in none.told) == ("failure", True)
    (cpu,) = doctor_cluster.gpu_findings("a", {**seen, "built": {"cuda": "", "cudnn": ""}})
    assert "built without CUDA" in cpu.told
    (mute,) = doctor_cluster.gpu_findings("a", ClusterError("a gave no answer"))
    assert (mute.state, mute.exit_code) == ("failure", 6)


def test_another_program_on_a_node():
    """Asked of a real node, whose sources are not those of this made-up mark."""
    from trainer.launch.ray_cluster import connected

    with connected("local", cpus=1):
        own = list(doctor_cluster.versions(training_mark()))
        other = list(doctor_cluster.versions(Mark("9.9", "0" * 64, ())))
    assert [finding.state for finding in own] == ["ok"]
    assert [finding.state for finding in other] == ["failure"]
    assert "runs another catgan" in other[0].told


class _OtherVersion(BaseHTTPRequestHandler):
    """A job server of a Ray that is not ours: only its version is ever asked for."""

    def do_GET(self) -> None:
        body = json.dumps({"version": "4", "ray_version": "2.41.0", "ray_commit": ""}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def another_ray() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _OtherVersion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_another_ray_on_the_cluster(catgan, config, another_ray, tmp_path):
    ended = catgan("doctor", config, f"run={tmp_path / 'run'}", "--address", another_ray)
    assert ended.code == 6
    assert "runs Ray 2.41.0" in ended.err
    assert "pip install 'ray[default,train]==2.41.0'" in ended.err
