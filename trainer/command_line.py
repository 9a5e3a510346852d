"""Commands that a message gives to a person, as they can be pasted into a shell.

Owns how words become a command line. Does not know the commands, see `trainer.cli`.
"""

import shlex


def catgan(*words: object) -> str:
    """Returns `catgan WORDS`, each word quoted where a shell would take it for something else."""
    return shlex.join(["catgan", *map(str, words)])
