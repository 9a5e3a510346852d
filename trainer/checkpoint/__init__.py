"""Checkpoints: all or nothing, proved whole, out of the way."""
