"""catgan: train a GAN on pictures that stream from a folder or bucket, and never lose a run."""

__version__ = "0.1.0"
