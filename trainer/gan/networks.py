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

from trainer.config.learning import ModelSettings
from trainer.gan.builder import BASE_PX, Builder, halved_widths, he_stddev
from trainer.gan.picture_layers import PictureConv2DTranspose
from trainer.gan.r3gan import r3gan_discriminator, r3gan_generator
from trainer.gan.resnet import resnet_discriminator, resnet_generator


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
    body = {
        "dcgan": _dcgan_generator,
        "resnet": resnet_generator,
        "r3gan": r3gan_generator,
        "seed2018": _seed2018_generator,
    }[settings.architecture]
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
    body = {
        "dcgan": _dcgan_discriminator,
        "resnet": resnet_discriminator,
        "r3gan": r3gan_discriminator,
        "seed2018": _seed2018_discriminator,
    }[settings.architecture]
    return keras.Model(pictures, body(build, pictures, size_px), name="discriminator")


def _dcgan_channels(settings: ModelSettings, size_px: int) -> list[int]:
    """Returns the discriminator's widths from half the picture's size inwards."""
    return halved_widths(settings, size_px // 2)


def _dcgan_generator(build: Builder, x, size_px: int):
    settings = build.settings
    widths = _dcgan_channels(settings, size_px)[::-1]
    normed = settings.generator_norm == "batch"
    kernel = build.normal("project", he_stddev(settings.latent_dim))
    x = build.grid(x, BASE_PX, widths[0], kernel)
    side = BASE_PX
    for width, out in zip(widths, [*widths[1:], None], strict=True):
        if normed:
            x = build.batch_norm(x, f"norm{side}", settings.generator_norm_momentum)
        x = build.leaky(x, f"leaky{side}")
        side *= 2
        x = _upsample(build, x, width, out, f"up{side}")
    return build.pictures(x, "pictures")


def _upsample(build: Builder, x, width: int, out: int | None, name: str):
    """Doubles the side; `out` channels, None: the picture's."""
    if build.settings.upsampling == "low_pass":
        return _upsample_smoothly(build, x, width, out, name)
    # At stride 2 each output pixel of a 4x4 kernel sums over 2x2 input pixels.
    fan_in = 4 * width
    stddev = he_stddev(fan_in) if out else math.sqrt(1.0 / fan_in)
    kind = layers.Conv2DTranspose if out or not build.quick else PictureConv2DTranspose
    return kind(
        out or 3,
        4,
        strides=2,
        padding="same",
        kernel_initializer=build.normal(name, stddev),
        dtype=build.policy,
        name=build.name(name),
    )(x)


def _upsample_smoothly(build: Builder, x, width: int, out: int | None, name: str):
    # Of independent numbers a mean of one, two, two or four is left: 9/16 of their variance.
    fan_in = 9 * width * 9 / 16
    x = build.doubled(x, f"{name}_double")
    if not out:
        return build.to_picture(x, 3, name, math.sqrt(1.0 / fan_in))
    return layers.Conv2D(
        out,
        3,
        padding="same",
        kernel_initializer=build.normal(name, he_stddev(fan_in)),
        dtype=build.policy,
        name=build.name(name),
    )(x)


def _dcgan_discriminator(build: Builder, x, size_px: int):
    settings = build.settings
    side, fan = size_px, 3
    for width in _dcgan_channels(settings, size_px):
        is_first = side == size_px
        side //= 2
        kind = build.picture_convolution if is_first else build.convolution
        x = kind(
            width,
            4,
            strides=2,
            padding="same",
            kernel_initializer=build.normal(f"down{side}", he_stddev(16 * fan)),
            dtype=build.policy,
            name=build.name(f"down{side}"),
        )(x)
        # The first layer has none, as in DCGAN (Radford et al. 2016).
        if settings.discriminator_norm == "batch" and not is_first:
            x = build.batch_norm(x, f"norm{side}", 0.99)
        x = build.leaky(x, f"leaky{side}")
        fan = width
    return build.logits(x, "logit", build.normal("logit", math.sqrt(1.0 / (fan * side**2))))


def _seed2018_generator(build: Builder, x, size_px: int):
    settings = build.settings
    start, width = size_px // 16, 16 * settings.base_channels
    x = build.grid(x, start, width, build.glorot("project"))
    x = build.leaky(x, "leaky0")
    for index in range(1, 5):
        x = _seed2018_up(build, x, width // 2**index, 2, f"up{index}")
        x = build.batch_norm(x, f"norm{index}", settings.generator_norm_momentum)
        x = build.leaky(x, f"leaky{index}")
    return build.pictures(_seed2018_up(build, x, None, 1, "out"), "pictures")


def _seed2018_up(build: Builder, x, width: int | None, stride: int, name: str):
    """`width` channels, None: the picture's."""
    kind = layers.Conv2DTranspose if width or not build.quick else PictureConv2DTranspose
    return kind(
        width or 3,
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
        kind = build.picture_convolution if index == 1 else build.convolution
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
