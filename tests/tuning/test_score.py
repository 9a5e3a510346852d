"""What trials are judged by: the evaluation's own figure, refused where too little is held out."""

import pytest

from tests.callbacks import tiny_run
from tests.data.small_sets import noise, write_set
from tests.evaluation.conftest import cats, network_file  # noqa: F401 (fixtures)
from trainer.errors import DataError
from trainer.evaluation.evaluate import EvaluateOptions, evaluate
from trainer.launch.tuning.score import score


def test_a_score_is_what_evaluate_says(tmp_path, cats, network_file):  # noqa: F811
    write_set(tmp_path / "data", cats, validation=140)
    tiny_run.train(tmp_path)
    config = tiny_run.tiny_config(tmp_path, f"evaluation.features={network_file}")
    found = score(str(tmp_path / "run"), config)
    by_hand = evaluate(
        str(tmp_path / "run"), str(tmp_path / "data"), EvaluateOptions(("kid",), (network_file,))
    )
    figure = by_hand.results[0].figures["kernel_distance"]
    assert (found.value, found.error, found.count) == (figure.value, figure.error, 140)
    assert found.features.startswith("filters.keras ")


def test_too_few_held_out_pictures_are_refused(tmp_path):
    write_set(tmp_path / "data", noise(120, 32), validation=99)
    with pytest.raises(DataError, match="holds out 99"):
        score("anything", tiny_run.tiny_config(tmp_path))
