"""What the tests of a cluster share: pictures, a config, a run that nobody disturbed."""

from pathlib import Path

import numpy as np
import pytest

from tests.cluster.driving import CONFIG, Drive, final_state
from tests.cluster.nodes import several
from trainer.data.options import PrepareOptions
from trainer.data.prepare import prepare


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of a run of some ten seconds, and its data set."""
    folder = tmp_path_factory.mktemp("cluster")
    prepare("drawn:60", str(folder / "pictures"), PrepareOptions(size_px=32, val_fraction=0.0))
    path = folder / "cluster.yaml"
    path.write_text(CONFIG.replace("ADDRESS", str(folder / "pictures")))
    return path


@pytest.fixture(scope="session")
def undisturbed_run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two workers that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with several(1, 1) as nodes:
        run = folder / "run"
        words = ("train", str(config), f"run={run}", "--address", nodes.address)
        with Drive(folder, *words) as drive:
            drive.succeed()
            drive.leaves_nothing()
    return run


@pytest.fixture(scope="session")
def undisturbed(undisturbed_run: Path) -> dict[str, np.ndarray]:
    """Its weights."""
    return final_state(undisturbed_run)
