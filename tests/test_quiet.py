"""TensorFlow is not heard; where it cannot be imported, the cause is told if it is known."""

import re
import subprocess
import sys

from tests.conftest import REPOSITORY

_PLUGIN = (
    "dlopen(/site-packages/tensorflow-plugins/libmetal_plugin.dylib, 0x0006): "
    "Symbol not found: _TF_GetInputPropertiesList"
)


def imported_with(tmp_path, message):
    """Runs the command line where `import keras` fails with a message."""
    (tmp_path / "keras.py").write_text(f"raise RuntimeError({message!r})\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from trainer.cli import main; "
        "sys.exit(main.run(['generate', '--out', 'nowhere']))"
    )
    return subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )


def test_an_unloadable_metal_plug_in_is_explained(tmp_path):
    done = imported_with(tmp_path, _PLUGIN)
    assert done.returncode == 2, done.stderr
    assert "Metal plug-in" in done.stderr
    assert "pip uninstall -y tensorflow-metal" in done.stderr


def test_another_failure_is_not_taken_for_it(tmp_path):
    done = imported_with(tmp_path, "no such symbol")
    assert done.returncode == 1
    assert "no such symbol" in done.stderr
    assert "Metal" not in done.stderr


def test_training_from_a_config_shows_no_line_of_tensorflow(tmp_path):
    words = [f"run={tmp_path / 'run'}", "dataset.source=drawn:256", "training.steps=1",
             f"dataset.cache_dir={tmp_path / 'cache'}"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "trainer", "train", "configs/debug.yaml", *words],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = r"^(?:WARNING: All log messages|.*(?:\.cc|\.py):\d+\]).*"
    assert not re.findall(theirs, done.stderr, re.MULTILINE)
