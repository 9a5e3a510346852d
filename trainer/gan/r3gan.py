"""The networks of R3GAN, 32 to 256 px, after the paper's description (Huang et al. 2024).

Owns their shape: feature maps from 4 px to the picture's size with some residual blocks at
each. A block is x + branch(x), its branch a 1x1 convolution to more channels, a grouped 3x3
one, and a 1x1 one back, leaky ReLUs between (section 4: ResNeXt's bottleneck turned inside
out, no normalisation). The last begins at zero, and the two before it are scaled by L^(-1/4) for
L blocks (Zhang et al. 2019, "Fixup initialization", section 3, three layers a branch).

Sizes change by the filter [1, 2, 1], and widths by a 1x1 convolution beside it. The filter is
made of what Keras has: a pixel repeated, then the mean of each pixel and the next, is linear
interpolation; the mean of each pixel and the next, then of each pair, is (1, 2, 1) / 4.

Both ends are a filter of 4 px for each channel: G's first map is a learned one, scaled by a
linear map of the latents; D's last is weighed down to one number a channel.
"""

import math

from keras import layers

from trainer.gan.builder import BASE_PX, Builder, halved_widths, he_stddev
from trainer.gan.grouped import GroupedConv2D

# Convolutions of a branch, of which Fixup's scale depends.
_BRANCH_LAYERS = 3


def r3gan_generator(build: Builder, x, size_px: int):
    """Latents `[n, latent_dim]` to pictures `[n, size, size, 3]` in [-1, 1]."""
    widths = halved_widths(build.settings, size_px)[::-1]
    x = _first_map(build, x, widths[0])
    came, side = widths[0], BASE_PX
    for width in widths:
        if side > BASE_PX:
            x = _linear(build, x, came, width, f"skip{side}")
            x = build.doubled(x, f"up{side}")
        x = _blocks(build, x, width, side, len(widths))
        came, side = width, 2 * side
    stddev = math.sqrt(1.0 / widths[-1])
    return build.pictures(build.to_picture(x, 1, "out", stddev), "pictures")


def r3gan_discriminator(build: Builder, x, size_px: int):
    """Pictures `[n, size, size, 3]` to logits `[n, 1]`."""
    widths = halved_widths(build.settings, size_px)
    # Nothing is active yet: the variance of a picture is kept.
    x = _pointwise(build, x, widths[0], "in", math.sqrt(1.0 / 3))
    came, side = widths[0], size_px
    for width in widths:
        if side < size_px:
            x = _halved(build, x, f"down{side}")
            x = _linear(build, x, came, width, f"skip{side}")
        x = _blocks(build, x, width, side, len(widths))
        came, side = width, side // 2
    x = _weighed(build, x, "last", math.sqrt(1.0 / BASE_PX**2))
    return build.logits(x, "logit", build.normal("logit", math.sqrt(1.0 / came)))


def _first_map(build: Builder, latents, width: int):
    """`[n, latent_dim]` to `[n, 4, 4, width]`: for each channel a learned map times a number."""
    stddev = math.sqrt(1.0 / build.settings.latent_dim)
    x = build.grid(latents, 1, width, build.normal("project", stddev))
    around = BASE_PX - 1
    x = layers.ZeroPadding2D(around, dtype=build.policy, name=build.name("around"))(x)
    # Every place of a filter over one number among zeros is that number times the filter's.
    return _weighed(build, x, "first", 1.0)


def _weighed(build: Builder, x, name: str, stddev: float):
    return layers.DepthwiseConv2D(
        BASE_PX,
        use_bias=False,
        depthwise_initializer=build.normal(name, stddev),
        dtype=build.policy,
        name=build.name(name),
    )(x)


def _blocks(build: Builder, x, width: int, side: int, stages: int):
    count = build.settings.blocks
    scale = (stages * count) ** (-1.0 / (2 * _BRANCH_LAYERS - 2))
    for number in range(1, count + 1):
        x = _block(build, x, width, f"block{side}_{number}", scale)
    return x


def _block(build: Builder, x, width: int, name: str, scale: float):
    settings = build.settings
    inner = width * settings.expansion
    branch = _pointwise(build, x, inner, f"{name}_1", scale * he_stddev(width), bias=True)
    branch = build.leaky(branch, f"{name}_1_leaky")
    branch = GroupedConv2D(
        inner,
        3,
        padding="same",
        groups=inner // settings.group_width,
        kernel_initializer=build.normal(f"{name}_2", scale * he_stddev(9 * settings.group_width)),
        dtype=build.policy,
        name=build.name(f"{name}_2_conv"),
    )(branch)
    branch = build.leaky(branch, f"{name}_2_leaky")
    branch = _pointwise(build, branch, width, f"{name}_3", 0.0)
    return layers.Add(dtype=build.policy, name=build.name(name))([x, branch])


def _linear(build: Builder, x, came: int, width: int, name: str):
    return x if came == width else _pointwise(build, x, width, name, math.sqrt(1.0 / came))


def _pointwise(build: Builder, x, width: int, name: str, stddev: float, *, bias: bool = False):
    return layers.Conv2D(
        width,
        1,
        use_bias=bias,
        kernel_initializer=build.normal(name, stddev) if stddev else "zeros",
        dtype=build.policy,
        name=build.name(f"{name}_conv"),
    )(x)


def _halved(build: Builder, x, name: str):
    """(1, 2, 1) / 4 along both sides, every second pixel."""
    x = build.smoothed(x, f"{name}_smooth")
    return layers.AveragePooling2D(2, dtype=build.policy, name=build.name(name))(x)
