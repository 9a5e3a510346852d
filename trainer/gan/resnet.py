"""Residual networks, 32 to 256 px.

Owns their shape: feature maps from 4 px to the picture's size with one residual
block at each, the generator's doubled by repeating pixels and the
discriminator's halved by averaging, as in Mescheder et al. 2018 ("Which
training methods for GANs do actually converge?", appendix; there a fixed
factor stands before the branch).

A block is x + branch(x), its branch two 3x3 convolutions behind leaky ReLUs.
The last convolution of a branch begins at zero, so that a block begins as the
identity and depth neither shrinks nor grows what passes, without any
normalisation (Zhang et al. 2019, "Fixup initialization", section 3).
"""

import math

from keras import layers

from trainer.gan.builder import BASE_PX, Builder, halved_widths, he_stddev


def resnet_generator(build: Builder, x, size_px: int):
    """Latents `[n, latent_dim]` to pictures `[n, size, size, 3]` in [-1, 1]."""
    settings = build.settings
    normed = settings.generator_norm == "batch"
    momentum = settings.generator_norm_momentum if normed else None
    first, *others = halved_widths(settings, size_px)[::-1]
    kernel = build.normal("project", he_stddev(settings.latent_dim))
    x = _block(build, build.grid(x, BASE_PX, first, kernel), first, "block4", momentum)
    side = BASE_PX
    for width in others:
        side *= 2
        x = layers.UpSampling2D(2, dtype=build.policy, name=build.name(f"up{side}"))(x)
        x = _block(build, x, width, f"block{side}", momentum)
    x = _active(build, x, "out", momentum)
    stddev = math.sqrt(1.0 / (9 * x.shape[-1]))
    return build.pictures(build.to_picture(x, 3, "out", stddev), "pictures")


def resnet_discriminator(build: Builder, x, size_px: int):
    """Pictures `[n, size, size, 3]` to logits `[n, 1]`."""
    momentum = 0.99 if build.settings.discriminator_norm == "batch" else None
    widths = halved_widths(build.settings, size_px)
    # Nothing is active yet: the variance of a picture is kept, not that of a leaky ReLU.
    x = _convolution(build, x, widths[0], "in", math.sqrt(1.0 / 27))
    side = size_px
    for width in widths[1:]:
        x = _block(build, x, width, f"block{side}", momentum)
        side //= 2
        x = layers.AveragePooling2D(2, dtype=build.policy, name=build.name(f"down{side}"))(x)
    x = _active(build, _block(build, x, widths[-1], f"block{side}", momentum), "out", momentum)
    fan_in = widths[-1] * side**2
    return build.logits(x, "logit", build.normal("logit", math.sqrt(1.0 / fan_in)))


def _block(build: Builder, x, width: int, name: str, momentum: float | None):
    """`x` + two convolutions of it; where the width changes, `x` goes through one of 1x1."""
    came = x.shape[-1]
    branch = _active(build, x, f"{name}_1", momentum)
    branch = _convolution(build, branch, width, f"{name}_1", he_stddev(9 * came))
    branch = _active(build, branch, f"{name}_2", momentum)
    # What is divided by its largest singular value cannot begin at zero.
    last = he_stddev(9 * width) if build.is_spectral else 0.0
    branch = _convolution(build, branch, width, f"{name}_2", last)
    if came != width:
        stddev = math.sqrt(1.0 / came)
        x = _convolution(build, x, width, f"{name}_skip", stddev, kernel_px=1, bias=False)
    return layers.Add(dtype=build.policy, name=build.name(name))([x, branch])


def _active(build: Builder, x, name: str, momentum: float | None):
    if momentum is not None:
        x = build.batch_norm(x, f"{name}_norm", momentum)
    return build.leaky(x, f"{name}_leaky")


def _convolution(
    build: Builder, x, width: int, name: str, stddev: float, *, kernel_px: int = 3, bias=True
):
    return build.convolution(
        width,
        kernel_px,
        padding="same",
        use_bias=bias,
        kernel_initializer=build.normal(name, stddev) if stddev else "zeros",
        dtype=build.policy,
        name=build.name(f"{name}_conv"),
    )(x)
