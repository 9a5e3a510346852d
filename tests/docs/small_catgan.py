"""`catgan` as a reader calls it, but every training is a few steps of small networks.

Adds overrides to commands that train; nothing else is changed.
"""

import sys

from trainer.cli import main

SMALL = (
    "model.base_channels=2",
    "model.max_channels=4",
    "model.group_width=2",
    "training.steps=8",
    "checkpoint.every_steps=4",
    "samples.every_steps=4",
)


def smaller(words: list[str]) -> list[str]:
    """Returns the words of a command with what makes it small."""
    if not words or words[0] not in ("train", "debug", "tune"):
        return words
    words = [word for word in words if not word.startswith("training.steps=")]
    if words[0] == "tune":
        words[words.index("--trials") + 1] = "3"
        words = [*words, "training.steps=9"]
    if "--pictures" in words:
        return [*words, *SMALL]
    if "configs/debug.yaml" in words:
        words = [word for word in words if not word.startswith("dataset.source=")]
        words.append("dataset.source=drawn:240")
    given = {word.partition("=")[0] for word in words}
    return [*words, *(word for word in SMALL if word.partition("=")[0] not in given)]


if __name__ == "__main__":
    sys.exit(main.run(smaller(sys.argv[1:])))
