"""Curves: thinned without losing an extreme, of one run or several."""

import numpy as np
import pytest

from tests.report import made_runs
from tests.report.made_runs import made_run, measured, rows
from trainer.report import series
from trainer.report.run_view import read_run


def test_no_extreme_is_lost():
    images = np.arange(100_000.0)
    values = np.random.default_rng(0).normal(size=100_000)
    values[[777, 54_321]] = [1e6, -1e6]
    kept, thin = series.thinned(images, values)
    assert len(thin) <= series.MOST_POINTS
    assert np.all(np.diff(kept) > 0)
    assert (kept[0], kept[-1]) == (0, 99_999)
    assert (thin.max(), thin.min()) == (1e6, -1e6)
    for begin in range(0, 100_000, 10_000):
        inside = (kept >= begin) & (kept < begin + 10_000)
        stretch = values[begin : begin + 10_000]
        assert thin[inside].max() == stretch.max()
        assert thin[inside].min() == stretch.min()


@pytest.mark.parametrize("count", [1, 2, 1999, 2000, 2001])
def test_short_series_stay(count):
    images, values = np.arange(count, dtype=float), np.ones(count)
    kept, _ = series.thinned(images, values)
    assert (kept[0], kept[-1]) == (0, count - 1)
    assert len(kept) == count if count <= series.MOST_POINTS else len(kept) <= series.MOST_POINTS


def titles(runs, names):
    return [chart.title for chart in series.charts(runs, names)]


def test_one_run_has_its_lines_together_and_several_have_theirs_apart(tmp_path):
    one = read_run(made_run(tmp_path / "one", metrics=rows(range(10, 30))).address)
    other = read_run(made_run(tmp_path / "two", metrics=rows(range(10, 20))).address)
    alone = {chart.title: chart for chart in series.charts([one], ["one"])}
    assert [line.label for line in alone["Losses"].lines] == ["discriminator", "generator"]
    assert np.all(alone["Discriminator's margin"].lines[0].values == 0.75)
    assert "Augmentation" not in alone
    both = {chart.title: chart for chart in series.charts([one, other], ["one", "two"])}
    assert [line.label for line in both["Losses: discriminator"].lines] == ["one", "two"]
    assert [line.run for line in both["Speed"].lines] == [0, 1]


def test_figures_stand_with_their_errors_and_apart_where_measured_otherwise(tmp_path):
    one, other = made_run(tmp_path / "one"), made_run(tmp_path / "two")
    for step, value in ((10, 0.5), (20, 0.25)):
        measured(one, step, value)
    measured(other, 20, 0.3)
    runs = [read_run(one.address), read_run(other.address)]
    (chart,) = series.charts(runs, ["one", "two"])
    assert chart.title == "kernel distance (net)"
    assert "100 pictures on each side" in chart.about
    assert "real pictures of the other split get 0.0010" in chart.about
    assert chart.lines[0].values.tolist() == [0.5, 0.25]
    assert chart.lines[0].errors.tolist() == [0.01, 0.01]
    measured(other, 20, 0.3, count=50)
    runs[1] = read_run(other.address)
    assert [len(chart.lines) for chart in series.charts(runs, ["one", "two"])] == [1, 1]


def test_what_stands_beside_a_figure_is_told_as_what_it_is(tmp_path):
    run = made_run(tmp_path / "run")
    figures = {
        "memorised_share": made_runs.figure(0.02, baseline=0.01),
        "precision": made_runs.figure(0.5, baseline=None),
        "recall": made_runs.figure(0.5, baseline=0.7),
    }
    made_runs.write_measured(run, 10, [made_runs.result(figures)])
    charts = {chart.title: chart for chart in series.charts([read_run(run.address)], ["run"])}
    memorised = charts["memorised share (net)"].about
    assert memorised.endswith("; held-out pictures get 0.0100 by definition")
    assert " get " not in charts["precision (net)"].about
    assert charts["recall (net)"].about.endswith("; real pictures of the other split get 0.7000")


def test_curves_of_two_networks_have_titles_of_their_own(tmp_path):
    run = made_run(tmp_path / "run")
    results = [
        made_runs.result({"precision": made_runs.figure(0.5)}, features=features)
        for features in ("net", "net@16px")
    ]
    made_runs.write_measured(run, 10, results)
    assert titles([read_run(run.address)], ["run"]) == [
        "precision (net)",
        "precision (net@16px)",
    ]


def test_rows_of_a_stranger_are_no_figures(tmp_path):
    odd = [{"step": 10, "images_seen": 640, "d_loss": "<script>", "g_loss": None},
           {"step": 11, "images_seen": "many", "d_loss": 1.0},
           {"step": 12, "images_seen": 768, "d_loss": True, "g_loss": 0.5}]  # fmt: skip
    run = read_run(made_run(tmp_path / "run", metrics=odd).address)
    (chart,) = series.charts([run], ["run"])
    assert [(line.label, line.values.tolist()) for line in chart.lines] == [("generator", [0.5])]
