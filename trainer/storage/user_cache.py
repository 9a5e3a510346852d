"""Where a person's machine keeps what can be had again.

Owns the one place that says where: `$XDG_CACHE_HOME/catgan`, else `~/.cache/catgan`.
"""

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """Returns the folder. It need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "catgan"
