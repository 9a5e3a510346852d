"""Ways to start the worker function."""
