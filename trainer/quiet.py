"""Imports TensorFlow and Keras without their chatter.

Owns the environment variables that count only before the import, and holding
back what native code says while it is imported and while it first looks for
devices: those lines come before any setting of TensorFlow counts. Does not own
our own log lines, see `trainer.console`.
"""

import os
import sys
from types import ModuleType

from trainer.console import silenced_stderr
from trainer.errors import ConfigError

_verbose = False


def prepare_environment(*, verbose: bool = False) -> None:
    """Sets what TensorFlow reads once, when it is imported. A value already set stays.

    oneDNN is switched on because TensorFlow leaves it off on CPUs without AVX-512 VNNI,
    where it makes a training step about a third faster.

    Args:
        verbose: Leave TensorFlow's own log lines on.
    """
    global _verbose
    _verbose = verbose
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def import_tensorflow(*, verbose: bool | None = None) -> ModuleType:
    """Imports TensorFlow and Keras and lets TensorFlow look for devices, in silence.

    Later imports anywhere find the modules loaded. What was held back is shown if the
    import fails, because then it says why.

    Args:
        verbose: Hold nothing back. Default: as `prepare_environment` was told.

    Returns:
        The module `tensorflow`.
    """
    verbose = _verbose if verbose is None else verbose
    prepare_environment(verbose=verbose)
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        return sys.modules["tensorflow"]
    try:
        with silenced_stderr(enabled=not verbose):
            import keras  # noqa: F401  (imports native code of its own)
            import tensorflow as tf

            tf.config.list_physical_devices()
    except Exception as error:
        raise _explained(error) from error
    if not verbose:
        tf.get_logger().setLevel("ERROR")
        tf.autograph.set_verbosity(0)
    return tf


def _explained(error: Exception) -> Exception:
    """Apple's plug-in is loaded by TensorFlow itself, and most of its releases fit no newer one."""
    if "metal_plugin" not in str(error):
        return error
    return ConfigError(
        "TensorFlow cannot load the Metal plug-in that is installed beside it: "
        f"{' '.join(str(error).split())[:200]}",
        expected="no plug-in: on macOS training runs on the CPU",
        remedy="pip uninstall -y tensorflow-metal",
    )


def import_without_gpu() -> None:
    """Imports TensorFlow into a process that must not open a GPU, such as a driver of workers."""
    if "tensorflow" not in sys.modules:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
        import_tensorflow()
