"""A GAN that computes in milliseconds, exactly enough to compare it with another."""

SMALL = [
    "precision=float64",
    "dataset.size_px=32",
    "model.base_channels=4",
    "model.latent_dim=8",
    "training.global_batch=6",
    "loss.penalty_every_steps=2",
]
