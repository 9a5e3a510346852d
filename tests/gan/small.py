"""A GAN that computes in milliseconds, exactly enough to compare it with another."""

import numpy as np

SMALL = [
    "precision=float64",
    "dataset.size_px=32",
    "model.base_channels=4",
    "model.latent_dim=8",
    "training.global_batch=6",
    "loss.penalty_every_steps=2",
]


def arrays(gan, *prefixes):
    """A part of a model's state, by the beginnings of names."""
    return {n: a for n, a in gan.state().items() if n.startswith(prefixes)}


def assert_close(one, other, tolerance=1e-10):
    """The same names, and values within the tolerance."""
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(
            one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name
        )
