"""How feature networks are called, as `--features` and `evaluation.features` have it.

Opens none, so that a wrong name is found before anything is trained.
"""

import re

from trainer.errors import ConfigError

INCEPTION, EFFICIENTNET = "inception", "efficientnet-lite0"
CHOICES = (
    "inception, inception:FILE.pb, efficientnet-lite0, keras:NAME (of keras.applications), "
    "FILE.keras or FILE.h5; with @16px behind it for pictures reduced to 16 px first"
)
_REMEDY = f"--features {EFFICIENTNET}, or leave it out: auto takes what is here"


def split(spec: str) -> tuple[str, int]:
    """Returns a network's name, and the size in px that pictures are first reduced to, 0: none.

    Raises:
        ConfigError: No network is called so.
    """
    match = re.fullmatch(r"(?P<name>.+?)(?:@(?P<px>[0-9]{1,4})px)?", spec.strip())
    name = match["name"] if match else ""
    prefixed = name.startswith((f"{INCEPTION}:", "keras:")) or name.endswith((".keras", ".h5"))
    if not match or not (prefixed or name in (INCEPTION, EFFICIENTNET)):
        raise ConfigError(
            f"there is no feature network {spec!r}", expected=f"one of {CHOICES}", remedy=_REMEDY
        )
    coarse_px = int(match["px"] or 0)
    if match["px"] and coarse_px < 4:
        raise ConfigError(
            f"{spec!r} looks at {coarse_px} px",
            expected="4 px or more",
            remedy=f"--features {name}@16px",
        )
    return name, coarse_px
