"""What only a GPU of the cluster can say: which precision it has, whether XLA is faster there.

Owns one short Ray task on one GPU, before the first attempt. The driver itself
opens no GPU.
"""

from collections.abc import Mapping
from typing import Any

import ray

from trainer.config import Config, from_text, to_yaml
from trainer.launch import starting
from trainer.run_folder import RunFolder


def resolved(config: Config, folder: RunFolder, workers: int) -> tuple[Config, dict[str, Any]]:
    """Fixes what a config leaves open, on a worker's GPU where it takes one to know.

    Args:
        config: As it was written.
        folder: The run folder.
        workers: How many will train.

    Returns:
        The resolved config, and the choices that were made by measuring.
    """
    record = folder.read_record()
    recorded = record.choices if record else {}
    if config.cluster.gpus_per_worker:
        precision, jit = probe(config, workers, recorded)
    else:
        # As `starting.choices` has it for one process.
        precision, jit = "float32", config.jit is True
        if config.jit == "auto":
            jit = bool(recorded.get("jit"))
    return starting.resolve(config, folder, precision), {"jit": jit}


def probe(config: Config, workers: int, recorded: Mapping[str, Any]) -> tuple[str, bool]:
    """Resolves `precision: auto` and `jit: auto` on one GPU of the cluster.

    Args:
        config: As it was written.
        workers: How many will train; one of them computes its share of the batch.
        recorded: Choices that the run made before; they stand.

    Returns:
        The precision, and whether the step is compiled with XLA.
    """
    jit = config.jit if config.jit != "auto" else recorded.get("jit")
    if config.deterministic and jit is None:
        jit = False
    if config.precision != "auto" and jit is not None:
        return config.precision, bool(jit)
    share = -(-config.training.global_batch // workers)
    training = config.training.model_copy(update={"global_batch": share, "micro_batch": 0})
    small = config.model_copy(update={"training": training})
    task = ray.remote(num_gpus=1, num_cpus=config.cluster.cpus_per_worker, max_calls=1)(_look)
    precision, measured = ray.get(task.remote(to_yaml(small), jit is None))
    return precision, bool(measured if jit is None else jit)


def _look(text: str, measure: bool) -> tuple[str, bool]:
    from trainer import quiet

    quiet.import_tensorflow()
    from trainer import device
    from trainer.gan.build import resolve_precision
    from trainer.gan.measure import jit_is_faster

    config = from_text(text)
    device.set_up(config)
    precision = resolve_precision(config.precision)
    config = config.model_copy(update={"precision": precision})
    return precision, measure and jit_is_faster(config)
