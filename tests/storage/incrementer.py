"""A process that counts up in a shared object by compare-and-swap.

Each addition has a name of its own, so that one made twice can be told from two.
"""

import json
import sys

from trainer import storage


def add(folder: storage.Folder, label: str) -> None:
    """Append a label to the list in `counter.json`, whoever else does so too."""
    while True:
        try:
            content, generation = folder.read_versioned("counter.json")
        except storage.NotFound:
            content, generation = b"[]", storage.ABSENT
        labels = json.loads(content)
        if label in labels:
            return  # ours had been applied, though we were told of a conflict
        try:
            folder.write(
                "counter.json", json.dumps([*labels, label]).encode(), if_generation=generation
            )
        except storage.Conflict:
            continue
        return


def main(address: str, who: str, times: int) -> None:
    folder = storage.open_folder(address)
    for turn in range(times):
        add(folder, f"{who}-{turn}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
