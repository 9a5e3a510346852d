"""Processes of our own: the same interpreter, the same packages as this one sees.

Owns how one is begun. `python -m` alone would look into the working folder first, where another
package may be called `trainer`, too.
"""

import os
import sys
from pathlib import Path


def command(module: str) -> list[str]:
    """Returns the command line that runs a module of this package."""
    return [sys.executable, "-P", "-m", module]


def environment(**more: str) -> dict[str, str]:
    """Returns this process's environment, with its import path and what is given."""
    own = str(Path(__file__).parent.parent)
    path = dict.fromkeys([*map(os.path.abspath, sys.path), own])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **more}
