"""Two processes on one run: the second takes over, the first is fenced out."""

import pytest

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, steps_of
from trainer.run_folder import read_metrics


@pytest.mark.parametrize("keep_last", [3, 100], ids=["step deleted since", "step still there"])
def test_the_first_is_fenced_out_and_told(small, unbroken, tmp_path, keep_last):
    """Also where the step that it would write is there already, by the second."""
    run, gate, config = tmp_path / "run", tmp_path / "gate", tmp_path / "config.yaml"
    every = f"checkpoint: {{every_steps: {EVERY}"
    config.write_text(small.config.read_text().replace(every, f"{every}, keep_last: {keep_last}"))
    first = small.call("train_and_wait", config, run, EVERY + 2, gate)
    first.wait_for("waits after step")
    small.server.catgan("train", str(config), f"run={run}").succeed()
    assert open_run(run).read_record().starts[-1].first_step == EVERY
    gate.touch()
    assert first.wait() == 5
    assert "start 1 on" in first.told()
    assert "lost this run: start 2 on" in first.told()
    assert "let the later start go on" in first.told()
    record = open_run(run).read_record()
    assert (record.status, record.step) == ("finished", STEPS)
    assert_same_bits(run, unbroken)
    assert steps_of(run)[-1] == STEPS
    assert [row["step"] for row in read_metrics(open_run(run))] == list(range(1, STEPS + 1))
