"""What a config would train: sizes, work, memory, addresses. Writes nothing.

Owns the figures of `catgan train --dry-run`. How they are laid out as text is
`trainer.cli.dry_run`'s. Networks are really built and the real step is traced,
so that parameters and operations are those of the run; memory is an estimate.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trainer import storage
from trainer.config import Config
from trainer.data.fitting import refuse_misfit
from trainer.data.order import lanes_for, rows_of
from trainer.data.shards import MANIFEST_NAME, Manifest, read_manifest
from trainer.errors import ConfigError
from trainer.run_folder import RunFolder
from trainer.schedules import largest

if TYPE_CHECKING:
    from trainer.gan.flops import StepFlops
    from trainer.gan.gan import GAN

_COMPUTE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Layer:
    """One layer: its name, kind, output shape without the rows, and parameters."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        name: `generator` or `discriminator`.
        layers: In order.
        trainable: Parameters that are trained.
        fixed: Moving statistics.
        activations: Numbers that all layers put out for one picture.
    """

    name: str
    layers: tuple[Layer, ...]
    trainable: int
    fixed: int
    activations: int


@dataclass(frozen=True)
class Memory:
    """Estimated bytes on the device of one worker."""

    weights: int
    averages: int
    optimizers: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Addresses:
    """Where things lie, and what is there already.

    Attributes:
        run: Canonical address of the run folder.
        run_state: In words: whether it exists and where it stands.
        dataset: Canonical address of the data set.
        dataset_state: In words.
        source: Where pictures are prepared from if there is no data set.
    """

    run: str
    run_state: str
    dataset: str
    dataset_state: str
    source: str


@dataclass(frozen=True)
class Summary:
    """A config, worked out.

    Attributes:
        config: As it would be trained, precision resolved.
        device: What this machine would train on.
        networks: Generator and discriminator.
        worker_rows: Rows of a step for each worker.
        train_pictures: Pictures in the training split, None while there is no data set.
        flops: Of one worker's step.
        memory: Estimate for the first worker.
        checkpoint_bytes: Of one checkpoint.
        addresses: See `Addresses`.
    """

    config: Config
    device: str
    networks: tuple[Network, ...]
    worker_rows: tuple[int, ...]
    train_pictures: int | None
    flops: "StepFlops"
    memory: Memory
    checkpoint_bytes: int
    addresses: Addresses

    @property
    def images(self) -> int:
        """Real pictures shown in the whole run."""
        return self.config.training.steps * self.config.training.global_batch

    @property
    def epochs(self) -> float | None:
        """Passes over the training pictures; None while there is no data set."""
        return self.images / self.train_pictures if self.train_pictures else None


def summarise(config: Config) -> Summary:
    """Works a config out on this machine.

    Raises:
        ConfigError: An address is malformed, or the batch cannot feed the workers.
        DataError: There is a data set, and it is damaged or not the one that the config means.
        CheckpointError: There is a run, and its record is damaged.
        StorageError: An address cannot be reached.
    """
    manifest = _manifest(config)
    addresses = _addresses(config, manifest)
    rows = _worker_rows(config)

    import tensorflow as tf

    from trainer.gan.build import build_gan
    from trainer.gan.flops import step_flops
    from trainer.gan.state import variable_bytes, variables

    gan = build_gan(config, rows=rows[0])
    held = variables(gan).values()
    return Summary(
        config=gan.config,
        device="a GPU" if tf.config.list_physical_devices("GPU") else "the CPU",
        networks=(_network(gan.generator), _network(gan.discriminator)),
        worker_rows=tuple(len(r) for r in rows),
        train_pictures=manifest.counts.train if manifest else None,
        flops=step_flops(gan),
        memory=_memory(gan),
        checkpoint_bytes=sum(variable_bytes(v) for v in held),
        addresses=addresses,
    )


def _manifest(config: Config) -> Manifest | None:
    """Returns the data set's manifest, None where there is no data set yet."""
    folder = storage.open_folder(_named(config.dataset.address, "dataset.address"))
    if not folder.exists(MANIFEST_NAME):
        return None
    manifest = read_manifest(folder)
    is_new = RunFolder(storage.open_folder(_named(config.run, "run"))).read_record() is None
    refuse_misfit(manifest, config.dataset, is_new=is_new)
    return manifest


def _named(address: str, key: str) -> str:
    if not address:
        raise ConfigError(
            f"{key} is empty", expected="a folder or gs://bucket/prefix", remedy=f"set {key}=…"
        )
    return address


def _addresses(config: Config, manifest: Manifest | None) -> Addresses:
    run = RunFolder(storage.open_folder(_named(config.run, "run")))
    record = run.read_record()
    run_state = f"exists, {record.status} at step {record.step:,}" if record else "new"
    if manifest is not None:
        dataset_state = f"{manifest.counts.train:,} training pictures"
        dataset_state += f" and {manifest.counts.validation:,} for validation"
    elif config.dataset.source:
        dataset_state = "not there yet: would be prepared from the source first"
    else:
        dataset_state = "not there: prepare it, or set dataset.source to your pictures"
    return Addresses(
        run.address,
        run_state,
        storage.open_folder(config.dataset.address).address,
        dataset_state,
        config.dataset.source,
    )


def _worker_rows(config: Config) -> list[np.ndarray]:
    batch, workers = config.training.global_batch, config.cluster.max_workers
    lanes = lanes_for(config)
    return [rows_of(rank, workers, lanes, batch) for rank in range(workers)]


def _network(model: Any) -> Network:
    layers = [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]
    rows = tuple(
        Layer(layer.name, type(layer).__name__, _shape(layer), int(layer.count_params()))
        for layer in layers
    )
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    name = "generator" if "generator" in model.name else "discriminator"
    # Reshaping copies nothing.
    kept = [row.output for row in rows if row.kind not in ("Reshape", "Flatten")]
    return Network(
        name,
        rows,
        trainable,
        int(model.count_params()) - trainable,
        sum(math.prod(shape) for shape in kept),
    )


def _shape(layer: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in layer.output.shape[1:])


def _memory(gan: "GAN") -> Memory:
    from trainer.gan.state import variable_bytes

    config = gan.config
    weights = sum(variable_bytes(v) for n in (gan.generator, gan.discriminator) for v in n.weights)
    trainable = sum(
        variable_bytes(v) for n in (gan.generator, gan.discriminator) for v in n.trainable_variables
    )
    generator, discriminator = _network(gan.generator), _network(gan.discriminator)
    rows = config.training.micro_batch or gan.draws.count
    # What backpropagation keeps at the fullest moment: G's pass, and D's on real and generated
    # pictures; a penalty keeps D's pass, its gradient and that gradient's gradient.
    loss = config.loss
    between = 3 if largest(loss.gradient_penalty_weight) > 0 else 0
    passes = between + sum(
        3 if largest(weight) > 0 else 1 for weight in (loss.r1_weight, loss.r2_weight)
    )
    numbers = rows * (generator.activations + passes * discriminator.activations)
    return Memory(
        weights=weights,
        averages=sum(variable_bytes(v) for v in gan.ema_generator.weights),
        optimizers=2 * trainable,
        gradients=trainable,
        activations=numbers * _COMPUTE_BYTES[config.precision],
    )
