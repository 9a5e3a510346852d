"""A person's own Ray cluster: faulty buckets, a head that dies, another package on the nodes, jobs.

Owns the Python of another environment, which such a cluster may run in.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import trainer
from tests.cluster.driving import (
    EVERY,
    SLOWLY,
    STEPS,
    Drive,
    assert_finished,
    assert_same_bits,
    checkpoints,
    final_state,
    record,
    state,
)
from tests.cluster.heads import head, ray
from tests.cluster.nodes import several
from tests.conftest import REPOSITORY
from tests.launch.processes import SECS, wait_until
from trainer.storage import open_folder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

# Each of three kinds meets every thirtieth request: one in ten fails.
ONE_IN_TEN = {"status": {}, "reset": {}, "cut": {}}
CATGAN = (str(Path(sys.executable).with_name("catgan")),)


def test_a_bucket_that_fails_changes_nothing(config, undisturbed_run, bucket, tmp_path):
    """Data set and run lie there; the workers find it by what the driver's environment says."""
    dataset = f"{bucket.address}/pictures"
    there = open_folder(str(config.parent / "pictures"))
    for entry in there.list():
        open_folder(dataset).write(entry.name, there.read(entry.name))
    for number, kind in enumerate(ONE_IN_TEN):
        bucket.faults.add(kind, every=30, after=10 * number)
    run = f"{bucket.address}/run"
    words = ("train", str(config), f"run={run}", f"dataset.address={dataset}")
    cache = (f"dataset.cache_dir={tmp_path / 'cache'}", "metrics.every_steps=1")
    with (
        several(1, 1) as nodes,
        Drive(tmp_path, *words, *cache, "--address", nodes.address) as drive,
    ):
        drive.succeed()
        drive.leaves_nothing()
    report = bucket.faults.report()
    fired = [rule["fired"] for rule in report["rules"]]
    assert all(fired), report
    assert sum(fired) > 5, report
    bucket.faults.clear()
    assert_finished(run)
    assert_same_bits(final_state(run), state(undisturbed_run, STEPS))


def test_a_head_that_dies_ends_the_driver_and_the_run_goes_on_elsewhere(
    config, undisturbed_run, tmp_path
):
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, program=SLOWLY) as drive:
            drive.wait_for_step(30)
            nodes.kill(nodes.head)
            assert drive.wait(120) == 6
    assert "the head of the cluster" in drive.told()
    assert f"catgan resume {run}" in drive.told()
    with (
        several(1, 1) as nodes,
        Drive(tmp_path, "resume", str(run), "--address", nodes.address) as second,
    ):
        second.succeed()
        second.leaves_nothing()
    assert record(run).starts[-1].first_step >= EVERY
    assert_finished(run)
    assert_same_bits(final_state(run), state(undisturbed_run, STEPS))


def test_the_package_is_sent_or_must_be_the_same(config, tmp_path):
    python = bare_environment(tmp_path)
    short = ("training.steps=5", "samples.every_steps=5", "checkpoint.every_steps=5")
    alone = {"PYTHONPATH": ""}  # as on a machine that has no checkout
    with head(python, tmp_path) as there:

        def drive(name: str, *words: str) -> Drive:
            run = f"run={tmp_path / name}"
            join = ("--address", there.address, *words)
            return Drive(
                tmp_path, "train", str(config), run, *short, *join, env=alone, program=CATGAN
            )

        with drive("none-there", "cluster.package=none") as none:
            assert none.wait() == 6
            none.leaves_nothing()
        assert "No module named 'trainer'" in none.told()
        assert "cluster.package=code" in none.told()
        with drive("sent") as sent:
            sent.succeed()
            sent.leaves_nothing()
        install_another_version(python)
        with drive("another", "cluster.package=none") as another:
            assert another.wait() == 6
            another.leaves_nothing()
        assert "runs another catgan: version 0.0.1" in another.told()
        assert f"the one of the program that asked: version {trainer.__version__}" in another.told()
        with drive("sent-all-the-same") as sent:
            sent.succeed()
            sent.leaves_nothing()


def test_a_submitted_job_trains_and_stops_in_good_order(config, tmp_path):
    python = Path(sys.executable)
    run = tmp_path / "run"
    given = {"RAY_JOB_STOP_WAIT_TIME_S": "100", "PYTHONPATH": str(REPOSITORY)}
    train = (*CATGAN, "train", str(config), f"run={run}", "cluster.workers=2")
    with head(python, tmp_path, jobs=True) as there:
        server = ("--address", there.dashboard)
        env = ("--runtime-env-json", json.dumps({"env_vars": given}))
        submit = ("job", "submit", *server, "--submission-id", "cats", *env, "--no-wait", "--")
        # A head that answers may not take jobs yet.
        wait_until(lambda: takes_jobs(*submit, *train, "training.steps=100000"))
        told = lambda: ray("job", "logs", *server, "cats")  # noqa: E731
        wait_until(lambda: "step 2" in told(), told, SECS)
        ray("job", "stop", *server, "cats")
        step = checkpoints(run)[-1]
        assert f"terminated after step {step}; its checkpoint is published" in told()
        found = record(run)
        assert (found.status, found.step, found.holder) == ("stopped", step, None)
        more = ("resume", str(run), f"training.steps={step + 10}")
        ray("job", "submit", *server, *env, "--", *CATGAN, *more)
    assert (record(run).status, record(run).step) == ("finished", step + 10)
    assert [start.world_size for start in record(run).starts] == [2, 2]


def takes_jobs(*words: str) -> bool:
    try:
        ray(*words)
    except AssertionError as error:
        if "No available agent" in str(error):
            return False
        raise
    return True


def bare_environment(folder: Path) -> Path:
    """The Python of an environment with all libraries of this one, and without this package."""
    venv.create(folder / "bare", symlinks=True)
    python = folder / "bare" / "bin" / "python"
    libraries = Path(importlib.util.find_spec("ray").origin).parents[1]
    site_packages(python).joinpath("others.pth").write_text(f"{libraries}\n")
    found = [str(python), "-c", "import ray, tensorflow"], [str(python), "-c", "import trainer"]
    codes = [subprocess.run(c, cwd=folder, capture_output=True).returncode for c in found]
    assert codes == [0, 1]
    return python


def install_another_version(python: Path) -> None:
    copy = site_packages(python) / "trainer"
    shutil.copytree(trainer.__path__[0], copy, ignore=shutil.ignore_patterns("__pycache__"))
    text = (copy / "__init__.py").read_text()
    (copy / "__init__.py").write_text(text.replace(trainer.__version__, "0.0.1"))


def site_packages(python: Path) -> Path:
    return next((python.parents[1] / "lib").glob("python*/site-packages"))
