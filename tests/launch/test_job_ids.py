"""Ids of jobs: the same for the same start, another for another, fit for Kubernetes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import ClusterError
from trainer.launch import jobs
from trainer.launch.following import end_of
from trainer.launch.job_server import Job
from trainer.run_folder import RunRecord
from trainer.run_folder.record import DatasetRecord, StartRecord

RUN = "gs://bucket/runs/Cats 128_x"
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def record(starts: int) -> RunRecord:
    made = tuple(StartRecord(number=n + 1, token="t") for n in range(starts))
    dataset = DatasetRecord(address="gs://bucket/data", fingerprint="f")
    return RunRecord(name="cats", dataset=dataset, config_hash="h", starts=made)


def test_an_id_follows_from_run_and_start():
    first = jobs.next_id(RUN, None, ())
    assert first == jobs.next_id(RUN, record(0), ()) == f"{jobs.prefix(RUN)}-1"
    assert jobs.next_id(RUN, record(3), ()) == f"{jobs.prefix(RUN)}-4"
    assert jobs.prefix(RUN).startswith("catgan-cats-128-x-")
    assert jobs.prefix(RUN) != jobs.prefix("gs://another/runs/Cats 128_x")


def test_a_job_that_ended_before_its_start_began_has_used_up_an_id():
    first = jobs.next_id(RUN, None, ())
    second = jobs.next_id(RUN, None, [first])
    assert second == f"{first}-try-2"
    assert jobs.next_id(RUN, None, [first, second]) == f"{first}-try-3"


@given(st.text(min_size=1, max_size=300), st.integers(0, 10**6))
def test_ids_are_names_that_kubernetes_takes(name, starts):
    job_id = f"{jobs.prefix('gs://bucket/' + name)}-{starts}"
    assert DNS_LABEL.fullmatch(job_id)
    assert len(job_id) <= 47


@pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
def test_a_second_job_of_a_run_is_refused_while_one_lives(state):
    other = Job("catgan-dogs-12345678-1", "RUNNING")
    ended = Job(f"{jobs.prefix(RUN)}-1", "FAILED", started_ms=1)
    jobs.refuse_second([other, ended], RUN, "http://head:8265")
    living = Job(f"{jobs.prefix(RUN)}-2", state, started_ms=2)
    with pytest.raises(ClusterError, match=living.id):
        jobs.refuse_second([other, living, ended], RUN, "http://head:8265")
    assert jobs.of_run([other, living, ended], RUN) == [ended, living]


def test_a_job_of_another_tool_is_known_by_what_it_says_of_its_run():
    told = Job("mine", "RUNNING", metadata={jobs.RUN_KEY: RUN})
    assert jobs.of_run([told], RUN) == [told]


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (Job("a", "SUCCEEDED", exit_code=0), 0),
        (Job("a", "STOPPED"), 143),
        (Job("a", "FAILED", exit_code=7), 7),
        (Job("a", "FAILED", exit_code=143), 143),
        (Job("a", "FAILED", exit_code=-9), 6),
        (Job("a", "FAILED"), 6),
    ],
)
def test_the_end_of_a_job_is_an_exit_code(job, code):
    assert end_of(job).exit_code == code
