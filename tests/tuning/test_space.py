"""What `--over` means, which trials come of it, and what is refused."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from trainer import config as configs
from trainer.errors import ConfigError, DataError
from trainer.launch.tuning.search import claim, plan, rows_of, write_best
from trainer.launch.tuning.space import read_axis, trials_of
from trainer.launch.tuning.trial import rungs_of

RATE, WIDTH = "generator_optimizer.rate", "model.base_channels"


def test_choices_make_every_combination():
    axes = [read_axis(f"{RATE}=1e-4,2e-4"), read_axis("augment.kinds=[],[colour, cutout]")]
    found = trials_of(axes, None, seed=0)
    assert [tuple(trial.values()) for trial in found] == [
        ("1e-4", "[]"),
        ("1e-4", "[colour, cutout]"),
        ("2e-4", "[]"),
        ("2e-4", "[colour, cutout]"),
    ]
    assert len(trials_of(axes, 3, seed=0)) == 3


def test_ranges_are_even_in_the_logarithm_and_drawn_from_the_seed():
    axes = [read_axis(f"{RATE}=1e-4..1e-2"), read_axis("loss.r1_weight=0..8 linear")]
    found = trials_of(axes, 1000, seed=3)
    rates = np.array([math.log10(float(trial[RATE])) for trial in found])
    weights = np.array([float(trial["loss.r1_weight"]) for trial in found])
    for values, low, high in ((rates, -4, -2), (weights, 0, 8)):
        assert low <= values.min() <= values.max() <= high
        counts = np.histogram(values, 4, (low, high))[0]
        assert counts.min() > 190, counts
    assert abs(np.corrcoef(rates, weights)[0, 1]) < 0.1
    assert trials_of(axes, 10, seed=3) == found[:10]
    assert trials_of(axes, 10, seed=4) != found[:10]
    assert len(trials_of(axes, None, seed=3)) == 16


def test_a_range_of_a_whole_number_gives_whole_numbers(caplog):
    found = trials_of([read_axis(f"{WIDTH}=4..7")], 100, seed=0)
    assert sorted(int(trial[WIDTH]) for trial in found) == [4, 5, 6, 7]
    assert "4 different trials, not 100" in caplog.text


def test_a_narrow_range_is_drawn_from_all_over_and_not_left():
    decay = "generator_optimizer.beta_2"
    found = trials_of([read_axis(f"{decay}=0.99..0.9999")], 500, seed=0)
    values = sorted(float(trial[decay]) for trial in found)
    assert len(values) == 500
    assert 0.99 <= values[0] < 0.9901
    assert 0.9998 < values[-1] <= 0.9999


@pytest.mark.parametrize(
    "text",
    [
        "",
        RATE,
        f"{RATE}=",
        f"{RATE}=1e-4",
        f"{RATE}=1e-4,1e-4",
        f"{RATE}=1e-4,",
        f"{RATE}=1e-3..1e-4",
        f"{RATE}=0..1e-4",
        "training.steps=10,20",
        "dataset.size_px=32,64",
        "seed=1,2",
        "evaluation.features=inception,efficientnet-lite0",
    ],
)
def test_what_cannot_be_searched_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        read_axis(text)
    assert caught.value.remedy


@pytest.mark.parametrize("count", [0, 1001])
def test_counts_out_of_range(count):
    with pytest.raises(ConfigError, match="trials"):
        trials_of([read_axis(f"{RATE}=1e-4..1e-3")], count, seed=0)


def test_a_key_that_stands_twice():
    with pytest.raises(ConfigError, match="twice"):
        trials_of([read_axis(f"{RATE}=1,2"), read_axis(f"{RATE}=3,4")], None, seed=0)


def test_rungs():
    assert rungs_of(900, 3) == [100, 300, 900]
    assert rungs_of(2, 3) == [2]


def keep_scores(folder, number, scores, **others):
    """As a trial leaves them, `scores` being (step, value)."""
    run = folder / "trials" / f"trial-{number:04d}"
    run.mkdir(parents=True)
    alike = {"error": 0.1, "features": "net 12345678", "fingerprint": "f", "count": 200, **others}
    rows = [{"step": step, "value": value, **alike} for step, value in scores]
    (run / "scores.json").write_text(json.dumps(rows))


@pytest.fixture
def base():
    return configs.from_text("", ["run=nowhere", "dataset.address=data", "training.steps=90"])


def test_trials_that_cannot_be_run_are_refused_before_anything_is_written(base, tmp_path):
    for axis in (f"{RATE}=1e-4,100", "loss.r9=1,2", "loss.name=hinge,henge"):
        with pytest.raises(ConfigError, match="the trial with"):
            plan(base, [read_axis(axis)], str(tmp_path / "search"), None)
    assert not (tmp_path / "search").exists()


def test_the_same_search_goes_on_and_another_is_refused(base, tmp_path):
    first = plan(base, [read_axis(f"{RATE}=1e-4,2e-4")], str(tmp_path), None)
    assert not claim(first)
    assert claim(first)
    with pytest.raises(ConfigError, match="other trials"):
        claim(plan(base, [read_axis(f"{RATE}=1e-4,3e-4")], str(tmp_path), None))


def test_the_winner_is_the_best_of_those_that_came_furthest(base, tmp_path):
    search = plan(base, [read_axis(f"{RATE}=1e-4,2e-4,3e-4,4e-4")], str(tmp_path), None)
    scores = {0: [(10, 0.5)], 1: [(10, 3.0), (30, 2.0), (90, 1.5)], 2: [(10, 2.0), (90, 1.0)]}
    for number, rows in scores.items():
        keep_scores(tmp_path, number, rows)
    found = rows_of(search, {3: "it diverged"})
    assert [(row.number, row.state) for row in found] == [
        (2, "finished"),
        (1, "finished"),
        (0, "stopped"),
        (3, "failed"),
    ]
    best = configs.load(write_best(search, found, "small"))
    assert best.generator_optimizer.rate == 3e-4
    assert best.run == "runs/small-best"
    others = configs.differences(best, base)
    assert set(others) == {RATE, "run", "dataset.address"}


def test_a_trial_that_failed_wins_nothing(base, tmp_path):
    """However far it came."""
    search = plan(base, [read_axis(f"{RATE}=1e-4,2e-4")], str(tmp_path), None)
    keep_scores(tmp_path, 0, [(10, 0.5), (30, 0.1)])
    keep_scores(tmp_path, 1, [(10, 0.6)])
    assert [row.number for row in rows_of(search, {0: "it diverged"})] == [1, 0]
    with pytest.raises(ConfigError, match="no trial"):
        write_best(search, rows_of(search, {0: "it diverged", 1: "it diverged"}), "small")


@pytest.mark.parametrize("unlike", [{"features": "net 9"}, {"fingerprint": "g"}, {"count": 100}])
def test_unlike_scores_are_not_compared(base, tmp_path, unlike):
    search = plan(base, [read_axis(f"{RATE}=1e-4,2e-4")], str(tmp_path), None)
    keep_scores(tmp_path, 0, [(10, 0.5)])
    keep_scores(tmp_path, 1, [(10, 0.6)], **unlike)
    with pytest.raises(DataError, match=f"different {next(iter(unlike))}"):
        rows_of(search, {})


def test_a_trial_that_diverges_fails_and_the_winner_may_be_sent_back(base, tmp_path):
    """Sent back it would go on at half the rate that it is to be judged by."""
    search = plan(base, [read_axis("loss.r1_weight=1,2")], str(tmp_path), None)
    for trial in search.trials:
        assert configs.from_text(trial.config).training.max_rollbacks == 0
    assert search.base.training.max_rollbacks == base.training.max_rollbacks > 0


def test_one_network_scores_all_trials_and_the_winner_keeps_the_users_choice(base, tmp_path):
    search = plan(base, [read_axis(f"{RATE}=1e-4,2e-4")], str(tmp_path), None)
    for trial in search.trials:
        config = configs.from_text(trial.config)
        assert config.evaluation.features == search.features != "auto"
    keep_scores(tmp_path, 0, [(90, 0.5)])
    best = configs.load(write_best(search, rows_of(search, {}), "small"))
    assert best.evaluation.features == "auto"


def test_a_search_that_goes_on_remembers_what_ended_trials_came_to(base, tmp_path):
    """Ray forgets: the next trial would be the first of its rung, and go on however bad it is."""
    from trainer.launch.tuning.on_ray import _scheduler

    axes = [read_axis(f"{RATE}=1e-4,2e-4,3e-4,4e-4,5e-4")]
    search = plan(base, axes, str(tmp_path), None)
    for number, value in enumerate((0.5, 0.7, 0.6)):
        keep_scores(tmp_path, number, [(search.rungs[0], value)])
    scheduler = _scheduler(search)
    scheduler.set_search_properties("value", "min")
    trials = [SimpleNamespace(trial_id=str(n), config={"trial": n}) for n in range(5)]
    for trial in trials:
        scheduler.on_trial_add(None, trial)

    def said(number, value):
        row = {"step": search.rungs[0], "value": value}
        return scheduler.on_trial_result(None, trials[number], row)

    assert said(3, 0.9) == "STOP"
    assert said(4, 0.4) == "CONTINUE"
    # What was decided stays, whoever came later.
    assert said(1, 0.7) == "CONTINUE"


def test_without_a_score_there_is_no_winner(base, tmp_path):
    search = plan(base, [read_axis(f"{RATE}=1e-4,2e-4")], str(tmp_path), None)
    with pytest.raises(ConfigError, match="no trial"):
        write_best(search, rows_of(search, {}), "small")
