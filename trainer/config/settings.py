"""The keys of a config: names, units, defaults, limits, one line of help each.

Checks that need one key stand on the key; checks that need several are in
`trainer.config.check`.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
)

from trainer.errors import ConfigError
from trainer.progress import Interval


def _interval(value: Any) -> Interval:
    try:
        return Interval.parse(value)
    except ConfigError as error:
        raise ValueError(error.expected or error.what) from None


def _interval_out(value: Interval) -> int | str:
    return int(value.value) if value.unit == "steps" else str(value)


Every = Annotated[Interval, BeforeValidator(_interval), PlainSerializer(_interval_out)]
Count = Annotated[int, Field(ge=1, le=10**12)]
Zero = Annotated[int, Field(ge=0, le=10**12)]
Rate = Annotated[float, Field(gt=0, lt=10, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=10**6, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen group of keys; unknown keys are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )


class DatasetSettings(Section):
    """Which pictures, and how they stream."""

    address: str = Field(
        "", description="folder or gs:// prefix of the data set; default datasets/<config name>"
    )
    source: str = Field(
        "",
        description="prepared from here if missing: folder, zip, tar, gs://, tfds:NAME, drawn:N",
    )
    size_px: int = Field(64, ge=8, le=1024, description="width and height of a picture, px")
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


class ModelSettings(Section):
    """The two networks."""

    architecture: Literal["dcgan", "seed2018"] = Field("dcgan", description="family of networks")
    base_channels: int = Field(
        16, ge=1, le=1024, description="channels beside the picture; doubled at each halving"
    )
    max_channels: int = Field(512, ge=1, le=8192, description="channels at most")
    latent_dim: int = Field(128, ge=1, le=8192, description="numbers in one latent vector")
    latent_distribution: Literal["normal", "uniform"] = Field(
        "normal", description="normal(0, 1) or uniform(-1, 1)"
    )
    generator_norm: Literal["none", "batch"] = Field(
        "none", description="normalisation in the generator"
    )
    discriminator_norm: Literal["none", "batch"] = Field(
        "none", description="normalisation in the discriminator"
    )
    batch_norm: Literal["sync", "local"] = Field(
        "sync", description="statistics over all workers, or each its own (breaks W = 1)"
    )
    generator_norm_momentum: Share = Field(
        0.99, description="momentum of the generator's moving statistics"
    )
    picture_scale: float = Field(
        1.0, gt=0, le=1, description="real pictures are scaled to [-this, this]"
    )


class TrainingSettings(Section):
    """How long and in what portions."""

    # A checkpoint's name has nine digits.
    steps: int = Field(20_000, ge=1, le=999_999_999, description="steps in the whole run")
    global_batch: Count = Field(64, description="pictures a step, over all workers")
    micro_batch: Zero = Field(
        0, description="pictures a worker computes at once; 0: its whole share"
    )
    update: Literal["alternating", "simultaneous"] = Field(
        "alternating", description="G's gradient from the updated D, or from the same D"
    )
    steps_per_call: Count = Field(1, description="steps run for one call from Python")
    max_mins: float = Field(
        0, ge=0, allow_inf_nan=False, description="stop cleanly after so many minutes; 0: never"
    )


class LossSettings(Section):
    """What is minimised."""

    name: Literal["non_saturating", "relativistic_pairing"] = Field(
        "relativistic_pairing", description="adversarial loss"
    )
    label_smoothing: Share = Field(
        0.0, description="one-sided: real pictures' label is 1 - this (non_saturating)"
    )
    r1_weight: Weight = Field(1.0, description="gradient penalty on real pictures")
    r2_weight: Weight = Field(1.0, description="gradient penalty on generated pictures")
    penalty_every_steps: Count = Field(
        16, description="penalties are computed every so many steps, multiplied by that number"
    )


class OptimizerSettings(Section):
    """Adam (Kingma and Ba, 2015)."""

    rate: Rate = Field(4e-4, description="learning rate")
    beta_1: Share = Field(0.0, description="decay of the gradient's mean")
    beta_2: Share = Field(0.99, description="decay of the gradient's square")
    epsilon: Rate = Field(1e-8, description="added to the root of the square")


class EmaSettings(Section):
    """The averaged generator."""

    half_life_images: Weight = Field(
        15_000, description="half-life of a weight in the average, pictures; 0: plain copy"
    )


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


_MOST_WORKERS = 4096


def _workers(value: Any) -> int | tuple[int, int]:
    """A number, or a pair [least, most] as YAML writes it."""
    pair = list(value) if isinstance(value, list | tuple) else [value, value]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not 1 <= pair[0] <= pair[1] <= _MOST_WORKERS:
        raise ValueError(
            f"a whole number from 1 to {_MOST_WORKERS}, or [least, most] with least <= most"
        )
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


Workers = Annotated[
    int | tuple[int, int],
    PlainValidator(_workers),
    PlainSerializer(lambda value: value if isinstance(value, int) else list(value)),
]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
# -1: no limit.
Budget = Annotated[int, Field(ge=-1, le=10**9)]
Secs = Annotated[float, Field(gt=0, le=10**7, allow_inf_nan=False)]


class ClusterSettings(Section):
    """Workers, on this machine or on a Ray cluster."""

    workers: Workers = Field(
        1, description="processes that train together, or [least, most] as the cluster has room"
    )
    gpus_per_worker: int = Field(
        0, ge=0, le=1, description="0 or 1: one process, one replica, one GPU"
    )
    cpus_per_worker: Count = Field(2, description="cores for each worker")
    accelerator_type: str = Field(
        "", description="kind of GPU as Ray names it, such as L4 or H100; any if empty"
    )
    package: Literal["code", "pip", "none"] = Field(
        "code",
        description="sent to a running cluster: this code; also what it requires, by pip; or none",
    )
    resize_every_secs: Secs = Field(
        60, description="with [least, most]: look so often whether there is room for more workers"
    )
    start_timeout_secs: Secs = Field(
        600, description="wait at most so long for the cluster to have room, and for a start"
    )
    max_failures: Budget = Field(
        100, description="deaths of workers or nodes that a command outlives; -1: any number"
    )
    max_preemption_failures: Budget = Field(
        -1, description="the same for nodes that were taken back; -1: any number"
    )
    max_same_step_failures: Count = Field(
        3, description="failures in a row that get no further than the one before end the run"
    )
    hang_timeout_secs: Secs = Field(
        600, description="a worker that finishes no step for so long is given up"
    )
    spot: bool = Field(False, description="workers on machines that can be taken back")
    grace_secs: Secs = Field(
        120, description="from the notice that a worker's machine is taken back to its end"
    )
    spot_grace_secs: Secs = Field(
        15, description="the same on spot machines, which may ignore what is asked for"
    )
    image: str = Field("", max_length=500, description="container image, for Kubernetes")
    namespace: KubernetesName = Field("catgan", description="of Kubernetes objects")
    service_account: KubernetesName = Field(
        "catgan", description="that pods run as; it may use the bucket"
    )
    deadline_hours: float = Field(
        72, gt=0, le=10_000, allow_inf_nan=False, description="Kubernetes ends a job after so long"
    )

    @property
    def min_workers(self) -> int:
        """The fewest workers that a start may have."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that a start may have."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


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
    ema: EmaSettings = EmaSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    samples: SampleSettings = SampleSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    cost: CostSettings = CostSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def whole_price_per_hour(self) -> float:
        """Price of all machines together, with as many workers as there may be; 0: unknown."""
        gpus = self.cluster.max_workers * self.cluster.gpus_per_worker
        return self.cost.price_per_hour + gpus * self.cost.price_per_gpu_hour
