"""Films of a run's grids: frames, size, and what cannot be filmed."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.report.made_runs import SIZE_PX, made_run, pictures
from trainer.errors import CheckpointError, ConfigError, DataError
from trainer.report.film import FilmOptions, film
from trainer.report.grids import chosen
from trainer.report.run_view import read_run

STEPS = tuple(range(0, 200, 10))


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path / "run", samples=STEPS, step=STEPS[-1])


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_it_has_the_first_and_the_last_grid_and_stays_on_the_last(run, tmp_path, ending):
    out = tmp_path / f"cats.{ending}"
    found = film(run.address, str(out), FilmOptions(across=3, down=3, frames=7, side_px=96))
    with Image.open(out) as made:
        assert made.n_frames == found["frames"] == 7
        assert made.size == (found["width"], found["height"])
        for frame, step in ((0, 0), (6, STEPS[-1])):
            made.seek(frame)
            seen = np.asarray(made.convert("RGB"), np.int64)
            side = found["width"] // 3
            middle = seen[side // 2, side // 2]
            wanted = pictures(step)[0, 0, 0].astype(np.int64)
            # One palette for all frames of a GIF: of other frames colours are only near.
            assert np.abs(middle - wanted).max() <= (12 if ending == "webp" or step else 90)
        assert made.info["duration"] == 2000
    assert out.stat().st_size == found["bytes"]


def test_a_film_in_a_bucket_format_of_video(run, tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install av")
    out = tmp_path / "cats.mp4"
    found = film(run.address, str(out), FilmOptions(frames=5, side_px=96, frames_per_sec=4))
    with av.open(io.BytesIO(out.read_bytes())) as made:
        assert sum(1 for _ in made.decode(video=0)) == found["frames"] + 8
    film(run.address, str(out), FilmOptions(frames=5, side_px=96, frames_per_sec=2.5))
    with av.open(io.BytesIO(out.read_bytes())) as made:
        assert float(made.streams.video[0].average_rate) == pytest.approx(2.5)


def test_it_is_made_smaller_until_it_fits(run, tmp_path):
    large = film(run.address, str(tmp_path / "large.webp"), FilmOptions(frames=20))
    limit = large["bytes"] / 2 / 1e6
    small = film(run.address, str(tmp_path / "small.webp"), FilmOptions(frames=20, most_mb=limit))
    assert small["bytes"] <= limit * 1e6
    with pytest.raises(DataError, match=r"at most 0\.0001 MB"):
        film(run.address, str(tmp_path / "none.webp"), FilmOptions(most_mb=0.0001))


def test_no_film_is_made_twice_where_there_are_fewer_grids_than_frames(run, tmp_path, monkeypatch):
    made = []

    def encode(pictures, frames_per_sec):
        made.append((len(pictures), pictures[0].size))
        return bytes(2000 * len(pictures))

    monkeypatch.setattr("trainer.report.film._encoder", lambda out: encode)
    wish = FilmOptions(frames=60, most_mb=0.02)
    found = film(run.address, str(tmp_path / "small.webp"), wish)
    assert made[0][0] == len(STEPS)
    assert len(set(made)) == len(made)
    assert found["frames"] == made[-1][0] == 9


def test_a_film_at_the_root_is_written_there(run, monkeypatch):
    opened = []
    view = read_run(run.address)
    monkeypatch.setattr("trainer.report.film.read_run", lambda address: view)

    def open_folder(address):
        opened.append(address)
        return run.folder

    monkeypatch.setattr("trainer.report.film.storage.open_folder", open_folder)
    film(run.address, "/cats.webp", FilmOptions(frames=2))
    assert opened == ["/"]


def test_a_part_of_the_grid_is_shown(run, tmp_path):
    found = film(
        run.address, str(tmp_path / "a.webp"), FilmOptions(across=2, down=1, side_px=SIZE_PX * 4)
    )
    assert found["width"] == SIZE_PX * 4
    assert found["height"] < SIZE_PX * 4


def test_what_cannot_be_filmed(run, tmp_path):
    with pytest.raises(ConfigError, match=r"\.gif"):
        film(run.address, str(tmp_path / "cats.avi"), FilmOptions())
    with pytest.raises(CheckpointError, match="no run"):
        film(str(tmp_path / "nothing"), str(tmp_path / "a.gif"), FilmOptions())
    lonely = made_run(tmp_path / "lonely", samples=(0,))
    with pytest.raises(DataError, match="1 sample grids"):
        film(lonely.address, str(tmp_path / "a.gif"), FilmOptions())
    (tmp_path / "run" / "samples" / "step-000000010.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="step 10"):
        film(run.address, str(tmp_path / "a.gif"), FilmOptions())


@pytest.mark.parametrize(("count", "most"), [(1, 5), (5, 5), (100, 7), (6, 5), (3, 1)])
def test_chosen_steps_keep_both_ends(count, most):
    steps = list(range(count))
    found = chosen(steps, most)
    assert found == sorted(set(found))
    assert len(found) == min(count, most)
    assert found[0] == 0
    assert most == 1 or found[-1] == count - 1
