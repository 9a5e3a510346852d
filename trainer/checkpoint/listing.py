"""What lies in a run's `checkpoints/`, as a listing shows it.

Owns grouping the names by step and telling from names and sizes alone whether a
checkpoint looks whole. Reads no part; `reader` verifies content.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trainer import storage
from trainer.checkpoint.format import MANIFEST, Manifest, parse_part_name, read_manifest
from trainer.errors import CheckpointError
from trainer.run_folder import RunFolder, names, parse_step_name


@dataclass
class StepFiles:
    """The files of one step.

    Attributes:
        step: From the folder's name.
        manifest: The manifest's entry, if there is one.
        part_bytes: Size of each part by its file name; other files are not in it.
    """

    step: int
    manifest: storage.Entry | None = None
    part_bytes: dict[str, int] = field(default_factory=dict)


def scan(run: RunFolder) -> dict[int, StepFiles]:
    """Lists what is in the checkpoints folder, by step, oldest first."""
    found: dict[int, StepFiles] = {}
    for entry in run.folder.list(f"{names.CHECKPOINTS}/"):
        pieces = entry.name.split("/")
        step = parse_step_name(pieces[1]) if len(pieces) == 3 else None
        if step is None:
            continue
        files = found.setdefault(step, StepFiles(step))
        if pieces[2] == MANIFEST:
            files.manifest = entry
        elif parse_part_name(pieces[2]) is not None:
            files.part_bytes[pieces[2]] = entry.size_bytes
    return dict(sorted(found.items()))


def manifest_name(step: int) -> str:
    """Returns the manifest's name inside the run folder."""
    return f"{names.checkpoint_folder(step)}/{MANIFEST}"


def fetch_manifest(run: RunFolder, step: int) -> tuple[Manifest, storage.Generation]:
    """Reads the manifest of a step.

    Raises:
        storage.NotFound: There is none.
        CheckpointError: It cannot be read as one, or is of another step.
    """
    name = manifest_name(step)
    data, generation = run.folder.read_versioned(name)
    address = storage.join(run.address, name)
    manifest = read_manifest(data, address)
    if manifest.step != step:
        raise CheckpointError(
            f"{address} says that it is of step {manifest.step}",
            expected=f"step {step}, as its folder is named",
            remedy="rename the folder back; a checkpoint's folder carries its step",
        )
    return manifest, generation


def missing_or_cut(manifest: Manifest, part_bytes: Mapping[str, int]) -> str | None:
    """Returns what a listing shows to be wrong with a checkpoint's parts, or None."""
    for part in manifest.parts:
        found = part_bytes.get(part.name)
        if found is None:
            return f"part {part.name} is missing"
        if found != part.size_bytes:
            return f"part {part.name} has {found} bytes, the manifest says {part.size_bytes}"
    return None
