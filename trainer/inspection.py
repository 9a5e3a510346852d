"""Says what is at an address, and whether it is whole.

Owns telling a data set, a run and a checkpoint apart, and gathering what each
holds as plain values. Reads every shard and every part, compares their sizes
and checksums with what their manifests say, and writes nothing.
"""

import json
from dataclasses import dataclass
from typing import Any

from trainer import checkpoint as checkpoints
from trainer import storage
from trainer.checkpoint.format import FORMAT as CHECKPOINT_FORMAT
from trainer.command_line import catgan
from trainer.data.finished import shard_problems
from trainer.data.shards import MANIFEST_NAME, Manifest, read_manifest
from trainer.errors import CatganError, CheckpointError, DataError
from trainer.run_folder import (
    RunFolder,
    names,
    read_evaluations,
    read_metrics,
    split_run_address,
    step_name,
)

_SHOWN_PROBLEMS = 5
_SHOWN_FIGURES = (
    "step",
    "seconds",
    "images_per_sec",
    "world_size",
    "images_per_sec_per_worker",
    "data_wait_share",
    "restart_secs",
)


@dataclass(frozen=True)
class Inspection:
    """What is at an address.

    Attributes:
        kind: `dataset`, `run` or `checkpoint`.
        address: Canonical.
        facts: What it holds: plain values, ready for JSON.
        problems: What is wrong with it, one line each; none: it is whole.
    """

    kind: str
    address: str
    facts: dict[str, Any]
    problems: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Returns all of it as plain values."""
        about = {"kind": self.kind, "address": self.address, "whole": self.whole}
        return about | {"problems": list(self.problems)} | self.facts

    def refuse_damage(self) -> None:
        """Raises DataError or CheckpointError unless it is whole."""
        if self.whole:
            return
        more = len(self.problems) - _SHOWN_PROBLEMS
        shown = "; ".join(self.problems[:_SHOWN_PROBLEMS])
        what = f"{self.address} is not whole: {shown}" + (f"; and {more} more" if more > 0 else "")
        if self.kind == "dataset":
            raise DataError(
                what,
                expected="every shard as its manifest describes it",
                remedy="restore those files from a copy, or give `catgan prepare` the same source "
                "and options again: it makes anew what is not whole",
            )
        raise CheckpointError(
            what,
            expected="every part as its manifest describes it",
            remedy="`catgan resume` takes the newest checkpoint that is whole; restore the "
            "others from a copy, or delete them",
        )


def inspect(address: str) -> Inspection:
    """Looks at a data set, a run or a checkpoint, and verifies all of it.

    Raises:
        ConfigError: The address is malformed.
        DataError: There is nothing that this program wrote, or a manifest cannot be read.
        CheckpointError: A run's record or a checkpoint's manifest cannot be read.
        StorageError: It cannot be reached.
    """
    run_address, step = split_run_address(storage.canonical(address))
    if step is not None:
        return _checkpoint(run_address, step)
    folder = storage.open_folder(address)
    if folder.exists(names.RECORD):
        return _run(RunFolder(folder))
    if folder.exists(MANIFEST_NAME):
        _refuse_lone_checkpoint(folder)
        return _dataset(folder)
    raise DataError(
        f"there is no data set, run or checkpoint at {folder.address}: it has neither "
        f"{MANIFEST_NAME} nor {names.RECORD}",
        expected="an address that prepare or train wrote to",
        remedy=_nearby(folder),
    )


def _refuse_lone_checkpoint(folder: storage.Folder) -> None:
    try:
        found = json.loads(folder.read(MANIFEST_NAME))
    except ValueError:
        return  # read_manifest says it better
    if isinstance(found, dict) and found.get("format") == CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{folder.address} holds a checkpoint outside of a run",
            expected="RUN/checkpoints/step-000012000, beside the run's run.json",
            remedy="put it back into its run: whether it counts is written there",
        )


def _nearby(folder: storage.Folder) -> str:
    first = next(folder.list(), None)
    if first is None:
        return "check the address; nothing at all is there"
    inside = first.name.split("/")[0]
    return f"check the address; it holds {inside!r} among others"


def _dataset(folder: storage.Folder) -> Inspection:
    manifest = read_manifest(folder)
    known = {shard.name for shard in manifest.shards}
    listed = (entry.name for entry in folder.list())
    strays = [name for name in listed if name.endswith(".tfrecord") and name not in known]
    facts = _dataset_facts(manifest) | {"strays": strays}
    return Inspection("dataset", folder.address, facts, tuple(shard_problems(folder, manifest)))


def _dataset_facts(manifest: Manifest) -> dict[str, Any]:
    return {
        "train": manifest.counts.train,
        "validation": manifest.counts.validation,
        "rejected": manifest.counts.rejected,
        "reasons": manifest.counts.reasons,
        "size_px": manifest.size_px,
        "encoding": manifest.encoding,
        "crop": manifest.crop,
        "resize_filter": manifest.resize.filter,
        "source": manifest.source.address,
        "licence": manifest.source.licence,
        "fingerprint": manifest.fingerprint,
        "shards": len(manifest.shards),
        "size_bytes": sum(shard.bytes for shard in manifest.shards),
    }


def _checkpoint(run_address: str, step: int) -> Inspection:
    run = RunFolder(storage.open_folder(run_address))
    described = _described(run, step)
    problems = [described["problem"]] if described["problem"] else []
    return Inspection("checkpoint", described["address"], described, tuple(problems))


def _described(run: RunFolder, step: int) -> dict[str, Any]:
    from trainer.checkpoint.listing import fetch_manifest
    from trainer.checkpoint.rule import superseded_by

    try:
        manifest, generation = fetch_manifest(run, step)
    except storage.NotFound:
        whole = [step_name(listed.step) for listed in checkpoints.list_all(run) if listed.counts]
        raise CheckpointError(
            f"{run.address} has no checkpoint {step_name(step)}",
            expected=f"one of {', '.join(whole)}" if whole else "a run with checkpoints",
            remedy=catgan("inspect", run.address),
        ) from None
    record = run.read_record()
    later = superseded_by(step, manifest.start, record.starts if record else ())
    found = checkpoints.describe(checkpoints.Checkpoint(run, manifest, generation, later))
    # The whole config is in the run's config.yaml; here it would drown the rest.
    found["meta"] = {key: value for key, value in found["meta"].items() if key != "config"}
    return found


def _run(run: RunFolder) -> Inspection:
    record = run.read_record()
    if record is None:
        raise CheckpointError(
            f"{run.address} lost its {names.RECORD} while it was read",
            expected="a run that stays where it is",
            remedy="see whether it was moved or deleted, and inspect it again",
        )
    problems: list[str] = []
    saved = [_brief(run, listed, problems) for listed in checkpoints.list_all(run)]
    if not run.folder.exists(names.CONFIG):
        problems.append(f"{names.CONFIG} is missing")
    rows = read_metrics(run)
    facts = {
        "name": record.name,
        "status": record.status,
        "step": record.step,
        "images_seen": record.images_seen,
        "dataset": record.dataset.model_dump(),
        "dataset_state": _dataset_state(record.dataset.address, record.dataset.fingerprint),
        "holder": record.holder.told() if record.holder else None,
        "starts": [start.model_dump(exclude={"token"}) for start in record.starts],
        "choices": record.choices,
        "origin": record.origin,
        "versions": record.versions,
        "checkpoints": saved,
        "metrics_rows": len(rows),
        "evaluations": [
            found for one in read_evaluations(run) if (found := _measured(one, problems))
        ],
        "last_row": {key: rows[-1][key] for key in _SHOWN_FIGURES if rows and key in rows[-1]},
        "samples": sum(1 for _ in run.folder.list(f"{names.SAMPLES}/step-")),
        "generator": run.folder.exists(names.GENERATOR),
    }
    return Inspection("run", run.address, facts, tuple(problems))


def _measured(evaluation: dict[str, Any], problems: list[str]) -> dict[str, Any] | None:
    """One evaluation's figures by what they are called."""
    step = evaluation["step"]
    try:
        told = {
            result["labels"][name]: figure["value"]
            for result in evaluation["results"]
            for name, figure in result["figures"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        problems.append(f"{names.evaluation(step)} lacks figures or their names: {error!r}")
        return None
    return {"step": step, "figures": told}


def _brief(run: RunFolder, listed: checkpoints.Listed, problems: list[str]) -> dict[str, Any]:
    brief = {"step": listed.step, "counts": listed.counts, "problem": listed.problem}
    if listed.manifest is not None and not listed.problem:
        found = _described(run, listed.step)
        brief |= {key: found[key] for key in ("counts", "problem", "size_bytes", "start")}
    # One that a later start has overtaken is history, not damage.
    if brief["problem"] and not listed.superseded:
        problems.append(f"{step_name(listed.step)}: {brief['problem']}")
    return brief


def _dataset_state(address: str, fingerprint: str) -> str:
    """Says in words whether the run's data set is where it was, with the same pictures."""
    try:
        manifest = read_manifest(storage.open_folder(address))
    except CatganError as error:
        return f"not usable: {error.what}"
    return "there" if manifest.fingerprint == fingerprint else "there, but with other pictures"
