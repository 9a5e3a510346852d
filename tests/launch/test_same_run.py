"""`train` and `resume` on a run that exists: go on, say that it is finished, refuse."""

import json
import shutil

import pytest

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, steps_of
from trainer import config as configs
from trainer.launch.same_run import refuse_changes
from trainer.run_folder import NewRun


@pytest.fixture
def finished(unbroken, tmp_path):
    """A copy of the finished run, which a test may change."""
    return shutil.copytree(unbroken, tmp_path / "run")


def test_a_finished_run_says_so(small, finished):
    before = open_run(finished).folder.read("run.json")
    for process in (small.train(finished), small.resume(finished)):
        assert process.wait() == 0
        assert f"it has all its {STEPS} steps" in process.told()
        assert f"catgan resume {finished} training.steps=" in process.told()
        assert process.output().strip() == str(finished)
    assert open_run(finished).folder.read("run.json") == before


def test_a_run_that_was_claimed_and_never_began_is_begun(small, unbroken, tmp_path):
    """Its driver died before it wrote the config, which says what another one must equal."""
    run = tmp_path / "run"
    like = open_run(unbroken).read_record()
    claim = NewRun("run", like.dataset.address, like.dataset.fingerprint, "another config")
    open_run(run).claim_start(claim, host="elsewhere")
    process = small.resume(run)
    assert process.wait() == 5
    assert "was claimed and never began" in process.told()
    assert f"catgan train CONFIG run={run}" in process.told()
    small.train(run).succeed()
    assert [start.number for start in open_run(run).read_record().starts] == [1, 2]
    assert_same_bits(run, unbroken)


def test_another_config_is_refused_with_both_remedies(small, finished):
    process = small.train(finished, "seed=3", "loss.r1_weight=7")
    assert process.wait() == 2
    told = process.told()
    assert "seed (0 there, 3 now)" in told
    assert "loss.r1_weight (1.0 there, 7.0 now)" in told
    assert "seed makes it another run (it decides every draw" in told
    assert f"as it is: catgan resume {finished}\n" in told
    assert "run=" in told
    assert len(open_run(finished).read_record().starts) == 1


def test_the_remedy_for_another_config_resumes(small, finished):
    """All that is different, and nothing that a resumption would refuse."""
    words = [
        "loss.r1_weight=7",
        "training.steps=9",
        "generator_optimizer.rate=3e-4",
        "discriminator_optimizer.rate=3e-4",
        "generator_optimizer.clip_norm=2",
        "discriminator_optimizer.clip_norm=2",
        "ema.half_life_images=77",
    ]
    process = small.train(finished, *words)
    assert process.wait() == 2
    before = configs.from_text(open_run(finished).read_config())
    refuse_changes(before, configs.override(before, words))
    remedy = process.told().split("go on with it: ")[1]
    assert f"catgan resume {finished} " in remedy
    assert all(word.split("=")[0] in remedy for word in words)


@pytest.mark.parametrize(
    "override",
    [
        "seed=5",
        "model.base_channels=4",
        "model.generator_norm=batch",
        "training.global_batch=16",
        "dataset.lanes=2",
        "run=elsewhere",
    ],
)
def test_resume_refuses_what_would_make_it_another_run(small, finished, override):
    process = small.resume(finished, override)
    assert process.wait() == 2
    key, _, value = override.partition("=")
    assert f"{key} cannot change" in process.told()
    assert value in process.told()
    assert len(open_run(finished).read_record().starts) == 1


def test_a_moved_run_with_more_steps_from_an_earlier_checkpoint(small, unbroken, finished):
    """The folder was copied; other overrides are recorded; later checkpoints are superseded."""
    first = STEPS - EVERY
    process = small.resume(
        finished, "--from", f"step-{first:09d}", f"training.steps={STEPS + EVERY}", "--json"
    ).succeed()
    outcome = json.loads(process.output())
    assert (outcome["status"], outcome["step"]) == ("finished", STEPS + EVERY)
    assert_same_bits(finished, unbroken, STEPS)
    assert steps_of(finished)[-1] == STEPS + EVERY
    record = open_run(finished).read_record()
    assert record.starts[-1].first_step == first
    assert record.starts[-1].overrides == {"training.steps": str(STEPS + EVERY)}
    # The history stays with the run: its config now says so, too.
    small.resume(finished).succeed()
    assert len(open_run(finished).read_record().starts) == 2


def test_from_a_checkpoint_that_is_not_there(small, finished):
    process = small.resume(finished, "--from", "step-000000001")
    assert process.wait() == 5
    assert "step-000000001" in process.told()
    assert f"step-{STEPS:09d}" in process.told()


def test_other_pictures_are_refused(small, finished, tmp_path):
    other = tmp_path / "other"
    process = small.server.catgan("prepare", "drawn:24", str(other), "--size", "32")
    assert process.wait() == 0, process.told()
    process = small.resume(finished, f"dataset.address={other}", f"training.steps={2 * STEPS}")
    assert process.wait() == 5
    assert "was trained on the data set" in process.told()
