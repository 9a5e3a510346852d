"""Checkpoints measured beside the training: which, what is kept, and what never matters."""

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.callbacks import tiny_run
from tests.callbacks.test_sampling import KilledBeforeTheLastGrid
from tests.evaluation.conftest import cats, network_file  # noqa: F401 (fixtures)
from trainer import config as configs
from trainer import inspection
from trainer.callbacks.cadence import Cadence
from trainer.callbacks.evaluating import Evaluating, best_step, told_in_words
from trainer.errors import ConfigError, DataError, TrainingError
from trainer.launch import door, evaluators, starting
from trainer.run_folder import names, read_evaluations


def found(value, features="net"):
    figure = {"value": value, "error": 0.01, "baseline": 0.0, "baseline_error": 0.01}
    result = {
        "provenance": {"features": features},
        "figures": {"kernel_distance": figure},
        "labels": {"kernel_distance": f"kernel distance ({features})"},
    }
    return {"results": [result]}


def answer(callback, question, found, step):
    """The answer comes, and is written behind the training."""
    question.answer = found
    callback.after_call(step, {})
    callback._behind.wait()
    callback.after_call(step, {})


class Question:
    """A measurement that is answered when the test says so."""

    def __init__(self, step):
        self.step, self.answer, self.cancelled = step, None, False

    def done(self):
        return self.answer is not None

    def result(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def measuring(tmp_path):
    """A callback on a run folder; what it asked and which best it told."""

    def make(every_steps=10, total_steps=100):
        asked, best = [], []

        def ask(step):
            asked.append(Question(step))
            return asked[-1]

        folder = tiny_run.run_folder(tmp_path)
        callback = Evaluating(
            folder, ask, Cadence(every_steps), total_steps, 4, best.append, start=1
        )
        callback.begin(0)
        return callback, asked, best

    return make


def test_the_next_checkpoint_after_the_interval_is_measured_one_at_a_time(measuring):
    callback, asked, best = measuring()
    for step in (5, 10, 15, 20, 25, 30):
        callback.published(step)
        callback.after_call(step, {})
    assert [question.step for question in asked] == [10]
    answer(callback, asked[0], found(0.5), 31)
    # Of those that came meanwhile the newest.
    assert [question.step for question in asked] == [10, 30]
    answer(callback, asked[1], found(0.7), 32)
    assert best == [10, 10]
    kept = read_evaluations(callback._folder)
    assert [(one["step"], one["images_seen"]) for one in kept] == [(10, 40), (30, 120)]


def test_a_failure_is_a_warning_once_and_training_goes_on(measuring, caplog):
    callback, asked, _ = measuring()
    for step in (10, 20):
        callback.published(step)
        callback.after_call(step, {})
        answer(callback, asked[-1], TrainingError("no network", remedy="install it"), step)
    told = [r for r in caplog.records if r.levelname == "WARNING" and "not measured" in r.message]
    assert len(asked) == 2
    assert len(told) == 1
    assert "install it" in told[0].message


def test_a_checkpoint_stays_until_it_is_known_how_good_it_is(tmp_path):
    """Measuring takes longer than the last few checkpoints last."""
    asked, kept = [], []

    def ask(step):
        asked.append(Question(step))
        return asked[-1]

    callback = Evaluating(
        tiny_run.run_folder(tmp_path), ask, Cadence(10), 100, 4, lambda step: None,
        keep_measured=kept.append, start=1,
    )  # fmt: skip
    callback.begin(0)
    callback.published(10)
    callback.after_call(10, {})
    callback.published(20)
    callback.published(30)
    assert kept[-1] == {10, 30}  # 20 was given up for 30
    answer(callback, asked[-1], found(0.5), 31)
    assert kept[-1] == {30}
    answer(callback, asked[-1], TrainingError("no network"), 40)
    assert kept[-1] == set()


def test_a_measurement_that_cannot_begin_is_a_warning_too(tmp_path, caplog):
    def ask(step):
        raise TrainingError("no memory for a process", remedy="free some")

    callback = Evaluating(
        tiny_run.run_folder(tmp_path), ask, Cadence(10), 20, 4, lambda step: None, start=1
    )
    callback.begin(0)
    for step in (10, 20):
        callback.published(step)
        callback.after_call(step, {})
    callback.end(20)
    assert [r.levelname for r in caplog.records if "not measured" in r.message] == ["WARNING"]


def test_whatever_fails_while_measuring_is_told(monkeypatch):
    def done(task):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(evaluators.Task, "done", done)
    told = evaluators._measured(evaluators.Task("run", "set", ("kid",), ("auto",), None, ""))
    assert isinstance(told, TrainingError)
    assert "RuntimeError: out of memory" in told.what
    assert "catgan evaluate" in told.remedy


def test_the_best_is_remembered_by_a_later_start(measuring):
    callback, asked, _ = measuring()
    for step, distance in ((10, 0.5), (20, 0.3), (30, 0.4)):
        callback.published(step)
        callback.after_call(step, {})
        answer(callback, asked[-1], found(distance), step)
    later, asked, best = measuring()
    later.begin(30)
    assert best[-1] == 20
    assert not asked
    # A start that goes on from an earlier step knows nothing of what came after it.
    later.begin(10)
    assert best[-1] == 10


def test_a_kill_before_the_last_figure_is_made_up_for(measuring):
    callback, asked, _ = measuring()
    callback.begin(10)
    callback.after_call(10, {})
    assert [question.step for question in asked] == [10]


def test_a_stopped_run_does_not_wait(measuring):
    callback, asked, _ = measuring()
    callback.published(10)
    callback.after_call(10, {})
    callback.end(11)
    callback.close()
    assert asked[0].cancelled


def test_only_figures_of_the_same_origin_are_compared():
    measured = [found(0.1), found(0.3, "another"), found(0.4, "another")]
    assert best_step([{"step": step, **one} for step, one in enumerate(measured)]) == 1
    assert best_step([]) is None
    assert told_in_words(found(0.5)["results"][0]) == (
        "kernel distance (net) 0.5000 ± 0.0100 (real pictures 0.0000)"
    )


@pytest.fixture
def watched(tmp_path, cats, network_file):  # noqa: F811
    """Keys of a tiny run whose held-out drawn cats suffice for figures."""
    from tests.data.small_sets import write_set

    write_set(tmp_path / "data", cats, validation=140)
    return [
        f"evaluation.features={network_file}",
        "evaluation.every_steps=5",
        "evaluation.count=100",
        "checkpoint.keep_last=1",
    ]


def test_a_run_is_measured_and_its_best_checkpoint_kept(watched, tmp_path):
    run = tiny_run.train(tmp_path, *watched)
    assert run.outcome.status == "finished"
    kept = read_evaluations(run.folder)
    assert kept[-1]["step"] == 12
    by_hand = evaluators.Task(
        str(tmp_path / "run/checkpoints/step-000000012"),
        str(tmp_path / "data"),
        ("kid",),
        (watched[0].partition("=")[2],),
        100,
        "",
    ).done()
    assert kept[-1]["results"] == json.loads(json.dumps(by_hand["results"]))
    facts = inspection.inspect(run.folder.address).facts["evaluations"]
    assert facts[-1]["figures"] == {
        "kernel distance (filters.keras)": kept[-1]["results"][0]["figures"]["kernel_distance"][
            "value"
        ]
    }
    left = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert left == {f"step-{step:09d}" for step in {12, best_step(kept)}}


def test_nothing_of_it_reaches_the_weights(watched, tmp_path):
    import numpy as np

    measured = tiny_run.train(tmp_path, *watched)
    (tmp_path / "run").rename(tmp_path / "measured")
    plain = tiny_run.train(tmp_path)
    assert not read_evaluations(plain.folder)
    state = measured.gan.state()
    for name, array in plain.gan.state().items():
        np.testing.assert_array_equal(array, state[name])


def test_the_process_that_measures_ends_with_the_one_that_began_it(tmp_path):
    """SIGKILL of the parent, which can tell nobody."""
    script = (
        "import time\n"
        "from trainer.launch.evaluators import Task, _Process\n"
        "job = _Process(Task('x', 'x', ('kid',), ('auto',), None, ''))\n"
        "print(job._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(child) and time.monotonic() < deadline:
        if psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    assert not psutil.pid_exists(child)


def test_a_kill_after_the_last_step_costs_no_figure(watched, tmp_path):
    """All steps are done and published; only what is measured beside the training is missing."""
    killed = KilledBeforeTheLastGrid()
    killed.folder = tmp_path
    with pytest.raises(SystemExit):
        tiny_run.train(tmp_path, *watched, callbacks=[killed])
    folder = tiny_run.run_folder(tmp_path)
    assert not folder.folder.exists(names.evaluation(12))
    assert door.train(tiny_run.tiny_config(tmp_path, *watched)).status == "finished"
    assert read_evaluations(folder)[-1]["step"] == 12


def test_the_best_stays_where_nothing_is_measured_any_more(watched, tmp_path):
    run = tiny_run.train(tmp_path, *watched)
    first = {**found(-9.0), "step": 12, "images_seen": 48}
    run.folder.folder.write(names.evaluation(12), json.dumps(first).encode())
    door.resume(run.folder.address, ["training.steps=30", "evaluation.every_steps=0"])
    left = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert left == {"step-000000012", "step-000000030"}


def test_a_process_that_is_to_end_does_not_wait_for_the_last_figure(tmp_path, caplog):
    asked = []

    def ask(step):
        asked.append(Question(step))
        return asked[-1]

    callback = Evaluating(
        tiny_run.run_folder(tmp_path), ask, Cadence(10), 10, 4, lambda step: None,
        start=1, stop_asked=lambda: bool(asked),
    )  # fmt: skip
    callback.begin(0)
    callback.published(10)
    callback.end(10)
    assert len(asked) == 1
    assert "catgan evaluate" in caplog.text


def test_a_failure_after_a_success_is_told_again(measuring, caplog):
    callback, asked, _ = measuring()
    failure = TrainingError("no network", remedy="install it")
    for step, said in [(10, failure), (20, found(0.5)), (30, failure)]:
        callback.published(step)
        callback.after_call(step, {})
        answer(callback, asked[-1], said, step)
    told = [r.message for r in caplog.records if "not measured" in r.message]
    assert [text.split()[1] for text in told] == ["10", "30"]


def test_a_process_that_dies_says_what_it_said(tmp_path):
    task = evaluators.Task(str(tmp_path), "nowhere", ("kid",), ("auto",), None, "")
    job = evaluators._Process(task)
    psutil.Process(job._process.pid).kill()
    with pytest.raises(TrainingError, match="ended with exit code -9: "):
        job.result()


@pytest.mark.parametrize(
    ("word", "error", "told"),
    [
        ("evaluation.features=efficientnet-lite9", ConfigError, "no feature network"),
        ("evaluation.features=auto,net@2px", ConfigError, "no feature network"),
        ("evaluation.count=99", DataError, "99 held-out pictures"),
        ("evaluation.metrics=[fid, pr]", DataError, "0 held-out pictures are too few for fid"),
    ],
)
def test_what_could_never_be_measured_is_refused_before_training(tmp_path, word, error, told):
    """Hours later there would be no figure and no best checkpoint."""
    config = tiny_run.tiny_config(tmp_path, "evaluation.every_steps=5", word)
    held_out = 0 if "metrics" in word else 500
    counts = type("Counts", (), {"validation": held_out})
    manifest = type("Manifest", (), {"counts": counts})
    with pytest.raises(error, match=told):
        starting.refuse_unmeasurable(config, manifest)
    off = configs.override(config, ["evaluation.every_steps=0"])
    starting.refuse_unmeasurable(off, manifest)


def test_a_run_that_can_measure_nothing_does_not_begin(tmp_path):
    with pytest.raises(DataError, match="held"):
        tiny_run.train(tmp_path, "evaluation.every_steps=5")
    assert not (tmp_path / "run" / "run.json").exists()
