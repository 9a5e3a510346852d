"""Training pictures that a run's discriminator finds unlike the others."""
