"""The two networks, as functional Keras models of built-in layers.

Owns shapes, widths, initialisation and layer names; the names are part of the
checkpoint format. Built-in layers only unless `quick` ones are asked for, so
that a saved `generator.keras` opens without this package.

Shapes: latents `[n, latent_dim]`; pictures `[n, size_px, size_px, 3]`,
channels last, in [-1, 1]; logits `[n, 1]`.
"""

import math

import keras
from keras import layers

from trainer import seeds
from trainer.config.learning import ModelSettings
from trainer.gan.picture_layers import OutputLeakyReLU, PictureConv2D, PictureConv2DTranspose

# Smallest side of a feature map in the DCGAN networks.
_DCGAN_BASE_PX = 4
_LEAK = 0.2


class Builder:
    """Makes named, seeded layers of one network.

    Args:
        prefix: Begins each layer's name.
        settings: The `model` section.
        seed: The run's seed; each layer draws its weights by its own name.
        policy: Keras dtype policy of the layers, e.g. `mixed_bfloat16`.
        synchronized: Whether batch norm spans all workers.
        quick: Use `picture_layers`, for a training step on a CPU; same weights, same names.
    """

    def __init__(
        self,
        prefix: str,
        settings: ModelSettings,
        *,
        seed: int = 0,
        policy: str = "float32",
        synchronized: bool = False,
        quick: bool = False,
    ) -> None:
        self.prefix = prefix
        self.quick = quick
        self.settings = settings
        self.policy = keras.DTypePolicy(policy)
        self._seed = seed
        self._synchronized = synchronized

    def normal(self, name: str, stddev: float, truncated: bool = False):
        """Returns a seeded (truncated) normal initialiser."""
        kind = keras.initializers.TruncatedNormal if truncated else keras.initializers.RandomNormal
        return kind(stddev=stddev, seed=self._layer_seed(name))

    def glorot(self, name: str):
        """Returns a seeded Glorot uniform initialiser."""
        return keras.initializers.GlorotUniform(seed=self._layer_seed(name))

    def _layer_seed(self, name: str) -> int:
        return seeds.purpose_key(self._seed, f"weights/{self.prefix}/{name}") % 2**31

    def name(self, name: str) -> str:
        """Returns the layer's full name."""
        return f"{self.prefix}_{name}"

    def batch_norm(self, x, name: str, momentum: float):
        """Batch norm (Ioffe and Szegedy, 2015) with epsilon 1e-5."""
        return layers.BatchNormalization(
            epsilon=1e-5,
            momentum=momentum,
            synchronized=self._synchronized,
            dtype=self.policy,
            name=self.name(name),
        )(x)

    def leaky(self, x, name: str):
        """Leaky ReLU of slope 0.2."""
        kind = OutputLeakyReLU if self.quick else layers.LeakyReLU
        return kind(negative_slope=_LEAK, dtype=self.policy, name=self.name(name))(x)

    def pictures(self, x, name: str):
        """Tanh in the variables' own precision: pictures are never half precision."""
        dtype = self.policy.variable_dtype
        return layers.Activation("tanh", dtype=dtype, name=self.name(name))(x)

    def logits(self, x, name: str, initializer):
        """One logit a picture, in the variables' own precision."""
        x = layers.Flatten(dtype=self.policy, name=self.name(f"{name}_flat"))(x)
        return layers.Dense(
            1,
            kernel_initializer=initializer,
            dtype=self.policy.variable_dtype,
            name=self.name(name),
        )(x)


def build_generator(settings: ModelSettings, size_px: int, **options) -> keras.Model:
    """Builds a generator: latents `[n, latent_dim]` to pictures `[n, size, size, 3]`.

    The model's name says what its latents are, so that a saved generator can
    be used without its config: `catgan_generator_normal` or `..._uniform`.

    Args:
        settings: The `model` section.
        size_px: Height and width of the pictures.
        **options: As for `Builder`.
    """
    build = Builder("generator", settings, **options)
    latents = keras.Input((settings.latent_dim,), dtype=build.policy.variable_dtype, name="latents")
    body = {"dcgan": _dcgan_generator, "seed2018": _seed2018_generator}[settings.architecture]
    name = f"catgan_generator_{settings.latent_distribution}"
    return keras.Model(latents, body(build, latents, size_px), name=name)


def build_discriminator(settings: ModelSettings, size_px: int, **options) -> keras.Model:
    """Builds a discriminator: pictures `[n, size, size, 3]` to logits `[n, 1]`.

    Args:
        settings: The `model` section.
        size_px: Height and width of the pictures.
        **options: As for `Builder`.
    """
    build = Builder("discriminator", settings, **options)
    shape = (size_px, size_px, 3)
    pictures = keras.Input(shape, dtype=build.policy.variable_dtype, name="pictures")
    body = {"dcgan": _dcgan_discriminator, "seed2018": _seed2018_discriminator}
    logits = body[settings.architecture](build, pictures, size_px)
    return keras.Model(pictures, logits, name="discriminator")


def dcgan_channels(settings: ModelSettings, size_px: int) -> list[int]:
    """Returns the discriminator's widths from the picture inwards, doubled at each halving."""
    halvings = int(math.log2(size_px // _DCGAN_BASE_PX))
    return [min(settings.max_channels, settings.base_channels * 2**i) for i in range(halvings)]


def _he(fan_in: int) -> float:
    """Standard deviation that keeps a leaky ReLU's variance (He et al. 2015, eq. 10 and 14)."""
    return math.sqrt(2.0 / ((1.0 + _LEAK**2) * fan_in))


def _dcgan_generator(build: Builder, x, size_px: int):
    settings = build.settings
    widths = dcgan_channels(settings, size_px)[::-1]
    normed = settings.generator_norm == "batch"
    x = layers.Dense(
        _DCGAN_BASE_PX**2 * widths[0],
        kernel_initializer=build.normal("project", _he(settings.latent_dim)),
        dtype=build.policy,
        name=build.name("project"),
    )(x)
    x = layers.Reshape(
        (_DCGAN_BASE_PX, _DCGAN_BASE_PX, widths[0]), dtype=build.policy, name=build.name("grid")
    )(x)
    side = _DCGAN_BASE_PX
    for width, out in zip(widths, [*widths[1:], 3], strict=True):
        if normed:
            x = build.batch_norm(x, f"norm{side}", settings.generator_norm_momentum)
        x = build.leaky(x, f"leaky{side}")
        side *= 2
        x = _upsample(build, x, width, out, f"up{side}")
    return build.pictures(x, "pictures")


def _upsample(build: Builder, x, width: int, out: int, name: str):
    # At stride 2 each output pixel of a 4x4 kernel sums over 2x2 input pixels.
    fan_in = 4 * width
    stddev = _he(fan_in) if out != 3 else math.sqrt(1.0 / fan_in)
    kind = PictureConv2DTranspose if build.quick and out == 3 else layers.Conv2DTranspose
    return kind(
        out,
        4,
        strides=2,
        padding="same",
        kernel_initializer=build.normal(name, stddev),
        dtype=build.policy,
        name=build.name(name),
    )(x)


def _dcgan_discriminator(build: Builder, x, size_px: int):
    settings = build.settings
    side, fan = size_px, 3
    for width in dcgan_channels(settings, size_px):
        side //= 2
        kind = PictureConv2D if build.quick and fan == 3 else layers.Conv2D
        x = kind(
            width,
            4,
            strides=2,
            padding="same",
            kernel_initializer=build.normal(f"down{side}", _he(16 * fan)),
            dtype=build.policy,
            name=build.name(f"down{side}"),
        )(x)
        # The first layer has none, as in DCGAN (Radford et al. 2016).
        if settings.discriminator_norm == "batch" and fan != 3:
            x = build.batch_norm(x, f"norm{side}", 0.99)
        x = build.leaky(x, f"leaky{side}")
        fan = width
    return build.logits(x, "logit", build.normal("logit", math.sqrt(1.0 / (fan * side**2))))


def _seed2018_generator(build: Builder, x, size_px: int):
    settings = build.settings
    start, width = size_px // 16, 16 * settings.base_channels
    x = layers.Dense(
        start**2 * width,
        kernel_initializer=build.glorot("project"),
        dtype=build.policy,
        name=build.name("project"),
    )(x)
    x = layers.Reshape((start, start, width), dtype=build.policy, name=build.name("grid"))(x)
    x = build.leaky(x, "leaky0")
    for index in range(1, 5):
        x = _seed2018_up(build, x, width // 2**index, 2, f"up{index}")
        x = build.batch_norm(x, f"norm{index}", settings.generator_norm_momentum)
        x = build.leaky(x, f"leaky{index}")
    return build.pictures(_seed2018_up(build, x, 3, 1, "out"), "pictures")


def _seed2018_up(build: Builder, x, width: int, stride: int, name: str):
    kind = PictureConv2DTranspose if build.quick and width == 3 else layers.Conv2DTranspose
    return kind(
        width,
        5,
        strides=stride,
        padding="same",
        kernel_initializer=build.normal(name, 0.02, truncated=True),
        dtype=build.policy,
        name=build.name(name),
    )(x)


def _seed2018_discriminator(build: Builder, x, size_px: int):
    base = build.settings.base_channels
    for index, (width, stride) in enumerate(
        [(base, 2), (2 * base, 2), (4 * base, 2), (8 * base, 1), (16 * base, 2)], 1
    ):
        kind = PictureConv2D if build.quick and index == 1 else layers.Conv2D
        x = kind(
            width,
            5,
            strides=stride,
            padding="same",
            kernel_initializer=build.normal(f"conv{index}", 0.02, truncated=True),
            dtype=build.policy,
            name=build.name(f"conv{index}"),
        )(x)
        x = build.batch_norm(x, f"norm{index}", 0.99)
        x = build.leaky(x, f"leaky{index}")
    return build.logits(x, "logit", build.glorot("logit"))
