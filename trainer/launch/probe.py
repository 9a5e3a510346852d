"""What only a GPU of the cluster can say: which precision it has, whether XLA is faster there.

Owns one short Ray task on one GPU, before the first attempt. The driver itself
opens no GPU.
"""

from typing import Any

import ray

from trainer.config import Config, from_text, to_yaml
from trainer.errors import CatganError, ClusterError
from trainer.launch import starting
from trainer.launch.ray_address import last_line
from trainer.run_folder import RunFolder


def resolved(config: Config, folder: RunFolder, workers: int) -> tuple[Config, dict[str, Any]]:
    """Fixes what a config leaves open, on a worker's GPU where it takes one to know.

    Args:
        config: As it was written.
        folder: The run folder.
        workers: How many will train.

    Returns:
        The resolved config, and the choices that were made by measuring.

    Raises:
        ClusterError: No GPU of the cluster gives an answer.
    """
    record = folder.read_record()
    on_gpu = bool(config.cluster.gpus_per_worker)
    jit = starting.known_jit(config, record.choices if record else {}, on_gpu=on_gpu)
    precision: str = config.precision
    if precision == "auto" and not on_gpu:
        precision = "float32"
    if precision == "auto" or jit is None:
        precision, measured = _asked(config, workers, measure=jit is None)
        jit = measured if jit is None else jit
    return starting.resolve(config, folder, precision), {"jit": jit}


def _asked(config: Config, workers: int, *, measure: bool) -> tuple[str, bool]:
    """Asks one GPU of the cluster for its precision, and whether XLA is faster there.

    Args:
        config: As it was written.
        workers: How many will train; one of them computes its share of the batch.
        measure: Whether XLA is asked for at all.
    """
    share = -(-config.training.global_batch // workers)
    training = config.training.model_copy(update={"global_batch": share, "micro_batch": 0})
    small = config.model_copy(update={"training": training})
    settings = config.cluster
    options: dict[str, Any] = {"num_gpus": 1, "num_cpus": settings.cpus_per_worker, "max_calls": 1}
    if settings.accelerator_type:
        options["accelerator_type"] = settings.accelerator_type
    answer = ray.remote(**options)(_look).remote(to_yaml(small), measure)
    try:
        found = ray.get(answer, timeout=settings.start_timeout_secs)
    except ray.exceptions.RayError as error:
        late = isinstance(error, ray.exceptions.GetTimeoutError)
        if late:
            ray.cancel(answer, force=True)
        why = f"none within {settings.start_timeout_secs:g} s" if late else last_line(error)
        raise _no_answer(why) from error
    if isinstance(found, CatganError):
        raise found
    return found


def _no_answer(why: str) -> ClusterError:
    return ClusterError(
        f"a GPU of the cluster was asked which precision it has, and gave no answer: {why}",
        expected="a worker there that can run TensorFlow on its GPU",
        remedy="ask 'catgan doctor' with the same config; or say what would be asked: "
        "precision=… jit=…, or wait longer: cluster.start_timeout_secs=…",
    )


def _look(text: str, measure: bool) -> tuple[str, bool] | CatganError:
    from trainer import quiet

    quiet.import_tensorflow()
    from trainer import device
    from trainer.gan.build import resolve_precision
    from trainer.gan.measure import jit_is_faster

    config = from_text(text)
    device.set_up(config)
    try:
        precision = resolve_precision(config.precision)
        config = config.model_copy(update={"precision": precision})
        return precision, measure and jit_is_faster(config)
    except CatganError as error:
        return error  # raised, it would come back in Ray's words
