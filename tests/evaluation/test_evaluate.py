"""`evaluate`: figures that mean something, their origin, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from tests.callbacks import tiny_run
from tests.data.small_sets import write_set
from trainer import scores
from trainer.errors import CheckpointError, ConfigError, DataError
from trainer.evaluation.evaluate import EvaluateOptions, evaluate
from trainer.evaluation.figures import Figure
from trainer.evaluation.result import Evaluation, Provenance, Result, unlike


@pytest.fixture
def judged(network_file, shared_set):
    """Evaluates pictures against the drawn cats with the small network."""

    def result(address, *metrics, **wish):
        asked = EvaluateOptions(metrics=metrics, features=(network_file,), **wish)
        return evaluate(str(address), shared_set, asked)

    return result


def save(folder, pictures):
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:04d}.png")
    return folder


def value(found, name):
    return found.results[0].figures[name].value


def test_real_pictures_are_near_and_damaged_ones_far(judged, cats, tmp_path):
    fresh = judged(save(tmp_path / "real", cats[:140]))
    random = np.random.default_rng(0)
    noisy = np.clip(cats[:140] + random.normal(0, 40, cats[:140].shape), 0, 255).astype(np.uint8)
    damaged = judged(save(tmp_path / "noisy", noisy))
    kid = fresh.results[0].figures["kernel_distance"]
    assert abs(kid.value) < 5 * kid.error
    # Other training pictures stand in the baseline, so it is alike and not the same.
    assert abs(kid.baseline) < 5 * kid.baseline_error
    assert value(damaged, "kernel_distance") > 10 * kid.error
    assert value(damaged, "frechet_distance") > 3 * value(fresh, "frechet_distance")
    assert value(damaged, "precision") < 0.9 * value(fresh, "precision")
    assert value(damaged, "coverage") < 0.5 * value(fresh, "coverage")


def test_copies_of_training_pictures_are_found_out(judged, cats, tmp_path):
    copies = judged(save(tmp_path / "copies", cats[:140]), "nearest")
    assert value(copies, "memorised_share") == 1.0
    (result,) = copies.results
    assert all(neighbour.distance < 1e-3 for neighbour in result.neighbours)
    assert result.usual_distance > 10 * result.neighbours[0].distance
    held_out = judged(save(tmp_path / "new", cats[260:400]), "nearest")
    assert value(held_out, "memorised_share") < 0.1


def test_one_repeated_picture_has_precision_and_no_recall(judged, cats, tmp_path):
    found = judged(save(tmp_path / "same", np.repeat(cats[5:6], 140, axis=0)), "pr", "dc")
    assert set(found.results[0].figures) == {"precision", "recall", "density", "coverage"}
    assert value(found, "recall") < 0.05
    assert value(found, "coverage") < 0.1


def test_a_data_set_is_judged_by_its_training_pictures(judged, shared_set):
    found = judged(shared_set, "kid")
    assert found.about["kind"] == "data set"
    assert found.results[0].provenance.seed is None
    kid = found.results[0].figures["kernel_distance"]
    assert abs(kid.value) < 5 * kid.error


def test_a_run_is_judged_by_its_averaged_generator(judged, tmp_path):
    tiny_run.train(tmp_path)
    run = judged(tmp_path / "run", "kid", seed=7)
    (step,) = {path.name for path in (tmp_path / "run" / "checkpoints").glob("*12")}
    again = judged(tmp_path / "run" / "checkpoints" / step, "kid", seed=7)
    other = judged(tmp_path / "run", "kid", seed=8)
    assert value(run, "kernel_distance") == value(again, "kernel_distance")
    assert value(run, "kernel_distance") != value(other, "kernel_distance")
    assert run.about == {"kind": "generator", "seed": 7}
    assert run.subject.endswith(step)


def test_against_training_pictures_the_held_out_ones_are_the_baseline(judged, shared_set):
    small = judged(shared_set, "kid", split="train", count=140)
    assert small.results[0].figures["kernel_distance"].baseline is not None
    # There are only 140 held-out pictures: no baseline of 200.
    (result,) = judged(shared_set, "kid", split="train", count=200).results
    assert result.figures["kernel_distance"].baseline is None
    assert result.left_out["real pictures"] == "the other split has 140; needs 200"


def test_metrics_that_nobody_asked_for_are_left_out_with_the_reason(judged, shared_set):
    (result,) = judged(shared_set, count=120).results
    assert "frechet_distance" in result.figures  # 24 numbers a picture: 25 pictures will do
    (result,) = judged(shared_set, count=60).results
    assert set(result.left_out) == {"kid", "pr", "dc"}
    assert "100 or more" in result.left_out["kid"]


@pytest.mark.parametrize("held_out", [0, 20])
def test_a_set_that_holds_out_next_to_nothing_is_refused(held_out, network_file, cats, tmp_path):
    """As that of few pictures is, unasked."""
    write_set(tmp_path / "set", cats[:120], validation=held_out)
    with pytest.raises(DataError, match=f"kid of {held_out} pictures") as caught:
        evaluate(str(tmp_path / "set"), str(tmp_path / "set"), EvaluateOptions((), (network_file,)))
    assert "train again" in caught.value.remedy


def test_copies_among_the_held_out_hide_no_memory(network_file, cats, tmp_path):
    """Of 140 held-out pictures three are training pictures, too: the first percentile is zero."""
    held_out = np.concatenate([cats[:3], cats[260:397]])
    write_set(tmp_path / "set", np.concatenate([cats[:260], held_out]), validation=140)
    copies = save(tmp_path / "copies", cats[100:220])
    wish = EvaluateOptions(("nearest",), (network_file,))
    found = evaluate(str(copies), str(tmp_path / "set"), wish)
    assert value(found, "memorised_share") == 1.0


def test_too_many_copies_leave_the_share_out(network_file, cats, tmp_path):
    write_set(tmp_path / "set", np.concatenate([cats[:260], cats[:100]]), validation=100)
    wish = EvaluateOptions((), (network_file,))
    (result,) = evaluate(str(tmp_path / "set"), str(tmp_path / "set"), wish).results
    assert set(result.left_out) == {"nearest"}
    assert "kernel_distance" in result.figures


def test_pictures_that_the_run_did_not_see_as_held_out_are_told(judged, tmp_path, caplog):
    """Its own set was judged against without a word."""
    tiny_run.train(tmp_path)
    judged(tmp_path / "run", "kid")
    assert "every figure is too good" in caplog.text
    caplog.clear()
    with pytest.raises(DataError, match="kid of 0 pictures"):
        evaluate(str(tmp_path / "run"), str(tmp_path / "data"), EvaluateOptions(("kid",)))
    assert "every figure" not in caplog.text


@pytest.mark.parametrize(
    ("wish", "needs"),
    [
        ({"metrics": ("kid",), "count": 99}, "100 or more"),
        ({"metrics": ("fid",), "count": 24}, "25 or more"),
        ({"metrics": ("pr",), "count": 141}, "1 to 140"),
        ({"metrics": ("kid",), "count": 0}, "1 to 140"),
    ],
)
def test_too_few_pictures_are_refused_with_the_number_needed(wish, needs, network_file, shared_set):
    with pytest.raises(DataError) as caught:
        evaluate(shared_set, shared_set, EvaluateOptions(features=(network_file,), **wish))
    assert needs in caught.value.expected
    assert caught.value.remedy


def test_unknown_metrics_are_refused(network_file, shared_set):
    with pytest.raises(ConfigError, match="is, fis"):
        evaluate(shared_set, shared_set, EvaluateOptions(("is", "fis"), (network_file,)))


def test_pictures_of_another_size_are_refused(judged, tmp_path):
    folder = save(tmp_path / "large", np.zeros((3, 64, 64, 3), np.uint8))
    with pytest.raises(DataError, match="64 px"):
        judged(folder, "kid")


def test_a_folder_with_one_odd_picture_is_refused(judged, cats, tmp_path):
    folder = save(tmp_path / "odd", cats[:110])
    Image.fromarray(np.zeros((32, 40, 3), np.uint8)).save(folder / "wide.png")
    with pytest.raises(DataError, match=r"wide\.png is 40×32|32×32"):
        judged(folder, "kid", count=111)


def test_a_folder_with_one_broken_picture_is_refused(judged, cats, tmp_path):
    folder = save(tmp_path / "broken", cats[:110])
    (folder / "cut.png").write_bytes((folder / "0001.png").read_bytes()[:90])
    with pytest.raises(DataError, match=r"cut\.png"):
        judged(folder, "kid", count=111)


def test_an_empty_folder_is_refused(judged, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no run, data set or picture"):
        judged(tmp_path / "empty", "kid")


def test_an_evaluation_survives_json(judged, shared_set):
    found = judged(shared_set)
    told = json.loads(json.dumps(found.as_dict()))
    assert Evaluation.from_dict(told) == found
    for other in ({**told, "format": 2}, {k: v for k, v in told.items() if k != "format"}):
        with pytest.raises(CheckpointError, match="has the format") as caught:
            Evaluation.from_dict(other)
        assert "catgan evaluate" in caught.value.remedy


def labels(result, features):
    origin = dataclasses.replace(result.provenance, features=features)
    named = dataclasses.replace(result, provenance=origin)
    return {figure: named.label(figure) for figure in result.figures}


def test_only_inceptions_figures_go_without_the_networks_name(judged, shared_set):
    (result,) = judged(shared_set).results
    assert result.label("frechet_distance") == "frechet distance (filters.keras)"
    assert result.label("memorised_share") == "memorised share (filters.keras)"
    inception = labels(result, "inception")
    assert inception["frechet_distance"] == "FID"
    assert inception["kernel_distance"] == "KID"
    assert inception["precision"] == "precision"
    coarse = labels(result, "inception@16px")
    assert all(label.endswith(" (inception@16px)") for label in coarse.values())


def test_no_two_networks_call_a_figure_the_same(network_file, shared_set):
    asked = EvaluateOptions(("kid", "pr", "dc"), (network_file, f"{network_file}@16px"))
    told = evaluate(shared_set, shared_set, asked).as_dict()
    called = [label for result in told["results"] for label in result["labels"].values()]
    assert len(called) == 2 * 5
    assert len(set(called)) == len(called)


def test_distances_to_training_pictures_are_measured_once(judged, shared_set, monkeypatch):
    measured, nearest = [], scores.nearest

    def counting(queries, references):
        measured.append((len(queries), len(references)))
        return nearest(queries, references)

    monkeypatch.setattr(scores, "nearest", counting)
    judged(shared_set, "nearest", count=120)
    assert sorted(measured) == [(120, 260), (140, 260)]


ORIGIN = Provenance("n", "w", "r", 100, 0, "validation", "f", 32, 200, 100)


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Provenance)])
def test_figures_of_unlike_origin_are_not_compared(field):
    other = dataclasses.replace(ORIGIN, **{field: "else"})
    alike = Result({"kernel_distance": Figure(1.0)}, {}, ORIGIN)
    assert unlike([alike, alike]) == []
    assert unlike([alike, alike, dataclasses.replace(alike, provenance=other)]) == [field]


def test_grids_and_strips_beside_single_pictures_are_none(judged, cats, tmp_path):
    folder = save(tmp_path / "drawn", cats[:110])
    for name in ("grid.png", "interpolation.png", "interpolation-0003.png", "nearest.png"):
        Image.fromarray(np.zeros((200, 200, 3), np.uint8)).save(folder / name)
    assert judged(folder, "kid").about["files"] == 110


def test_a_set_against_itself_is_told(judged, shared_set, network_file, caplog):
    wish = EvaluateOptions(("kid",), (network_file,), split="train")
    evaluate(shared_set, shared_set, wish)
    assert "both sides are the same pictures, the train split" in caplog.text
