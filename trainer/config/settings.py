"""The keys of a config: names, units, defaults, limits, one line of help each.

Those of the networks and their updates are in `learning`, those of a cluster
in `cluster`. Checks that need one key stand on the key; checks that need
several are in `trainer.config.check`.
"""

from typing import Annotated, Literal

from pydantic import Field

from trainer.config.cluster import ClusterSettings
from trainer.config.kinds import Count, Every, PictureSize, Section, Several, Zero
from trainer.config.learning import (
    AugmentSettings,
    EmaSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    TrainingSettings,
)
from trainer.progress import Interval
from trainer.schedules import scaled
from trainer.seeds import purpose_key


class DatasetSettings(Section):
    """Which pictures, and how they stream."""

    address: str = Field(
        "", description="folder or gs:// prefix of the data set; default datasets/<config name>"
    )
    source: str = Field(
        "",
        description="prepared from here if missing: folder, zip, tar, gs://, tfds:NAME, drawn:N",
    )
    size_px: PictureSize = Field(
        64, description="width and height of a picture, px: 32, 64, 128 or 256"
    )
    crop: Literal["none", "center", "face", "landmarks"] = Field(
        "center", description="how a source picture becomes square"
    )
    encoding: Literal["png", "jpeg", "raw"] = Field(
        "png", description="how pictures lie in the shards"
    )
    val_fraction: float = Field(0.05, ge=0, le=0.5, description="share of the pictures held out")
    lanes: Zero = Field(
        0,
        description="independent walks through the shards; 0: chosen from the batch",
    )
    flip: bool = Field(True, description="mirror half of the pictures, left to right")
    memory_mib: Zero = Field(
        2048, description="keep the set decoded in memory if it fits, MiB; 0: never"
    )
    cache_mib: Count = Field(4096, description="local copies of a bucket's shards, MiB at most")
    cache_dir: str = Field("", description="where those lie; default: the user's cache folder")


class CheckpointSettings(Section):
    """What is kept for a resume."""

    every_steps: Every = Field(
        Interval(500, "steps"),
        validate_default=True,
        description="interval: steps, '5 epochs' or '10 mins'",
    )
    keep_last: Count = Field(3, description="newest checkpoints kept")
    keep_every_steps: Zero = Field(
        0, description="checkpoints at multiples of this are kept for good; 0: none"
    )


class SampleSettings(Section):
    """The fixed-latent grids."""

    every_steps: Every = Field(
        Interval(500, "steps"),
        validate_default=True,
        description="interval, besides steps 0, 1, 2, 4, 8 ...",
    )
    count: int = Field(64, ge=1, le=1024, description="pictures in a grid")


class MetricsSettings(Section):
    """The rows of figures."""

    every_steps: Every = Field(
        Interval(50, "steps"), validate_default=True, description="interval between rows"
    )


class EvaluationSettings(Section):
    """Measuring the averaged generator against held-out pictures while it trains."""

    every_steps: Every = Field(
        Interval(0, "steps"),
        validate_default=True,
        description="the next checkpoint is measured after this interval, by a process that yields "
        "to training; 0: never",
    )
    metrics: Annotated[tuple[Literal["fid", "kid", "pr", "dc", "nearest"], ...], Several] = Field(
        ("kid",), description="what is measured; the best kid's checkpoint is kept"
    )
    features: str = Field("auto", description="feature networks, as for catgan evaluate --features")
    count: Zero = Field(0, description="pictures on each side; 0: all held out, at most 10,000")


class LogSettings(Section):
    """What is told while it trains."""

    every_secs: float = Field(
        30,
        gt=0,
        allow_inf_nan=False,
        description="a line in the log so often, where there is no terminal",
    )
    file: str = Field("", description="also write the log to this local file")
    tensorboard: bool = Field(True, description="write TensorBoard event files")


class CostSettings(Section):
    """What it costs."""

    price_per_hour: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="price of the machine per hour, any currency; 0: unknown",
    )
    price_per_gpu_hour: float = Field(
        0,
        ge=0,
        allow_inf_nan=False,
        description="price of a worker's GPU and its machine per hour, any currency; 0: unknown",
    )


class Config(Section):
    """All settings of one run."""

    run: str = Field("", description="address of the run folder; default runs/<config name>")
    seed: int = Field(
        0, ge=0, lt=2**63, description="decides every draw and the order of the pictures"
    )
    deterministic: bool = Field(
        False, description="the same bits after every resume, a little slower"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto", description="of the networks' arithmetic; auto: bfloat16 where the GPU has it"
    )
    jit: Literal["auto"] | bool = Field(
        "auto", description="compile the step with XLA; auto: where it measures faster"
    )
    threads: Zero = Field(0, description="CPU threads of one operation; 0: all cores")
    dataset: DatasetSettings = DatasetSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()
    loss: LossSettings = LossSettings()
    generator_optimizer: OptimizerSettings = OptimizerSettings()
    discriminator_optimizer: OptimizerSettings = OptimizerSettings()
    augment: AugmentSettings = AugmentSettings()
    ema: EmaSettings = EmaSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    samples: SampleSettings = SampleSettings()
    metrics: MetricsSettings = MetricsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    log: LogSettings = LogSettings()
    cost: CostSettings = CostSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def step_seed(self) -> int:
        """Decides the order of the pictures and every draw inside a step.

        It is `seed` until non-finite losses send the run back: the same pictures and draws
        would lead it to the same place.
        """
        rollbacks = self.training.rollbacks
        return purpose_key(self.seed, f"rollback/{rollbacks}") if rollbacks else self.seed

    @property
    def generator_adam(self) -> OptimizerSettings:
        """The generator's optimizer at the rates of now, see `training.rollbacks`."""
        return self._slowed(self.generator_optimizer)

    @property
    def discriminator_adam(self) -> OptimizerSettings:
        """The same for the discriminator."""
        return self._slowed(self.discriminator_optimizer)

    def _slowed(self, optimizer: OptimizerSettings) -> OptimizerSettings:
        rate = scaled(optimizer.rate, 0.5**self.training.rollbacks)
        return optimizer.model_copy(update={"rate": rate})

    @property
    def whole_price_per_hour(self) -> float:
        """Price of all machines together, with as many workers as there may be; 0: unknown."""
        gpus = self.cluster.max_workers * self.cluster.gpus_per_worker
        return self.cost.price_per_hour + gpus * self.cost.price_per_gpu_hour
