"""Named, seeded layers, which all families of networks are made of.

Owns what is the same in all of them: a layer's name (part of the checkpoint
format), its seed, its precision, and the ends of both networks.
"""

import math

import keras
from keras import layers

from trainer import seeds
from trainer.config.learning import ModelSettings
from trainer.gan.picture_layers import OutputLeakyReLU, PictureConv2D, PictureConv2DTranspose
from trainer.gan.spectral import SpectralConv2D, SpectralDense

BASE_PX = 4
"""Smallest side of a feature map in all families but that of 2018."""

_LEAK = 0.2


def halved_widths(settings: ModelSettings, size_px: int) -> list[int]:
    """Returns the widths from the picture's size to 4 px, doubled at each halving up to a limit."""
    halvings = int(math.log2(size_px // BASE_PX))
    return [min(settings.max_channels, settings.base_channels * 2**i) for i in range(halvings + 1)]


def he_stddev(fan_in: float) -> float:
    """Standard deviation that keeps a leaky ReLU's variance (He et al. 2015, eq. 10 and 14)."""
    return math.sqrt(2.0 / ((1.0 + _LEAK**2) * fan_in))


class Builder:
    """Makes named, seeded layers of one network.

    Args:
        prefix: Begins each layer's name.
        settings: The `model` section.
        seed: The run's seed; each layer draws its weights by its own name.
        policy: Keras dtype policy of the layers, e.g. `mixed_bfloat16`.
        synchronized: Whether batch norm spans all workers.
        quick: Use `picture_layers`, for a training step on a CPU; same weights, same names.

    Attributes:
        is_spectral: Whether kernels are divided by their largest singular value.
        convolution: The kind of layer for a convolution.
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
        self.is_spectral = settings.spectral_norm and prefix == "discriminator"
        self.convolution = SpectralConv2D if self.is_spectral else layers.Conv2D
        self._dense = SpectralDense if self.is_spectral else layers.Dense

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

    def grid(self, latents, side: int, width: int, initializer):
        """Latents `[n, latent_dim]` to the first feature map `[n, side, side, width]`."""
        x = layers.Dense(
            side**2 * width,
            kernel_initializer=initializer,
            dtype=self.policy,
            name=self.name("project"),
        )(latents)
        return layers.Reshape((side, side, width), dtype=self.policy, name=self.name("grid"))(x)

    def smoothed(self, x, name: str):
        """The mean of each pixel, the next one, and those below; at the border of what is there."""
        return layers.AveragePooling2D(
            2, strides=1, padding="same", dtype=self.policy, name=self.name(name)
        )(x)

    def doubled(self, x, name: str):
        """Twice the size, linear between pixels: no grid of overlapping kernels in it.

        Odena et al. 2016, "Deconvolution and checkerboard artifacts".
        """
        x = layers.UpSampling2D(2, dtype=self.policy, name=self.name(name))(x)
        return self.smoothed(x, f"{name}_smooth")

    @property
    def picture_convolution(self) -> type:
        """The kind of layer for a convolution of pictures."""
        quick = self.quick and not self.is_spectral
        return PictureConv2D if quick else self.convolution

    def to_picture(self, x, kernel_px: int, name: str, stddev: float):
        """A convolution to three channels; written as a transposed one, which has a quick twin."""
        kind = PictureConv2DTranspose if self.quick and kernel_px > 1 else layers.Conv2DTranspose
        return kind(
            3,
            kernel_px,
            padding="same",
            kernel_initializer=self.normal(name, stddev),
            dtype=self.policy,
            name=self.name(name),
        )(x)

    def pictures(self, x, name: str):
        """Tanh in the variables' own precision: pictures are never half precision."""
        dtype = self.policy.variable_dtype
        return layers.Activation("tanh", dtype=dtype, name=self.name(name))(x)

    def logits(self, x, name: str, initializer):
        """One logit a picture, in the variables' own precision."""
        x = layers.Flatten(dtype=self.policy, name=self.name(f"{name}_flat"))(x)
        return self._dense(
            1,
            kernel_initializer=initializer,
            dtype=self.policy.variable_dtype,
            name=self.name(name),
        )(x)
