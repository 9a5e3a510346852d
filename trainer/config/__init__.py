"""Settings of a run: declared in `settings`, read and overridden in `load`.

Owns every key, its default, its unit and its help line. Imports nothing
heavier than pydantic, so that a bad key is told before TensorFlow starts.
"""

from trainer.config.load import (
    all_keys,
    differences,
    flat,
    from_text,
    load,
    override,
    setting,
    to_yaml,
)
from trainer.config.settings import Config

__all__ = [
    "Config",
    "all_keys",
    "differences",
    "flat",
    "from_text",
    "load",
    "override",
    "setting",
    "to_yaml",
]
