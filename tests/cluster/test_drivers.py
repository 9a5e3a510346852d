"""Drivers that are killed, interrupted, frozen or come second: the run goes on as it was."""

import signal

import pytest

from tests.cluster.driving import (
    EVERY,
    SLOWLY,
    STEPS,
    Drive,
    assert_close,
    assert_finished,
    assert_same_bits,
    checkpoints,
    final_state,
    record,
    state,
)
from tests.cluster.nodes import several
from tests.launch.processes import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_a_killed_driver_takes_its_workers_along(config, undisturbed_run, tmp_path):
    """On a cluster of its own; the run goes on with one worker, in one process."""
    run = tmp_path / "run"
    with Drive(tmp_path, "train", str(config), f"run={run}", program=SLOWLY) as drive:
        drive.wait_for_step(50)
        drive.kill()
        drive.leaves_nothing()
    with Drive(tmp_path, "resume", str(run), "cluster.workers=1") as second:
        second.succeed()
        second.leaves_nothing()
    first, last = record(run).starts
    assert (first.world_size, last.world_size) == (2, 1)
    assert last.first_step >= 40
    assert_finished(run)
    final_state(run)
    assert_same_bits(state(run, last.first_step), state(undisturbed_run, last.first_step))
    after = last.first_step + EVERY
    assert_close(state(run, after), state(undisturbed_run, after))


def test_a_killed_driver_of_a_joined_cluster(config, undisturbed_run, tmp_path):
    """The cluster ends its workers; the run goes on with three."""
    run = tmp_path / "run"
    with several(1, 1, 1) as nodes:
        join = ("--address", nodes.address)
        words = ("train", str(config), f"run={run}", *join)
        with Drive(tmp_path, *words, program=SLOWLY) as drive:
            drive.wait_for_step(50)
            drive.kill()
            drive.leaves_nothing()
        with Drive(tmp_path, "resume", str(run), "cluster.workers=3", *join) as second:
            second.succeed()
            second.leaves_nothing()
    first, last = record(run).starts
    assert (first.world_size, last.world_size) == (2, 3)
    assert last.first_step >= 40
    assert_finished(run)
    final_state(run)
    assert_same_bits(state(run, last.first_step), state(undisturbed_run, last.first_step))
    after = last.first_step + EVERY
    assert_close(state(run, after), state(undisturbed_run, after))


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_gives_a_checkpoint_and_the_command_that_goes_on(
    config, undisturbed_run, tmp_path, number, code, word
):
    run = tmp_path / "run"
    with Drive(tmp_path, "train", str(config), f"run={run}", program=SLOWLY) as drive:
        drive.wait_for_step(30)
        if number == signal.SIGINT:
            drive.press_ctrl_c()
        else:
            drive.send(number)
        assert drive.wait() == code
        drive.leaves_nothing()
    step = checkpoints(run)[-1]
    assert step >= 30
    assert f"{word} after step {step}; its checkpoint is published" in drive.told()
    assert f"catgan resume {run}" in drive.told()
    assert "Traceback" not in drive.told()
    found = record(run)
    assert (found.status, found.step, found.holder) == ("stopped", step, None)
    with Drive(tmp_path, "resume", str(run)) as second:
        second.succeed()
        second.leaves_nothing()
    assert record(run).starts[-1].first_step == step
    assert_finished(run)
    assert_same_bits(final_state(run), state(undisturbed_run, STEPS))


def test_a_second_ctrl_c_ends_it_at_once(config, tmp_path):
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words, "training.steps=100000") as drive:
            drive.wait_for_step(5)
            frozen = drive.workers()
            assert len(frozen) == 2
            for process in frozen:
                process.suspend()  # so that no checkpoint comes
            drive.press_ctrl_c()
            drive.wait_for("once more exits at once")
            drive.press_ctrl_c()
            assert drive.wait() == 130
            drive.leaves_nothing()


def test_a_signal_before_the_workers_have_begun_ends_it_without_them(config, tmp_path):
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(tmp_path, *words) as drive:
            drive.wait_for("training 120 steps from the beginning")
            drive.press_ctrl_c()
            assert drive.wait() == 130
            drive.leaves_nothing()
    assert "interrupted before the first step was done" in drive.told()
    assert "Traceback" not in drive.told()
    found = record(run)
    assert (found.status, found.holder) == ("stopped", None)
    assert found.starts[0].cause == "interrupted"


def test_a_sigterm_while_the_cluster_starts_leaves_nothing(config, tmp_path):
    run = tmp_path / "run"
    with Drive(tmp_path, "train", str(config), f"run={run}") as drive:
        wait_until(lambda: len(drive.processes()) > 1, drive.told)  # Ray's first process
        drive.send(signal.SIGTERM)
        assert drive.wait() == 143
        drive.leaves_nothing()
    assert "terminated before training began" in drive.told()
    assert not run.exists()


def test_a_time_limit_is_one_of_training(config, tmp_path):
    """Shorter than the workers' start, and yet there are steps."""
    run = tmp_path / "run"
    words = ("train", str(config), f"run={run}", "training.max_mins=0.1")
    with Drive(tmp_path, *words, "training.steps=100000") as drive:
        drive.succeed()
        drive.leaves_nothing()
    assert "training.max_mins" in drive.told()
    step = checkpoints(run)[-1]
    found = record(run)
    assert (found.status, found.step, found.holder) == ("stopped", step, None)
    assert step > 20  # in six seconds; the workers alone take longer to start


def test_a_second_driver_is_told_who_trains(config, tmp_path):
    run = tmp_path / "run"
    with Drive(tmp_path, "train", str(config), f"run={run}", program=SLOWLY) as drive:
        drive.wait_for_step(5)
        with Drive(tmp_path, "train", str(config), f"run={run}") as second:
            assert second.wait() == 6
        assert f"is being trained by start 1 on {record(run).starts[0].host}" in second.told()
        assert f"(pid {drive.pid}), since 20" in second.told()
        drive.succeed()
        drive.leaves_nothing()
    assert len(record(run).starts) == 1
    assert_finished(run)


def test_a_frozen_driver_is_taken_over_from(config, undisturbed_run, tmp_path):
    """Its workers stop by themselves, and make room for the second driver's."""
    run = tmp_path / "run"
    with several(1, 1) as nodes:
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        lease = {"CATGAN_LEASE_SECS": "4"}
        with Drive(tmp_path, *words, env=lease, program=SLOWLY) as drive:
            drive.wait_for_step(30)
            drive.send(signal.SIGSTOP)
            with Drive(tmp_path, *words, env=lease) as second:
                second.succeed()
                second.leaves_nothing()
            drive.send(signal.SIGCONT)
            assert drive.wait() in (5, 6)
            drive.leaves_nothing()
    assert "taken over from" in second.told()
    assert "took the run over" in drive.told()
    assert "Traceback" not in drive.told()
    last = record(run).starts[-1]
    assert last.first_step >= 20
    assert_finished(run)
    assert_same_bits(final_state(run), state(undisturbed_run, STEPS))
