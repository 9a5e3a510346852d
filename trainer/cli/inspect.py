"""`catgan inspect`: what is at an address, and whether it is whole.

Owns the command line and how the answer looks; finding out is
`trainer.inspection`'s.
"""

from typing import Any

import click

from trainer import console
from trainer.cli.answer import begin, give, json_option
from trainer.cli.tables import table_text


@click.command("inspect")
@click.argument("address", metavar="DATASET|RUN|CHECKPOINT")
@json_option
def inspect(address: str, as_json: bool) -> None:
    """Say what is at an address, and verify every checksum in it.

    Exit code 0: it is whole; 3: a data set is damaged or missing; 5: a run or
    checkpoint is damaged; standard error says what is wrong.
    """
    begin()
    from trainer import inspection

    found = inspection.inspect(address)
    if as_json:
        give(found.as_dict())
    else:
        click.echo(_text(found), nl=False)
    found.refuse_damage()


def _text(found: Any) -> str:
    tables = {"dataset": _dataset, "run": _run, "checkpoint": _checkpoint}[found.kind](found.facts)
    kind = {"dataset": "data set"}.get(found.kind, found.kind)
    state = "whole" if found.whole else f"NOT whole, {len(found.problems)} problems"
    problems = "".join(f"  {problem}\n" for problem in found.problems)
    return f"{kind} {found.address}: {state}\n{problems}" + "".join(tables)


def _dataset(facts: dict[str, Any]) -> list[str]:
    rows = [
        ["pictures", f"{facts['train']:,} for training, {facts['validation']:,} for validation"],
        ["size", f"{facts['size_px']} px, {facts['encoding']}, crop {facts['crop']}"],
        ["resized with", facts["resize_filter"]],
        ["source", facts["source"]],
        ["licence", facts["licence"] or "not stated"],
        ["left out", _reasons(facts["rejected"], facts["reasons"])],
        ["shards", f"{facts['shards']}, {console.size(facts['size_bytes'])}"],
        ["fingerprint", facts["fingerprint"]],
    ]
    if facts["strays"]:
        rows.append(["not part of it", ", ".join(facts["strays"])])
    return [table_text(["", ""], rows)]


def _begun_from(origin: dict[str, Any]) -> list[list[str]]:
    return [["begun from", f"the networks of {origin['address']}"]] if origin else []


def _measured(evaluations: list[dict[str, Any]]) -> list[list[str]]:
    if not evaluations:
        return []
    last = evaluations[-1]
    told = ", ".join(f"{name} {value:.4f}" for name, value in last["figures"].items())
    return [["measured", f"{len(evaluations):,} times; at step {last['step']:,}: {told}"]]


def _reasons(rejected: int, reasons: dict[str, int]) -> str:
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    return f"{rejected:,} files ({told})" if told else f"{rejected:,} files"


def _run(facts: dict[str, Any]) -> list[str]:
    dataset = facts["dataset"]
    rows = [
        ["status", f"{facts['status']} at step {facts['step']:,}"],
        ["pictures seen", f"{facts['images_seen']:,}"],
        ["data set", f"{dataset['address']} ({facts['dataset_state']})"],
        ["fingerprint", dataset["fingerprint"]],
        ["versions", ", ".join(f"{k} {v}" for k, v in facts["versions"].items())],
        ["held by", facts["holder"] or "nobody"],
        *_begun_from(facts["origin"]),
        ["metrics", f"{facts['metrics_rows']:,} rows"],
        ["speed", _speed(facts["last_row"])],
        *_measured(facts["evaluations"]),
        ["samples", f"{facts['samples']:,} pictures"],
        ["generator.keras", "there" if facts["generator"] else "not yet"],
    ]
    starts = [
        [
            str(start["number"]),
            "" if start["first_step"] is None else f"{start['first_step']:,}",
            start["host"],
            str(start["world_size"]),
            start["time"],
            start["cause"] or "running, or killed",
        ]
        for start in facts["starts"]
    ]
    saved = [_checkpoint_row(checkpoint) for checkpoint in facts["checkpoints"]]
    return [
        table_text(["", ""], rows),
        "\n" + table_text(["start", "from step", "host", "workers", "began", "ended"], starts),
        "\n" + table_text(["checkpoint", "size", "state"], saved),
    ]


def _speed(row: dict[str, float]) -> str:
    """Says how fast the last row of metrics was."""
    if "images_per_sec" not in row:
        return "not yet known"
    told = [f"{row['images_per_sec']:,.0f} pictures/s"]
    if "images_per_sec_per_worker" in row:
        each = row["images_per_sec_per_worker"]
        told.append(f"{each:,.0f} on each of {row['world_size']:g} workers")
    told.append(f"{console.share(row['data_wait_share'])} waiting for data")
    if "restart_secs" in row:
        told.append(f"{console.duration(row['restart_secs'])} lost to restarts")
    return ", ".join(told)


def _checkpoint_row(checkpoint: dict[str, Any]) -> list[str]:
    size = console.size(checkpoint["size_bytes"]) if "size_bytes" in checkpoint else ""
    return [f"step-{checkpoint['step']:09d}", size, checkpoint["problem"] or "whole"]


def _checkpoint(facts: dict[str, Any]) -> list[str]:
    later = facts["superseded_by"]
    rows = [
        ["step", f"{facts['step']:,}, {facts['images_seen']:,} pictures seen"],
        ["written by", f"start {facts['start']}"],
        [
            "counts",
            "yes" if facts["counts"] else f"no{f': start {later} overtook it' * bool(later)}",
        ],
        ["size", f"{console.size(facts['size_bytes'])} in {len(facts['parts'])} parts"],
        *([key, str(value)] for key, value in facts["meta"].items() if key not in ("step",)),
    ]
    groups = [
        [name, f"{group['tensors']:,}", f"{group['numbers']:,}"]
        for name, group in facts["groups"].items()
    ]
    columns = ["held", "tensors", "numbers"]
    return [
        table_text(["", ""], rows),
        "\n" + table_text(columns, groups, right=["tensors", "numbers"]),
    ]
