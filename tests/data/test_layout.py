"""Splits and shards."""

from hypothesis import given
from hypothesis import strategies as st

from trainer.data.layout import MULTIPLE, part_sizes, shard_count, split_counts
from trainer.data.shards import MAX_SHARD_BYTES


@given(st.integers(1, 10**6), st.floats(0, 0.5))
def test_both_splits_have_pictures_where_there_are_two(count, fraction):
    train, validation = split_counts(count, fraction)
    assert train + validation == count
    assert train >= 1
    assert (validation >= 1) == (fraction > 0 and count >= 2)
    assert abs(validation - count * fraction) <= 1


@given(st.lists(st.integers(1, 3_200_000), min_size=1, max_size=200))
def test_shards_are_small_equal_and_a_multiple_of_sixteen(sizes):
    parts = shard_count(len(sizes), lambda: sizes)
    counts = part_sizes(len(sizes), parts)
    assert sum(counts) == len(sizes)
    assert max(counts) - min(counts) <= 1
    assert min(counts) >= 1
    assert len(sizes) < MULTIPLE or parts % MULTIPLE == 0
    ends = [sum(counts[: k + 1]) for k in range(parts)]
    for end, records in zip(ends, counts, strict=True):
        assert sum(sizes[end - records : end]) <= MAX_SHARD_BYTES


def test_no_more_shards_than_needed():
    assert shard_count(1000, lambda: [1000] * 1000) == 16
    assert shard_count(10, lambda: [1000] * 10) == 1
    assert shard_count(0, lambda: []) == 0
    assert shard_count(4000, lambda: [40_000] * 4000) == 32
