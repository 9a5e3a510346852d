"""Run folders as training leaves them, written in no time: for what only reads them."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer import config, storage
from trainer.gan import sampling
from trainer.run_folder import MetricsLog, NewRun, RunFolder, names, write_evaluation

SIZE_PX = 32
COUNT = 9
YAML = f"dataset: {{size_px: {SIZE_PX}}}\nsamples: {{count: {COUNT}}}\ntraining: {{steps: 1000}}\n"


def rows(steps: Iterable[int], batch: int = 64) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "images_seen": step * batch,
            "seconds": step / 10,
            "d_loss": 0.7 + 0.1 * np.sin(step / 50),
            "g_loss": 0.8,
            "d_real_logit": 0.5,
            "d_fake_logit": -0.25,
            "r1_penalty": 0.01,
            "images_per_sec": 640.0,
            "data_wait_share": 0.01,
        }
        for step in steps
    ]


def pictures(seed: int, count: int = COUNT) -> np.ndarray:
    """Flat pictures of random colours: easy to tell apart and small."""
    colours = np.random.default_rng(seed).integers(0, 256, (count, 1, 1, 3), np.uint8)
    return np.broadcast_to(colours, (count, SIZE_PX, SIZE_PX, 3)).copy()


def made_run(
    folder: Path,
    *overrides: str,
    name: str = "made",
    samples: Iterable[int] = (0, 10, 20),
    metrics: Iterable[Mapping[str, Any]] = (),
    status: str = "finished",
    step: int = 20,
) -> RunFolder:
    """Writes a run of two starts into `folder`, without checkpoints."""
    run = RunFolder(storage.open_folder(str(folder)))
    new = NewRun(name, str(folder / "pictures"), "f" * 32, "0" * 16)
    settings = config.from_text(YAML, [f"run={run.address}", *overrides])
    first = run.claim_start(new, host="here", versions={"catgan": "0"})
    run.write_config(config.to_yaml(settings))
    run.settle_start(first, 0)
    run.end_start(first, "stopped", "SIGTERM", step=10, images_seen=640)
    second = run.claim_start(new, host="there", world_size=2, versions={"catgan": "0"})
    run.settle_start(second, 10, 640)
    log = MetricsLog(run, second, 10)
    for row in metrics:
        log.append(row)
    log.flush()
    for sample in samples:
        run.folder.write(names.sample(sample), sampling.png_bytes(sampling.grid(pictures(sample))))
    if status != "running":
        run.end_start(second, status, "all steps are done", step=step, images_seen=step * 64)
    return run


def answer(run: RunFolder, step: int, fake: list[float], real: list[float]) -> None:
    told = {"step": step, "fake_logits": fake, "real_logits": real}
    run.folder.write(names.ANSWERS, json.dumps(told).encode())


def measured(
    run: RunFolder, step: int, value: float, *, count: int = 100, features: str = "net"
) -> None:
    """Writes a measurement of a step's checkpoint."""
    figures = {"kernel_distance": figure(value)}
    write_measured(run, step, [result(figures, count=count, features=features)])


def write_measured(run: RunFolder, step: int, results: list[dict[str, Any]]) -> None:
    """Writes a measurement with several networks or figures."""
    told = {"subject": run.address, "against": "pictures", "about": {}, "results": results}
    write_evaluation(run, step, step * 64, {"format": 1, **told}, 2)


def figure(value: float, baseline: float | None = 0.001) -> dict[str, float | None]:
    return {"value": value, "baseline": baseline, "error": 0.01, "baseline_error": 0.001}


def result(
    figures: Mapping[str, Any], *, count: int = 100, features: str = "net"
) -> dict[str, Any]:
    """Figures of one network, as `Evaluation.as_dict` has them."""
    provenance = {
        "features": features,
        "weights_sha256": "a" * 64,
        "resizer": "none",
        "count": count,
        "seed": 0,
        "split": "validation",
        "fingerprint": "f" * 32,
        "size_px": SIZE_PX,
        "train_count": 400,
        "held_out_count": 100,
        "quantised": "uint8",
    }
    return {
        "figures": dict(figures),
        "left_out": {},
        "provenance": provenance,
        "neighbours": [],
        "usual_distance": None,
        "labels": {name: f"{name.replace('_', ' ')} ({features})" for name in figures},
    }
