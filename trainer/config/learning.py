"""The keys that decide what is learned: networks, loss, updates, average."""

from typing import Annotated, Literal

from pydantic import Field, PlainSerializer

from trainer.config.kinds import (
    ADAPTIVE,
    Count,
    NotNegative,
    NotNegativeValue,
    Positive,
    PositiveValue,
    Section,
    Several,
    Share,
    StrengthValue,
    Zero,
)
from trainer.schedules import largest


class ModelSettings(Section):
    """The two networks."""

    architecture: Literal["dcgan", "resnet", "r3gan", "seed2018"] = Field(
        "dcgan", description="family of networks"
    )
    base_channels: int = Field(
        16, ge=1, le=1024, description="channels beside the picture; doubled at each halving"
    )
    max_channels: int = Field(512, ge=1, le=8192, description="channels at most")
    blocks: int = Field(2, ge=1, le=64, description="residual blocks at each size (r3gan)")
    expansion: int = Field(
        2, ge=1, le=16, description="channels inside a block for each outside (r3gan)"
    )
    group_width: int = Field(
        16, ge=1, le=1024, description="channels that one group of a 3x3 filter sees (r3gan)"
    )
    upsampling: Literal["transposed", "low_pass"] = Field(
        "transposed",
        description="how dcgan's generator doubles: low_pass leaves no checkerboard",
    )
    latent_dim: int = Field(128, ge=1, le=8192, description="numbers in one latent vector")
    latent_distribution: Literal["normal", "uniform"] = Field(
        "normal", description="normal(0, 1) or uniform(-1, 1)"
    )
    generator_norm: Literal["none", "batch"] = Field(
        "none", description="normalisation in the generator; seed2018 has batch norm in any case"
    )
    discriminator_norm: Literal["none", "batch"] = Field(
        "none",
        description="normalisation in the discriminator; seed2018 has batch norm in any case",
    )
    spectral_norm: bool = Field(
        False, description="divide D's kernels by their largest singular value"
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

    @property
    def has_batch_norm(self) -> bool:
        """Whether one of the networks has batch norm."""
        return self.generator_norm == "batch" or self.discriminator_has_batch_norm

    @property
    def discriminator_has_batch_norm(self) -> bool:
        """Whether the discriminator has."""
        return self.discriminator_norm == "batch" or self.architecture == "seed2018"


class TrainingSettings(Section):
    """How long and in what portions."""

    # A checkpoint's name has nine digits.
    steps: int = Field(20_000, ge=1, le=999_999_999, description="steps in the whole run")
    global_batch: Count = Field(64, description="pictures a step, over all workers")
    micro_batch: Zero = Field(
        0, description="pictures a worker computes at once; 0: its whole share"
    )
    start_from: str = Field(
        "", description="run or checkpoint whose networks a new run begins with; empty: drawn anew"
    )
    update: Literal["alternating", "simultaneous"] = Field(
        "alternating", description="G's gradient from the updated D, or from the same D"
    )
    discriminator_updates: int = Field(
        1, ge=1, le=64, description="updates of D for each of G; they share a step's pictures"
    )
    steps_per_call: Count = Field(1, description="steps run for one call from Python")
    max_mins: float = Field(
        0, ge=0, allow_inf_nan=False, description="stop cleanly after so many minutes; 0: never"
    )

    max_rollbacks: Zero = Field(
        2, description="non-finite losses send a run back at most so often; 0: they end it"
    )
    rollbacks: Zero = Field(
        0, description="times they did; counted by the run, each halves the rates and draws anew"
    )

    @property
    def update_batch(self) -> int:
        """Pictures of one update of D, over all workers."""
        return self.global_batch // self.discriminator_updates

    @property
    def images(self) -> int:
        """Real pictures shown in the whole run."""
        return self.steps * self.global_batch


class LossSettings(Section):
    """What is minimised."""

    name: Literal[
        "non_saturating",
        "hinge",
        "least_squares",
        "wasserstein",
        "relativistic_average",
        "relativistic_pairing",
    ] = Field("relativistic_pairing", description="adversarial loss")
    label_smoothing: Share = Field(
        0.0, description="one-sided: real pictures' label is 1 - this (non_saturating)"
    )
    r1_weight: NotNegativeValue = Field(1.0, description="gradient penalty on real pictures")
    r2_weight: NotNegativeValue = Field(1.0, description="gradient penalty on generated pictures")
    gradient_penalty_weight: NotNegativeValue = Field(
        0.0, description="penalty on gradients longer or shorter than 1 between real and generated"
    )
    penalty_every_steps: Count = Field(
        16, description="penalties are computed every so many steps, multiplied by that number"
    )

    @property
    def has_penalty(self) -> bool:
        """Whether any gradient penalty is ever above zero."""
        weights = self.r1_weight, self.r2_weight, self.gradient_penalty_weight
        return any(largest(weight) > 0 for weight in weights)

    @property
    def due_every_steps(self) -> int:
        """A penalty is due on steps divisible by this; 0: never."""
        return self.penalty_every_steps if self.has_penalty else 0


class OptimizerSettings(Section):
    """Adam (Kingma and Ba, 2015)."""

    rate: PositiveValue = Field(
        4e-4,
        description="learning rate; 1.6e-3 learns faster where networks have their usual width",
    )
    beta_1: Share = Field(0.0, description="decay of the gradient's mean")
    beta_2: Share = Field(0.99, description="decay of the gradient's square")
    epsilon: Positive = Field(1e-8, description="added to the root of the square")
    clip_norm: NotNegative = Field(
        0.0, description="longer gradients, over all weights together, are cut to this; 0: never"
    )


class AugmentSettings(Section):
    """Differentiable augmentation of what the discriminator sees."""

    kinds: Annotated[
        tuple[Literal["colour", "translation", "cutout", "geometric"], ...],
        Several,
        PlainSerializer(list),
    ] = Field((), description="any of colour, translation, cutout, geometric; empty: none")
    strength: StrengthValue = Field(
        1.0,
        description="probability of each transformation, for each picture; adaptive: from how "
        "sure D is of real ones",
    )
    adaptive_target: float = Field(
        0.6, ge=-1, le=1, description="mean sign of D's logits of real pictures that is held"
    )
    adaptive_every_steps: Count = Field(4, description="steps between two decisions")
    adaptive_images: Count = Field(
        500_000, description="pictures in which the strength can go from 0 to 1"
    )

    @property
    def is_adaptive(self) -> bool:
        """Whether the strength is decided while training (ADA)."""
        return self.strength == ADAPTIVE


class EmaSettings(Section):
    """The averaged generator."""

    half_life_images: NotNegativeValue = Field(
        15_000.0, description="half-life of a weight in the average, pictures; 0: plain copy"
    )
