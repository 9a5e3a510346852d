"""A dry run as text and as plain values.

Owns the layout only; the figures are `trainer.summary`'s.
"""

import dataclasses
from typing import Any

from trainer import console
from trainer.cli.tables import table_text
from trainer.config.kinds import ADAPTIVE
from trainer.config.learning import AugmentSettings
from trainer.schedules import Value, ValueSchedule
from trainer.summary import Network, Summary


def as_dict(summary: Summary) -> dict[str, Any]:
    """Returns everything as plain values, ready for JSON."""
    plain = dataclasses.asdict(dataclasses.replace(summary, config=None))  # type: ignore[arg-type]
    plain["config"] = summary.config.model_dump(mode="json")
    plain["flops"] = summary.flops._asdict()
    plain["memory"]["total"] = summary.memory.total
    return plain | {"images": summary.images, "epochs": summary.epochs}


def render(summary: Summary) -> str:
    """Returns the text for a person: one table a network, then the figures."""
    parts = [_network_table(network) for network in summary.networks]
    groups = {
        "Training": _training_rows(summary),
        "Work (convolutions and matrix products)": _work_rows(summary),
        "Memory of a worker, estimated": _memory_rows(summary),
        "Addresses": _address_rows(summary),
    }
    parts += [table_text(["", ""], rows, title) for title, rows in groups.items()]
    return "\n".join(parts) + "\nnothing was written\n"


def _network_table(network: Network) -> str:
    rows = [
        [layer.name, layer.kind, " × ".join(map(str, layer.output)), f"{layer.parameters:,}"]
        for layer in network.layers
    ]
    title = f"{network.name}: {network.trainable:,} trained parameters"
    if network.fixed:
        title += f", {network.fixed:,} moving statistics"
    columns = ["layer", "kind", "output", "parameters"]
    return table_text(columns, rows, title, right=["output", "parameters"])


def _training_rows(summary: Summary) -> list[list[str]]:
    config = summary.config
    epochs = "" if summary.epochs is None else f", {summary.epochs:,.1f} epochs"
    return [
        ["steps", f"{config.training.steps:,}"],
        ["pictures", f"{summary.images:,}{epochs}"],
        ["batch", _batch(summary)],
        ["update", f"{config.training.update}, loss {config.loss.name}"],
        ["penalties", _penalties(summary)],
        ["augmentation", _augmentation(config.augment)],
        ["averaged generator", _average(config.ema.half_life_images)],
        ["precision", f"{config.precision} on {summary.device}"],
        ["checkpoints", f"every {config.checkpoint.every_steps}, {_kept(summary)}"],
        ["grids", f"every {config.samples.every_steps}, and at steps 0, 1, 2, 4, 8 …"],
    ]


def _batch(summary: Summary) -> str:
    rows, training = summary.worker_rows, summary.config.training
    text = f"{training.global_batch}"
    if len(rows) > 1:
        each = f"{rows[0]}" if len(set(rows)) == 1 else f"{min(rows)} to {max(rows)}"
        text += f", {each} for each of {len(rows)} workers"
    if training.micro_batch:
        text += f", {training.micro_batch} at once"
    return text


def _penalties(summary: Summary) -> str:
    loss = summary.config.loss
    named = {
        "R1": loss.r1_weight,
        "R2": loss.r2_weight,
        "gradient penalty": loss.gradient_penalty_weight,
    }
    told = [f"{name} {_number(weight)}" for name, weight in named.items() if weight]
    return f"{', '.join(told)}, every {loss.penalty_every_steps} steps" if told else "none"


def _augmentation(augment: AugmentSettings) -> str:
    if not augment.kinds:
        return "none"
    kinds = ", ".join(augment.kinds)
    if augment.strength == ADAPTIVE:
        target = f"mean sign of D on real pictures held at {augment.adaptive_target:g}"
        return f"{kinds}, adaptive: {target}"
    return f"{kinds}, each with probability {_number(augment.strength)}"


def _number(value: Value) -> str:
    return str(value) if isinstance(value, ValueSchedule) else f"{value:,g}"


def _average(half_life_images: Value) -> str:
    if not half_life_images:
        return "a plain copy"
    return f"half-life {_number(half_life_images)} pictures, less in the beginning"


def _kept(summary: Summary) -> str:
    checkpoint = summary.config.checkpoint
    each = console.size(summary.checkpoint_bytes)
    text = f"{each} each, the last {checkpoint.keep_last} are kept"
    if checkpoint.keep_every_steps:
        text += f" and every {checkpoint.keep_every_steps:,} steps"
    return text


def _work_rows(summary: Summary) -> list[list[str]]:
    flops = summary.flops
    rows = [["a step", _gflop(flops.plain)]]
    if flops.penalty != flops.plain:
        rows += [
            ["a step with penalties", _gflop(flops.penalty)],
            ["a step on average", _gflop(flops.mean)],
        ]
    rows_of_all = sum(summary.worker_rows) / summary.worker_rows[0]
    if len(summary.worker_rows) > 1:
        rows = [[f"{name}, one worker", figure] for name, figure in rows]
    total = flops.mean * summary.config.training.steps * rows_of_all
    rows.append(["the whole run", f"{total / 1e12:,.1f} TFLOP"])
    return rows


def _gflop(value: float) -> str:
    return f"{value / 1e9:,.2f} GFLOP"


def _memory_rows(summary: Summary) -> list[list[str]]:
    parts = [
        [name, console.size(value)] for name, value in dataclasses.asdict(summary.memory).items()
    ]
    return [*parts, ["together", console.size(summary.memory.total)]]


def _address_rows(summary: Summary) -> list[list[str]]:
    found = summary.addresses
    rows = [
        ["run", f"{found.run} ({found.run_state})"],
        ["data set", f"{found.dataset} ({found.dataset_state})"],
    ]
    return [*rows, ["source", found.source]] if found.source else rows
