"""The two-pass step of `step_two_pass.py` in PyTorch, for the DCGAN networks.

Imports no TensorFlow. As quick as we know how on a CPU: channels-last or not (both are
tried), fused Adam, averages by one `lerp` over all tensors, D frozen in G's half, penalties
through the pass that their loss needs, denormals flushed as TensorFlow does.
"""

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn.functional import softplus

from trainer.config import Config

_BASE_PX, _LEAK = 4, 0.2


def widths(config: Config) -> list[int]:
    """D's widths from the picture inwards."""
    model, halvings = config.model, int(math.log2(config.dataset.size_px // _BASE_PX))
    return [min(model.max_channels, model.base_channels * 2**i) for i in range(halvings)]


class Generator(nn.Module):
    """Latents `[n, latent_dim]` to pictures `[n, 3, H, W]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = [*widths(config)[::-1], 3]
        self.start = channels[0]
        self.project = nn.Linear(config.model.latent_dim, _BASE_PX**2 * self.start)
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise(channels):
            layers += [nn.LeakyReLU(_LEAK), nn.ConvTranspose2d(inside, outside, 4, 2, 1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """Draws."""
        grid = self.project(latents).view(-1, _BASE_PX, _BASE_PX, self.start)
        return self.layers(grid.permute(0, 3, 1, 2))


class Discriminator(nn.Module):
    """Pictures `[n, 3, H, W]` to logits `[n, 1]`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = [3, *widths(config)]
        layers: list[nn.Module] = []
        for inside, outside in itertools.pairwise(channels):
            layers += [nn.Conv2d(inside, outside, 4, 2, 1), nn.LeakyReLU(_LEAK)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(_BASE_PX**2 * channels[-1], 1))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Judges."""
        return self.layers(pictures)


class TorchGAN:
    """Both networks, their optimizers and the averaged generator.

    Args:
        config: Of the run, `dcgan` without batch norm, relativistic pairing.
        channels_last: Memory format.
        passes: Generator passes a step, 2 or 1.
        device: Where the networks are and the draws are made.
    """

    def __init__(
        self, config: Config, *, channels_last: bool, passes: int = 2, device: str = "cpu"
    ) -> None:
        torch.manual_seed(config.seed)
        self.config, self.passes, self.steps, self.device = config, passes, 0, device
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        networks = _initialised(Generator(config)), _initialised(Discriminator(config))
        self.generator, self.discriminator = (
            network.to(device, memory_format=self.format) for network in networks
        )
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.g_optimizer = _adam(self.generator, config.generator_optimizer)
        self.d_optimizer = _adam(self.discriminator, config.discriminator_optimizer)

    def step(self, images: torch.Tensor, with_penalty: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """One step on uint8 `[n, H, W, 3]`; returns both losses, on the device."""
        real, latents = self.real_images(images), self.latents()
        with torch.set_grad_enabled(self.passes == 1):
            fake = self.generator(latents)
        d_loss = self._update_discriminator(real, fake.detach(), with_penalty)
        self.discriminator.requires_grad_(False)
        if self.passes == 2:
            fake = self.generator(latents)
        with torch.no_grad():
            real_logits = self.discriminator(real)
        g_loss = softplus(real_logits - self.discriminator(fake)).mean()
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        self.discriminator.requires_grad_(True)
        self._move_average()
        return d_loss.detach(), g_loss.detach()

    def _update_discriminator(self, real, fake, with_penalty: bool) -> torch.Tensor:
        loss = self.config.loss
        real_logits, r1 = self._judged(real, with_penalty and loss.r1_weight)
        fake_logits, r2 = self._judged(fake, with_penalty and loss.r2_weight)
        d_loss = softplus(fake_logits - real_logits).mean()
        self.d_optimizer.zero_grad()
        (d_loss + loss.penalty_every_steps * (r1 + r2)).backward()
        self.d_optimizer.step()
        return d_loss

    def _judged(self, pictures: torch.Tensor, weight: float):
        if not weight:
            return self.discriminator(pictures), 0.0
        pictures = pictures.detach().requires_grad_()
        logits = self.discriminator(pictures)
        (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
        return logits, 0.5 * weight * gradient.square().sum([1, 2, 3]).mean()

    def latents(self) -> torch.Tensor:
        """`[n, latent_dim]`."""
        shape = self.config.training.global_batch, self.config.model.latent_dim
        return torch.randn(*shape, device=self.device)

    def flips(self) -> torch.Tensor:
        """Boolean `[n]`."""
        return torch.rand(self.config.training.global_batch, device=self.device) < 0.5

    def real_images(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[n, H, W, 3]` to the networks' range `[n, 3, H, W]`, some mirrored."""
        scale = self.config.model.picture_scale
        dtype = self.generator.project.weight.dtype
        pictures = images.permute(0, 3, 1, 2).to(dtype, memory_format=self.format)
        pictures = pictures * (scale / 127.5) - scale
        if not self.config.dataset.flip:
            return pictures
        return torch.where(self.flips()[:, None, None, None], pictures.flip(3), pictures)

    @torch.no_grad()
    def _move_average(self) -> None:
        batch = self.config.training.global_batch
        self.steps += 1
        half_life = min(self.config.ema.half_life_images, 0.05 * self.steps * batch)
        beta = 0.5 ** (batch / half_life) if half_life > 0 else 0.0
        weights = list(self.generator.parameters())
        torch._foreach_lerp_(list(self.average.parameters()), weights, 1 - beta)


def _initialised(network: nn.Module) -> nn.Module:
    """He's initialisation, as ours: a network that saturates would be timed on denormals."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            fan_in = layer.weight[0].numel()
            if isinstance(layer, nn.ConvTranspose2d):
                fan_in = 4 * layer.in_channels
            nn.init.normal_(layer.weight, std=math.sqrt(2 / ((1 + _LEAK**2) * fan_in)))
            nn.init.zeros_(layer.bias)
    return network


def _adam(network: nn.Module, settings) -> torch.optim.Adam:
    return torch.optim.Adam(
        network.parameters(),
        settings.rate,
        (settings.beta_1, settings.beta_2),
        settings.epsilon,
        fused=True,
    )
