"""Asking a GPU of the cluster; Ray is made up here, and what it may do wrong with it."""

import types

import pytest
import ray

from trainer import config as configs
from trainer import storage
from trainer.errors import ClusterError, DataError
from trainer.launch import probe, starting
from trainer.run_folder import RunFolder

GPU = "cluster: {gpus_per_worker: 1, cpus_per_worker: 3, start_timeout_secs: 5"


class Asked:
    """What was asked of Ray, and its answer, which may be an error to raise."""

    def __init__(self) -> None:
        self.answer: object = ("bfloat16", True)
        self.options: dict = {}
        self.arguments: tuple = ()
        self.timeout: float | None = None
        self.cancelled = False

    def remote(self, **options):
        self.options = options

        def begin(*arguments):
            self.arguments = arguments

        return lambda function: types.SimpleNamespace(remote=begin)

    def get(self, reference, timeout=None):
        self.timeout = timeout
        if isinstance(self.answer, ray.exceptions.RayError):
            raise self.answer
        return self.answer

    def cancel(self, reference, force):
        self.cancelled = True


@pytest.fixture
def asked(monkeypatch) -> Asked:
    made = Asked()
    for name in ("remote", "get", "cancel"):
        monkeypatch.setattr(probe.ray, name, getattr(made, name))
    return made


def resolved(tmp_path, text: str):
    folder = RunFolder(storage.open_folder(str(tmp_path / "run")))
    config = configs.from_text(f"{text}\ndataset: {{address: {tmp_path}}}", name="cats")
    found, choices = probe.resolved(config, folder, 2)
    return found.precision, choices["jit"]


def test_a_gpu_of_the_kind_that_will_train_is_asked(asked, tmp_path):
    assert resolved(tmp_path, GPU + ", accelerator_type: L4}") == ("bfloat16", True)
    assert asked.options["accelerator_type"] == "L4"
    assert (asked.options["num_gpus"], asked.options["num_cpus"]) == (1, 3)
    assert asked.timeout == 5
    asked.answer = ("float32", False)
    assert resolved(tmp_path, GPU + "}") == ("float32", False)
    assert "accelerator_type" not in asked.options


@pytest.mark.parametrize(
    ("text", "found", "measured"),
    [
        ("", ("float32", False), None),
        ("jit: true", ("float32", True), None),
        (GPU + "}\nprecision: float32\njit: false", ("float32", False), None),
        (GPU + "}\nprecision: float32\ndeterministic: true", ("float32", False), None),
        (GPU + "}\njit: false", ("bfloat16", False), False),
        (GPU + "}\ndeterministic: true", ("bfloat16", False), False),
        (GPU + "}", ("bfloat16", True), True),
    ],
)
def test_it_is_asked_only_what_nobody_else_can_say(asked, tmp_path, text, found, measured):
    assert resolved(tmp_path, text) == found
    assert (asked.arguments[1] if asked.arguments else None) is measured


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (ray.exceptions.GetTimeoutError("late"), "gave no answer: none within 5 s"),
        (ray.exceptions.WorkerCrashedError(), "gave no answer: The worker died"),
    ],
)
def test_no_answer_is_an_error_with_a_remedy(asked, tmp_path, answer, said):
    asked.answer = answer
    with pytest.raises(ClusterError, match=said) as told:
        resolved(tmp_path, GPU + "}")
    assert told.value.expected
    assert "catgan doctor" in told.value.remedy
    assert asked.cancelled == ("none within" in said)


def test_an_error_of_ours_comes_as_it_is(asked, tmp_path):
    asked.answer = DataError("no pictures")
    with pytest.raises(DataError, match="no pictures"):
        resolved(tmp_path, GPU + "}")


def test_what_the_run_has_chosen_stands():
    config = configs.from_text("", name="cats")
    for chosen in (True, False):
        assert starting.known_jit(config, {"jit": chosen}, on_gpu=True) is chosen
    assert starting.known_jit(config, {}, on_gpu=True) is None
    assert starting.known_jit(config, {}, on_gpu=False) is False
