"""The short form of what `test_deaths.py` and `test_drivers.py` try at length, in every test run.

Two workers on a cluster of this machine, data set and run in a bucket that fails one request in
twenty; a worker is killed, then the driver; the run goes on with one worker.
"""

from tests.cluster.driving import BATCH, CONFIG, SLOWLY, Drive, checkpoints, open_run, record
from tests.launch.processes import wait_until
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare
from trainer.run_folder import read_metrics
from trainer.storage import open_folder

STEPS = 60
EVERY = 10


def test_killed_twice_in_a_bucket_that_fails(bucket, tmp_path):
    run = f"{bucket.address}/run"
    config = tmp_path / "short.yaml"
    pictures = f"{bucket.address}/pictures"
    prepare("drawn:24", pictures, PrepareOptions(size_px=32, val_fraction=0.0))
    for number, kind in enumerate(("status", "reset", "cut")):
        bucket.faults.add(kind, every=60, after=20 * number)
    config.write_text(CONFIG.replace("ADDRESS", pictures))
    words = ("train", str(config), f"run={run}", f"training.steps={STEPS}")
    faster = (f"checkpoint.every_steps={EVERY}", "loss.penalty_every_steps=1")
    cache = f"dataset.cache_dir={tmp_path / 'cache'}"
    with Drive(tmp_path, *words, *faster, cache, program=SLOWLY) as drive:
        drive.wait_for_step(EVERY + 2)
        drive.kill_worker(rank=1)
        wait_until(lambda: len(record(run).starts) == 2, drive.told)
        before = drive.told()
        wait_until(lambda: " of 60 " in drive.told().removeprefix(before), drive.told)
        drive.kill()
        drive.leaves_nothing()
    assert "died" in record(run).starts[0].cause
    with Drive(tmp_path, "resume", run, "cluster.workers=1") as second:
        second.succeed()
        second.leaves_nothing()
    found = record(run)
    assert (found.status, found.step, found.holder) == ("finished", STEPS, None)
    assert [start.world_size for start in found.starts] == [2, 2, 1]
    assert checkpoints(run)[-1] == STEPS
    assert all(row["images_seen"] == row["step"] * BATCH for row in read_metrics(open_run(run)))
    assert open_folder(run).exists("generator.keras")
