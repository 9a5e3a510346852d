"""Damaging a checkpoint on purpose, as disks and networks do it by accident.

Owns the damages that `verify-resume` tries, on copies that it made itself.
"""

from collections.abc import Callable

from trainer.run_folder import names
from trainer.storage import Folder


def _newest_part(run: Folder, step: int) -> str:
    """The last part of a checkpoint."""
    return list(run.list(f"{names.checkpoint_folder(step)}/start-"))[-1].name


def flip_byte(run: Folder, step: int) -> None:
    """Changes one bit in the middle of a part."""
    name = _newest_part(run, step)
    data = bytearray(run.read(name))
    data[len(data) // 2] ^= 1
    run.write(name, bytes(data))


def remove_part(run: Folder, step: int) -> None:
    """Deletes a part."""
    run.delete(_newest_part(run, step))


def cut_short(run: Folder, step: int) -> None:
    """Cuts the end of a part off."""
    name = _newest_part(run, step)
    data = run.read(name)
    run.write(name, data[: len(data) * 2 // 3])


DAMAGES: dict[str, Callable[[Folder, int], None]] = {
    "newest checkpoint with a flipped bit": flip_byte,
    "newest checkpoint without a part": remove_part,
    "newest checkpoint cut short": cut_short,
}
"""What is done to the newest checkpoint of a killed run, by what a person reads."""
