"""Words that options of several commands take.

Owns them for the command line alone: `trainer.config` and `trainer.data.options` have them too,
but loading those would make `--help` slow. A test compares all three.
"""

CROPS = ("none", "center", "face", "landmarks")
ENCODINGS = ("png", "jpeg", "raw")
