"""The pictures of a page: grids for the slider, single ones with seed and answer, walks.

Owns how many there are and how they are packed, so that a page stays small whatever the run's
length. All are WebP in data addresses: a page asks nobody for anything.
"""

import base64
import contextlib
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from trainer import storage
from trainer.errors import CatganError
from trainer.report import grids
from trainer.report.run_view import RunView
from trainer.run_folder import names

MOST_GRIDS = 48
MOST_TILES = 64
MOST_MB = 9.0
"""All grids of all runs together; charts and single pictures need another 3 MB."""

_GRID_SIDE_PX, _TILE_SIDE_PX = 1024, 256
_LEAST_QUALITY = 40
log = logging.getLogger("catgan")


@dataclass(frozen=True)
class Grid:
    """One grid of the slider.

    Attributes:
        step: Of the run.
        images: Pictures seen.
        data: Address that holds the picture.
    """

    step: int
    images: int
    data: str


@dataclass(frozen=True)
class Tile:
    """One generated picture.

    Attributes:
        seed: Of its latents.
        data: Address that holds the picture.
        answer: D's, between 0 (generated) and 1 (real); None: not known.
    """

    seed: int
    data: str
    answer: float | None


@dataclass(frozen=True)
class Pictures:
    """All pictures of one run on a page.

    Attributes:
        grids: For the slider, in order.
        real: Real pictures for comparison; empty: none.
        tiles: Of the newest grid.
        tiles_step: Its step.
        answers_about: How D's answers are to be read; empty: there are none.
        walks: Frames of each walk between two seeds.
        nearest: Generated pictures above their nearest training pictures; empty: none.
    """

    grids: tuple[Grid, ...]
    real: str
    tiles: tuple[Tile, ...]
    tiles_step: int
    answers_about: str
    walks: tuple[tuple[str, ...], ...]
    nearest: str


def data_address(data: bytes, kind: str = "webp") -> str:
    """Returns the bytes of a picture as an address that a page can show."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def pictures(run: RunView, share_mb: float = MOST_MB) -> Pictures:
    """Reads and packs the pictures of a run.

    Args:
        run: See `RunView`.
        share_mb: Space for its grids.
    """
    tiles, about = _tiles(run)
    return Pictures(
        tuple(_grids(run, share_mb)),
        _sheet(run, names.REAL_SAMPLE),
        tiles,
        run.samples[-1] if run.samples else 0,
        about,
        _walks(run),
        _sheet(run, names.NEAREST),
    )


def _grids(run: RunView, share_mb: float) -> list[Grid]:
    """Packs the chosen grids, at a lower quality until they fit."""
    read = {}
    for step in grids.chosen(run.samples, MOST_GRIDS):
        with _told_if_unreadable():
            read[step] = _bounded(grids.read_grid(run, step))
    for quality in range(85, _LEAST_QUALITY - 1, -15):
        packed = {step: grids.webp(grid, quality) for step, grid in read.items()}
        if sum(map(len, packed.values())) * 4 / 3 <= share_mb * 1e6:
            break
    else:
        kept = set(grids.chosen(list(packed), max(2, len(packed) // 3)))
        packed = {step: data for step, data in packed.items() if step in kept}
    return [
        Grid(step, step * run.global_batch, data_address(data)) for step, data in packed.items()
    ]


def _bounded(grid: Image.Image) -> Image.Image:
    if grid.width <= _GRID_SIDE_PX:
        return grid
    height = round(grid.height * _GRID_SIDE_PX / grid.width)
    return grid.resize((_GRID_SIDE_PX, height), Image.Resampling.LANCZOS)


def _sheet(run: RunView, name: str) -> str:
    """Returns a picture of the run folder for the page; empty where there is none."""
    with contextlib.suppress(storage.NotFound), _told_if_unreadable():
        data = run.folder.folder.read(name)
        return data_address(grids.webp(_bounded(Image.open(io.BytesIO(data)).convert("RGB"))))
    return ""


def _tiles(run: RunView) -> tuple[tuple[Tile, ...], str]:
    if not run.samples:
        return (), ""
    grid = None
    with _told_if_unreadable():
        grid = grids.read_grid(run, run.samples[-1])
    if grid is None:
        return (), ""
    size_px, across = run.config.dataset.size_px, grids.columns(run)
    answers, about = answers_of(run, run.samples[-1])
    tiles = []
    for seed in range(min(MOST_TILES, run.config.samples.count)):
        left, top = seed % across * size_px, seed // across * size_px
        part = grid.crop((left, top, left + size_px, top + size_px))
        if size_px > _TILE_SIDE_PX:
            part = part.resize((_TILE_SIDE_PX, _TILE_SIDE_PX), Image.Resampling.LANCZOS)
        answer = answers[seed] if seed < len(answers) else None
        tiles.append(Tile(seed, data_address(grids.webp(part, 90)), answer))
    return tuple(tiles), about


def answers_of(run: RunView, step: int) -> tuple[list[float], str]:
    """Returns D's answer to each picture of a step's grid, between 0 and 1, and how to read it."""
    told: Any = {}
    with contextlib.suppress(storage.NotFound, ValueError):
        told = json.loads(run.folder.folder.read(names.ANSWERS))
    if not isinstance(told, dict) or told.get("step") != step:
        return [], ""
    fake, real = _numbers(told.get("fake_logits")), _numbers(told.get("real_logits"))
    if not fake:
        return [], ""
    if run.config.loss.name == "non_saturating":
        about = "the probability that D gives to “this one is real”"
        return [_sigmoid(logit) for logit in fake], about
    if not real:
        return [], ""
    middle = sum(real) / len(real)
    about = (
        f"how D answers beside {len(real)} real pictures, whose mean has 0.5; "
        "for this loss its logits have no zero of their own"
    )
    return [_sigmoid(logit - middle) for logit in fake], about


def _numbers(told: Any) -> list[float]:
    """What a file says, if it is a list of finite numbers; else nothing."""
    if not isinstance(told, list) or not all(isinstance(x, int | float) for x in told):
        return []
    return [float(x) for x in told] if all(map(math.isfinite, told)) else []


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, logit))))


def _walks(run: RunView) -> tuple[tuple[str, ...], ...]:
    """Cuts the sheet of walks: a walk a row, its frames side by side."""
    size_px = run.config.dataset.size_px
    with contextlib.suppress(storage.NotFound), _told_if_unreadable():
        data = run.folder.folder.read(names.WALKS)
        sheet = Image.open(io.BytesIO(data)).convert("RGB")
        frames = range(0, sheet.width, size_px)
        return tuple(
            tuple(
                data_address(grids.webp(sheet.crop((left, top, left + size_px, top + size_px))))
                for left in frames
            )
            for top in range(0, sheet.height, size_px)
        )
    return ()


@contextlib.contextmanager
def _told_if_unreadable():
    """One damaged picture must not cost the page."""
    try:
        yield
    except storage.NotFound:
        raise
    except (CatganError, OSError, ValueError, SyntaxError) as error:
        log.warning("left out of the page: %s", error)


def shares(runs: Sequence[RunView]) -> float:
    """Returns the space for each run's grids, MB."""
    return MOST_MB / max(1, len(runs))
