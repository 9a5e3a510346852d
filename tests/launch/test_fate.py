"""What became of an attempt: causes are told apart from what they did to the others."""

import pytest
import ray
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
    WorkerHealthCheckTimeoutError,
)
from ray.train.v2.api.exceptions import ControllerError, PreemptionError, WorkerGroupError
from ray.train.v2.api.preemption import PreemptionInfo

from trainer.launch.coordinator import Beat, Failure, News
from trainer.launch.fate import AttemptFate, Progress, fate_of

LOST = "UnavailableError: Collective ops is aborted by: Connection reset by peer"


def beats(count: int = 2) -> dict[int, Beat]:
    return {rank: Beat(rank, f"host-{rank}", 100 + rank, 40, 0.1) for rank in range(count)}


def failure(rank: int, kind: str, what: str = "what", *, own: bool = False) -> Failure:
    return Failure(rank, f"host-{rank}", kind, what, "", "", own, "trace")


def dead(error: Exception) -> WorkerHealthCheckFailedError:
    return WorkerHealthCheckFailedError("A worker health check failed.", failure=error)


def judged(error, failures=(), silent=(0.5, 0.5)) -> AttemptFate:
    news = News(beats(len(silent)), [], list(failures), None, dict(enumerate(silent)))
    return fate_of(error, news, len(silent), Progress(), 1.0)


def group_error(**failures: Exception) -> WorkerGroupError:
    return WorkerGroupError("text", {int(rank[1:]): error for rank, error in failures.items()})


@pytest.mark.parametrize(
    ("death", "words"),
    [
        (ray.exceptions.ActorDiedError(), "died: it was killed, or crashed in native code"),
        (ray.exceptions.OutOfMemoryError("too much"), "its machine ran out of memory"),
        (ray.exceptions.RayActorError(error_msg="its node has died"), "died with its machine"),
        (
            ray.exceptions.RayActorError(error_msg="node died", preempted=True),
            "died with its machine, which was taken back",
        ),
    ],
)
def test_a_death_is_the_cause_and_what_the_others_met_is_not(death, words):
    fate = judged(group_error(r1=dead(death)), [failure(0, "UnavailableError", LOST)])
    assert fate.cause.startswith("rank 1 on host-1 ")
    assert fate.cause.endswith(words)
    assert fate.preempted == getattr(death, "preempted", False)


def test_one_that_does_not_answer_ray():
    fate = judged(group_error(r0=WorkerHealthCheckTimeoutError("hanging for 600 s")))
    assert fate.cause == "rank 0 on host-0 does not answer any more"


def test_a_frozen_one_is_named_by_its_silence():
    stopped = RuntimeError("rank 0 failed")
    fate = judged(
        group_error(r0=stopped, r2=stopped),
        [failure(0, "UnavailableError", LOST), failure(2, "UnavailableError", LOST)],
        silent=(0.5, 9.0, 0.7),
    )
    assert fate.cause.startswith("rank 1 on host-1 did not answer any more")
    assert "rank 0" not in fate.cause


def test_the_only_one_that_told_nothing_was_lost():
    fate = judged(group_error(r1=RuntimeError()), [failure(1, "UnavailableError", LOST)])
    assert fate.cause == "rank 0 on host-0 was lost"


def test_where_all_told_of_a_loss_the_first_word_stands():
    told = [failure(rank, "UnavailableError", LOST) for rank in (1, 0)]
    assert judged(group_error(r0=RuntimeError()), told).cause == f"rank 1 on host-1: {LOST}"


@pytest.mark.parametrize(
    "cause",
    [
        failure(1, "DataError", "a shard is damaged", own=True),
        failure(1, "ValueError", "ValueError: three is not four"),
        failure(1, "Hang", "stood still for 15 s after step 45, waiting for data"),
        failure(1, "LostPort", "somebody else listens on the port of this worker"),
    ],
)
def test_who_tells_a_cause_is_believed_before_the_others(cause):
    waiting = failure(0, "Waiting", "stood still for 20 s after step 45, in a step")
    deaths = group_error(r0=dead(ray.exceptions.ActorDiedError()))
    for told in ([waiting, cause], [failure(0, "UnavailableError", LOST), cause]):
        fate = judged(deaths, told)
        assert fate.cause == f"rank 1 on host-1: {cause.what}"
        assert fate.failure is cause
        assert fate.lost_port == (cause.kind == "LostPort")


def test_an_error_of_ours_comes_before_a_bug():
    own = failure(1, "DataError", "a shard is damaged", own=True)
    assert judged(group_error(), [failure(0, "ValueError", "oh"), own]).failure is own


def test_what_ray_itself_says_where_nobody_else_does():
    assert judged(RuntimeError("the\n controller  died")).cause == (
        "RuntimeError: the controller died"
    )
    assert judged(None).cause == "its workers returned"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WorkerGroupStartupTimeoutError(2), "not there within cluster.start_timeout_secs"),
        (WorkerGroupStartupFailedError("oh"), "died while it was being started"),
    ],
)
def test_workers_that_never_were_there(error, words):
    assert words in judged(ControllerError(error)).cause


def test_a_controller_that_died():
    assert "control of the workers died" in judged(ray.exceptions.ActorDiedError()).cause


def test_a_preemption_that_ran_out_of_time():
    error = PreemptionError(PreemptionInfo(1, {"node": [0]}), drain_timed_out=True)
    assert judged(error).preempted


def test_progress_and_what_may_have_gone_unseen():
    progress = Progress(at=100.0)
    assert (progress.step, progress.unseen_steps) == (-1, 0)
    progress = progress.seen(20, 110.0)
    assert (progress.step, progress.at, progress.unseen_steps) == (20, 110.0, 0)
    progress = progress.seen(20, 111.0).seen(12, 112.0)
    assert (progress.step, progress.at) == (20, 110.0)
    progress = progress.seen(30, 112.0)
    assert (progress.step, progress.at, progress.unseen_steps) == (30, 112.0, 11)
