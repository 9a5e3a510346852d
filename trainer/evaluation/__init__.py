"""How good a generator's pictures are: features, distances, their errors and their origin."""
