"""Several runs in one table: like with like only."""

import json

import pytest

from tests.report import made_runs
from tests.report.made_runs import made_run, measured, rows
from trainer.errors import CheckpointError, ConfigError
from trainer.report.compare import compare, short_names
from trainer.run_folder import names


@pytest.fixture
def two(tmp_path):
    one = made_run(tmp_path / "a" / "run", metrics=rows([10, 20]))
    other = made_run(tmp_path / "b" / "run", "loss.name=hinge", "seed=3", metrics=rows([10]))
    return one, other


def test_what_differs_and_where_they_stand(two):
    found = compare([run.address for run in two])
    assert found.names == ("a/run", "b/run")
    assert found.settings == {"seed": (0, 3), "loss.name": ("relativistic_pairing", "hinge")}
    assert found.standing["status"] == ("finished", "finished")
    assert found.standing["step"] == (20, 20)
    assert found.standing["images_per_sec"] == (640.0, 640.0)
    assert found.standing["seconds"] == (2.0, 1.0)


def test_figures_are_the_best_measured_alike(two):
    one, other = two
    measured(one, 10, 0.2)
    measured(one, 20, 0.3)
    found = compare([run.address for run in two])
    (cells,) = found.figures.values()
    assert cells == ({"step": 10, "value": 0.2, "error": 0.01, "baseline": 0.001}, None)
    measured(other, 20, 0.1)
    (cells,) = compare([run.address for run in two]).figures.values()
    assert [cell["value"] for cell in cells] == [0.2, 0.1]


def test_what_was_measured_otherwise_is_not_compared(two):
    one, other = two
    measured(one, 10, 0.2, count=100)
    measured(other, 10, 0.1, count=50)
    found = compare([run.address for run in two])
    assert found.figures == {}
    assert found.unlike == {"kernel distance (net)": "count"}


def test_figures_of_two_networks_stand_in_lines_of_their_own(two):
    for run, value in zip(two, (0.3, 0.4), strict=True):
        results = [
            made_runs.result(
                {
                    "kernel_distance": made_runs.figure(1),
                    "precision": made_runs.figure(value + more),
                },
                features=features,
            )
            for features, more in (("net", 0.0), ("net@16px", 0.5))
        ]
        made_runs.write_measured(run, 10, results)
    found = compare([run.address for run in two])
    assert found.unlike == {}
    values = {name: [cell["value"] for cell in cells] for name, cells in found.figures.items()}
    assert values["precision (net)"] == [0.3, 0.4]
    assert values["precision (net@16px)"] == pytest.approx([0.8, 0.9])


def test_a_measurement_of_another_format_is_refused(two):
    measured(two[0], 10, 0.2)
    name = names.evaluation(10)
    told = json.loads(two[0].folder.read(name))
    two[0].folder.write(name, json.dumps({**told, "format": 2}).encode())
    with pytest.raises(CheckpointError, match="format 2") as caught:
        compare([run.address for run in two])
    assert "catgan evaluate" in caught.value.remedy


def test_the_command_shows_it(two, catgan):
    measured(two[0], 10, 0.25)
    addresses = [run.address for run in two]
    ended = catgan("compare", *addresses)
    assert ended.code == 0, ended.err
    for told in ("a/run", "b/run", "loss.name", "hinge", "0.2500 ± 0.0100 at step 10", "640"):
        assert told in ended.out
    assert catgan("compare", *addresses, "--json").answer["settings"]["seed"] == [0, 3]


def test_one_run_is_no_comparison(two, tmp_path, catgan):
    with pytest.raises(ConfigError, match="two different runs"):
        compare([two[0].address])
    with pytest.raises(ConfigError, match="2 addresses of 1 runs"):
        compare([two[0].address, two[0].address + "/"])
    with pytest.raises(CheckpointError, match="no run"):
        compare([two[0].address, str(tmp_path / "nothing")])
    assert catgan("compare", two[0].address, tmp_path / "nothing").code == 5


@pytest.mark.parametrize(
    ("addresses", "short"),
    [
        (["/a/x", "/a/y"], ("x", "y")),
        (["/a/x", "/b/x"], ("a/x", "b/x")),
        (["gs://b/one/x/", "gs://b/two/x"], ("one/x", "two/x")),
    ],
)
def test_names_are_short_and_differ(addresses, short):
    assert short_names(addresses) == short
