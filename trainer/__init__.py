"""catgan: train a GAN on pictures that stream from a folder or bucket, and never lose a run.

What programs may rely on is in `__all__`; the commands are built on the same. Nothing heavy is
imported before it is used.

    from trainer import evaluate, generate, load_config, train

    outcome = train(load_config("configs/debug.yaml"))
    generate(outcome.run, "pictures")
    print(evaluate(outcome.run, "datasets/drawn-32").as_dict())
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trainer.checkpoint import open_address as open_checkpoint
    from trainer.config import Config
    from trainer.config_address import load as load_config
    from trainer.data.options import PrepareOptions
    from trainer.data.prepare import prepare
    from trainer.data.stream import open_dataset
    from trainer.drawing import GenerateOptions, generate, open_generator
    from trainer.evaluation.evaluate import EvaluateOptions, evaluate
    from trainer.gan.build import build_gan
    from trainer.launch.door import resume, train
    from trainer.launch.starting import Options as TrainOptions
    from trainer.report.film import FilmOptions
    from trainer.report.film import film as write_film
    from trainer.report.page import report as write_report

__version__ = "0.1.0"

__all__ = [
    "Config",
    "EvaluateOptions",
    "FilmOptions",
    "GenerateOptions",
    "PrepareOptions",
    "TrainOptions",
    "build_gan",
    "evaluate",
    "generate",
    "load_config",
    "open_checkpoint",
    "open_dataset",
    "open_generator",
    "prepare",
    "resume",
    "train",
    "write_film",
    "write_report",
]

# Name, where it is, and whether TensorFlow is imported with it.
_PLACES = {
    "Config": ("trainer.config", "Config", False),
    "EvaluateOptions": ("trainer.evaluation.evaluate", "EvaluateOptions", True),
    "FilmOptions": ("trainer.report.film", "FilmOptions", False),
    "GenerateOptions": ("trainer.drawing", "GenerateOptions", False),
    "PrepareOptions": ("trainer.data.options", "PrepareOptions", False),
    "TrainOptions": ("trainer.launch.starting", "Options", False),
    "build_gan": ("trainer.gan.build", "build_gan", True),
    "evaluate": ("trainer.evaluation.evaluate", "evaluate", True),
    "generate": ("trainer.drawing", "generate", False),
    "load_config": ("trainer.config_address", "load", False),
    "open_checkpoint": ("trainer.checkpoint", "open_address", False),
    "open_dataset": ("trainer.data.stream", "open_dataset", True),
    "open_generator": ("trainer.drawing", "open_generator", False),
    "prepare": ("trainer.data.prepare", "prepare", False),
    "resume": ("trainer.launch.door", "resume", False),
    "train": ("trainer.launch.door", "train", False),
    "write_film": ("trainer.report.film", "film", False),
    "write_report": ("trainer.report.page", "report", False),
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'trainer' has no attribute {name!r}")
    module, attribute, needs_tensorflow = _PLACES[name]
    if needs_tensorflow:
        importlib.import_module("trainer.quiet").import_tensorflow()
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
