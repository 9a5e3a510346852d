"""Files of an evaluation: all of it as JSON, and each picture above its nearest training picture.

Owns their names and the layout of the grid.
"""

import json

import numpy as np

from trainer import storage
from trainer.evaluation.evaluate import Sides
from trainer.evaluation.result import Evaluation, Result
from trainer.gan import sampling

FIGURES, NEAREST = "evaluation.json", "nearest.png"
_COLUMNS = 8


def write(found: Evaluation, sides: Sides, out: str) -> list[str]:
    """Writes `evaluation.json`, and `nearest.png` where neighbours were looked for.

    Args:
        found: What was measured.
        sides: Of what; still open.
        out: Folder or bucket prefix.

    Returns:
        The names written.

    Raises:
        StorageError: The folder cannot be written.
    """
    folder = storage.open_folder(out)
    folder.write(FIGURES, (json.dumps(found.as_dict(), indent=1) + "\n").encode())
    return [FIGURES, NEAREST] if write_nearest(found, sides, folder, NEAREST) else [FIGURES]


def write_nearest(found: Evaluation, sides: Sides, folder: storage.Folder, name: str) -> bool:
    """Writes judged pictures above their nearest training pictures; False: none were looked for."""
    with_neighbours = next((result for result in found.results if result.neighbours), None)
    if with_neighbours is None:
        return False
    folder.write(name, sampling.png_bytes(nearest_grid(sides, with_neighbours)))
    return True


def nearest_grid(sides: Sides, result: Result) -> np.ndarray:
    """Returns uint8 `[H, W, 3]`: rows of judged pictures, below each its nearest training one."""
    judged = sides.subject.pictures(0, len(result.neighbours))
    near = sides.dataset.pictures("train", [neighbour.picture for neighbour in result.neighbours])
    rows = []
    for begin in range(0, len(judged), _COLUMNS):
        rows += [judged[begin : begin + _COLUMNS], near[begin : begin + _COLUMNS]]
    return sampling.grid(np.concatenate(rows), columns=_COLUMNS)
