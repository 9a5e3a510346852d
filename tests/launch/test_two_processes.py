"""Two processes on one run: the second takes over, the first is fenced out.

That it is told so even where all its steps are there already: `tests/test_worker.py`.
"""

from tests.launch.conftest import EVERY, STEPS, assert_same_bits, open_run, steps_of
from trainer.run_folder import read_metrics


def test_the_first_is_fenced_out_and_told(small, unbroken, tmp_path):
    run, gate = tmp_path / "run", tmp_path / "gate"
    first = small.call("train_and_wait", small.config, run, EVERY + 2, gate)
    first.wait_for("waits after step")
    small.train(run).succeed()
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
