"""The way of a picture: source, prepare, shards, order, cache, stream."""
