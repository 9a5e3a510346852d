"""The page as a file: what is on it, its size, and that strangers' text stays text."""

import dataclasses
import datetime
import json
import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.launch.processes import wait_until
from tests.report import made_runs
from tests.report.made_runs import COUNT, answer, made_run, measured, rows
from trainer.errors import CheckpointError, ConfigError
from trainer.report import pictures
from trainer.report.page import MOST_CHECKPOINTS, page, report
from trainer.report.run_view import read_run
from trainer.run_folder import MetricsLog, NewRun, names
from trainer.run_folder.holder import Holder


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "run", metrics=rows(range(10, 21)))


def html(*runs):
    return page([read_run(run.address) for run in runs])


def test_it_says_what_happened(run):
    measured(run, 20, 0.25)
    text = html(run)
    for told in (
        "finished at step 20 of 1,000",
        "SIGTERM",
        "start 2 on there, 2 workers (before: 1)",
        "kernel distance (net)",
        "real pictures of the other split get 0.0010",
        f"catgan resume {run.address}",
        f"catgan audit {run.address}",
        "seed 8",
    ):
        assert told in text, told
    assert text.count('class="tile"') == COUNT


def test_a_start_that_was_killed_has_no_time_of_its_end(tmp_path):
    run = made_run(tmp_path / "run", status="running")
    run.claim_start(NewRun("made", "pictures", "f" * 32, "0" * 16), host="here")
    ends = [event for event in read_run(run.address).history() if event.kind == "end"]
    assert [bool(event.time) for event in ends] == [True, False]
    assert "None" not in {event.time for event in ends}
    assert "<td>None</td>" not in html(run)


def test_many_checkpoints_leave_every_start_and_end_on_the_page(run):
    view = read_run(run.address)
    saved = tuple(range(1000, 1000 + 3 * MOST_CHECKPOINTS))
    text = page([dataclasses.replace(view, checkpoints=saved)])
    table = text[text.index('<table class="history">') :]
    assert table.count("<td>start</td>") == 1
    assert table.count("<td>end</td>") == 2
    assert table.count("<td>checkpoint</td>") == MOST_CHECKPOINTS
    assert f"checkpoint of step {saved[-1]:,}" in table


def test_a_page_at_the_root_is_written_there(run, monkeypatch):
    opened = []

    def open_folder(address):
        opened.append(address)
        return run.folder

    view = read_run(run.address)
    monkeypatch.setattr("trainer.report.page.read_run", lambda address: view)
    monkeypatch.setattr("trainer.report.page.storage.open_folder", open_folder)
    report([run.address], "/report.html")
    assert opened == ["/"]


def test_nothing_is_loaded_from_anywhere(run):
    text = html(run)
    head = text[: text.index("</head>")]
    assert "default-src 'none'" in head
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"(src|href)=\"(?!data:|#)", outside)


def test_answers_are_probabilities_or_beside_real_ones(tmp_path):
    plain = made_run(tmp_path / "plain", "loss.name=non_saturating")
    answer(plain, 20, [0.0, 2.0, -2.0], [5.0])
    found, about = pictures.answers_of(read_run(plain.address), 20)
    assert found == pytest.approx([0.5, 0.880797, 0.119203], abs=1e-6)
    assert "probability" in about
    relative = made_run(tmp_path / "relative")
    answer(relative, 20, [3.0, 5.0, 1.0], [2.0, 4.0])
    found, about = pictures.answers_of(read_run(relative.address), 20)
    assert found == pytest.approx([0.5, 0.880797, 0.119203], abs=1e-6)
    assert "beside 2 real pictures" in about
    assert "D 0.88" in html(relative)


@pytest.mark.parametrize(("step", "real"), [(10, [1.0]), (20, [])])
def test_answers_of_another_step_or_without_real_pictures_are_left_out(run, step, real):
    answer(run, step, [1.0] * COUNT, real)
    assert pictures.answers_of(read_run(run.address), 20) == ([], "")


@pytest.mark.parametrize(
    "told", [[], {"step": 20, "fake_logits": [None]}, {"step": 20, "fake_logits": 1}]
)
def test_answers_that_are_none_are_left_out(run, told):
    run.folder.write(names.ANSWERS, json.dumps(told).encode())
    assert pictures.answers_of(read_run(run.address), 20) == ([], "")
    run.folder.write(
        names.ANSWERS, b'{"step": 20, "fake_logits": [1.0], "real_logits": [NaN, 1.0]}'
    )
    assert pictures.answers_of(read_run(run.address), 20) == ([], "")


def test_an_audit_that_is_none_is_left_out(run, caplog):
    run.folder.write(names.audit(10), b"{}")
    assert read_run(run.address).audits == ()
    assert "left out" in caplog.text


def test_what_the_run_went_back_behind_is_not_shown(tmp_path):
    """Grids and figures of step 20 are of a history that was left at step 10."""
    run = made_run(tmp_path / "run", metrics=rows(range(10, 21)))
    measured(run, 20, 0.1)
    third = run.claim_start(NewRun("made", "pictures", "f" * 32, "0" * 16), host="here")
    run.settle_start(third, 10, 640)
    seen = read_run(run.address)
    assert seen.samples == (0, 10)
    assert seen.evaluations == []
    assert seen.rows[-1]["step"] == 10


def test_hostile_words_stay_text(tmp_path):
    evil = "</script><script>alert(1)</script><!--<img src=x onerror=alert(1)>"
    run = made_run(
        tmp_path / "<script>alert(2)<",
        name="<script>",
        metrics=[{**row, evil: 1, "note": evil} for row in rows([10, 20])],
    )
    run.update_record(
        lambda record: record.model_copy(
            update={"starts": tuple(s.model_copy(update={"cause": evil, "host": evil})
                                    for s in record.starts)}
        )
    )  # fmt: skip
    measured(run, 20, 0.3, features=evil)
    text = html(run)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "</script><" not in text.replace("</script>\n<", "")
    assert "&lt;script&gt;" in text


def test_a_long_run_makes_no_large_page(tmp_path):
    run = made_run(tmp_path / "run", metrics=rows(range(10, 30_010, 10)), samples=range(0, 1000, 5))
    data = html(run)
    assert len(data) < 6e6
    assert data.count('"images"') <= pictures.MOST_GRIDS


def test_large_grids_share_their_space(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_MB", 0.02)
    run = made_run(tmp_path / "run", samples=range(0, 400, 10), step=390)
    found = pictures.pictures(read_run(run.address), pictures.shares([1]))
    assert sum(len(grid.data) for grid in found.grids) < 20_000
    assert (found.grids[0].step, found.grids[-1].step) == (0, 390)


def test_damaged_pictures_cost_themselves_alone(run, tmp_path, caplog):
    samples = tmp_path / "run" / "samples"
    (samples / "step-000000010.png").write_bytes(b"broken")
    (samples / "walks.png").write_bytes(b"broken")
    text = html(run)
    assert '"step": 0' in text
    assert '"step": 10' not in text
    assert "left out of the page" in caplog.text


def test_a_run_that_has_only_begun(tmp_path):
    run = made_run(tmp_path / "run", samples=(), status="running")
    text = html(run)
    assert "no grid has been drawn yet" in text
    assert "No figures have been written yet" in text


def test_only_a_page_of_a_run_that_goes_reads_itself_again(tmp_path):
    out = str(tmp_path / "report.html")
    going = made_run(tmp_path / "going", status="running")
    found = report([going.address], out, refresh_secs=5)
    assert found["running"]
    assert '<meta http-equiv="refresh" content="5">' in (tmp_path / "report.html").read_text()
    ended = made_run(tmp_path / "ended")
    assert not report([ended.address], out, refresh_secs=5)["running"]
    assert "refresh" not in (tmp_path / "report.html").read_text().split("<style>")[0]


def test_no_page_of_nothing(run, tmp_path, catgan):
    with pytest.raises(CheckpointError, match="no run"):
        report([str(tmp_path / "nothing")], "report.html")
    with pytest.raises(ConfigError, match="twice") as caught:
        report([run.address, run.address + "/"], "report.html")
    assert run.address in caught.value.what
    assert caught.value.remedy.endswith(f"catgan report {run.address}")
    assert catgan("report", run.address, "--out", "report.pdf").code == 2
    assert catgan("report", run.address).out.strip().endswith("report.html")


def test_from_a_bucket_into_a_bucket(tmp_path, bucket, catgan):
    """The whole way over HTTP: read and written by address."""
    from trainer import storage

    local = made_run(tmp_path / "run", metrics=rows(range(10, 21)))
    address = f"{bucket.address}/run"
    away = storage.open_folder(address)
    for entry in local.folder.list():
        away.write(entry.name, local.folder.read(entry.name))
    ended = catgan("report", address, "--out", f"{bucket.address}/page.html")
    assert ended.code == 0, ended.err
    page = storage.open_folder(bucket.address).read("page.html")
    assert f"catgan resume {address}".encode() in page


def test_runs_beside_one_another(tmp_path):
    one = made_run(tmp_path / "one", metrics=rows(range(10, 21)))
    other = made_run(tmp_path / "two", "loss.name=hinge", metrics=rows(range(10, 21)))
    text = html(one, other)
    assert 'id="compared"' in text
    assert "Losses: generator" in text
    assert text.count('class="tile"') == 2 * made_runs.COUNT


def test_watching_writes_the_page_anew_until_the_run_ends(tmp_path):
    run = made_run(tmp_path / "run", metrics=rows([10]), status="running")
    out = tmp_path / "report.html"
    process = subprocess.Popen(
        [sys.executable, "-m", "trainer", "report", run.address, "--out", str(out), "--watch", "2"],
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until(out.exists)
        assert "seed 8" in out.read_text()
        log = MetricsLog(run, 2, 12)
        log.append({**rows([13])[0], "g_loss": 123.25})
        log.flush()
        wait_until(lambda: "123.25" in out.read_text())
        assert process.poll() is None
        run.end_start(2, "finished", "all steps are done", step=20, images_seen=1280)
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert "finished at step 20" in out.read_text()
    assert 'http-equiv="refresh"' not in out.read_text()


def test_a_run_whose_holder_died_long_ago_does_not_go_on(tmp_path):
    """A kill leaves the record as it was; whoever watches would wait for ever."""
    run = made_run(tmp_path / "run", status="running")
    now = datetime.datetime.now(datetime.UTC)
    for age_hours, goes_on in [(0, True), (1, False)]:
        sign = now - datetime.timedelta(hours=age_hours)
        holder = Holder(token="t", pid=1, since=sign, renewed=sign)
        record = run.must_have_record().model_copy(update={"holder": holder})
        run.folder.write("run.json", record.to_json())
        found = report([run.address], str(tmp_path / "report.html"), refresh_secs=5)
        assert found["running"] == goes_on
        told = "no sign of life" in (tmp_path / "report.html").read_text()
        assert told != goes_on
