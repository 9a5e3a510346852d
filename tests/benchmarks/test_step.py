"""The contestants of `benchmarks/step.py` compute the same thing, or their times mean nothing."""

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.step_two_pass import TwoPassGAN
from tests.gan.small import SMALL
from trainer import config as configs
from trainer.gan.build import build_gan

# Keras takes Adam's settings through float32 on their way to float64; these survive it. Their
# epsilon keeps biases under batch norm, whose gradient is rounding only, where they are.
EXACT = [
    f"{network}_optimizer.{key}"
    for network in ("generator", "discriminator")
    for key in ("rate=0.00048828125", "beta_2=0.9921875", "epsilon=9.5367431640625e-07")
]
CATS64 = [*SMALL, *EXACT]
SEED2018 = [
    "precision=float64",
    "dataset.size_px=32",
    "model.architecture=seed2018",
    "model.base_channels=2",
    "model.latent_dim=8",
    "model.latent_distribution=uniform",
    "model.generator_norm_momentum=0.9801",
    "model.picture_scale=0.5",
    "training.global_batch=4",
    "loss.name=non_saturating",
    "loss.r1_weight=0",
    "loss.r2_weight=0",
    "generator_optimizer.beta_1=0.5",
    *EXACT,
]


class OurNoise:
    """The very draws of our own step."""

    def __init__(self, gan) -> None:
        self._gan = gan

    def latents(self, step):
        return self._gan.inputs.latents(step)

    def flips(self, step):
        return self._gan.draws.uniform("flip", step) < 0.5


def pictures(config, steps):
    size = config.dataset.size_px
    shape = (steps, config.training.global_batch, size, size, 3)
    return np.random.default_rng(5).integers(0, 256, shape, np.uint8)


def run_ours(gan, batches):
    runner, losses = gan.runner(), []
    for step, batch in enumerate(batches):
        figures = runner.run(iter([tf.constant(batch)]), step, 1)
        losses.append([float(figures["d_loss"]), float(figures["g_loss"])])
    return losses


def assert_same_weights(network, other):
    for one, two in zip(network.variables, other.variables, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10, err_msg=one.path)


@pytest.mark.parametrize("settings", [CATS64, SEED2018], ids=["cats64", "seed2018"])
def test_two_passes_give_our_weights(settings):
    """After three steps, the first and the last of them with penalties where there are any."""
    config = configs.from_text("", settings)
    gan = build_gan(config)
    rival = TwoPassGAN(config, OurNoise(gan))
    every = config.loss.penalty_every_steps if config.loss.r1_weight else 0
    batches = pictures(config, 3)
    theirs = []
    for step, batch in enumerate(batches):
        due = bool(every) and step % every == 0
        losses = rival.step(tf.constant(batch), tf.constant(step, tf.int64), due)
        theirs.append([float(loss) for loss in losses])
    # Our figures are float32.
    np.testing.assert_allclose(run_ours(gan, batches), theirs, rtol=0, atol=1e-6)
    assert_same_weights(gan.generator, rival.generator)
    assert_same_weights(gan.ema_generator, rival.average)
    trained = gan.discriminator.trainable_variables
    for one, two in zip(trained, rival.discriminator.trainable_variables, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-10, err_msg=one.path)


@pytest.mark.parametrize(("channels_last", "passes"), [(True, 2), (False, 1)])
def test_pytorch_has_our_losses(channels_last, passes):
    """From the same weights, draws and pictures, over three updates of both networks."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra [bench])")
    from benchmarks.step_torch import TorchGAN

    # PyTorch adds it after correcting the bias of the squares, Keras before.
    no_epsilon = [f"{name}_optimizer.epsilon=1e-15" for name in ("generator", "discriminator")]
    config = configs.from_text("", [*CATS64, *no_epsilon])
    gan = build_gan(config)
    rival = TorchGAN(config, channels_last=channels_last, passes=passes)
    for network in (rival.generator, rival.discriminator, rival.average):
        network.double()
    copy_weights(torch, gan.generator, rival.generator)
    copy_weights(torch, gan.generator, rival.average)
    copy_weights(torch, gan.discriminator, rival.discriminator)
    noise, theirs = OurNoise(gan), []
    batches = pictures(config, 3)
    for step, batch in enumerate(batches):
        number = tf.constant(step, tf.int64)
        rival.latents = lambda n=number: torch.from_numpy(noise.latents(n).numpy())
        rival.flips = lambda n=number: torch.from_numpy(noise.flips(n).numpy())
        losses = rival.step(torch.from_numpy(batch), step % 2 == 0)
        theirs.append([float(loss) for loss in losses])
    np.testing.assert_allclose(run_ours(gan, batches), theirs, rtol=0, atol=1e-6)
    drawn = rival.average(rival.latents()).permute(0, 2, 3, 1).detach().numpy()
    ours = gan.ema_generator(noise.latents(tf.constant(2, tf.int64)), training=False)
    np.testing.assert_allclose(drawn, ours, rtol=0, atol=1e-6)


def copy_weights(torch, network, module):
    """Our kernels, channels last, into PyTorch's layers, in their order."""
    layers = [layer for layer in network.layers if layer.weights]
    targets = [m for m in module.modules() if hasattr(m, "weight") and hasattr(m, "bias")]
    for layer, target in zip(layers, targets, strict=True):
        kernel, bias = (np.array(w) for w in layer.get_weights())
        if kernel.ndim == 4:
            kernel = kernel.transpose(3, 2, 0, 1)
        elif isinstance(target, torch.nn.Linear) and kernel.shape[1] == 1:
            # PyTorch flattens channels first.
            kernel = kernel.reshape(4, 4, -1, 1).transpose(3, 2, 0, 1).reshape(1, -1)
        else:
            kernel = kernel.T
        with torch.no_grad():
            target.weight.copy_(torch.from_numpy(kernel.copy()))
            target.bias.copy_(torch.from_numpy(bias))
