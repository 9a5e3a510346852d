"""The formulas of `benchmarks/scale.py`, against figures worked out by hand."""

import dataclasses

import pytest

from benchmarks import scale, scale_limits, scale_page
from benchmarks.scale import Model, Scenario

SMALL = Model("small", (10_000_000, 20_000_000), 100_000_000)


def test_a_ring():
    """41.5 million parameters are 166 MB of float32 gradients."""
    assert scale.ring_secs(166e6, 8, 100, 0) == pytest.approx(0.0232, abs=5e-5)
    assert scale.ring_secs(166e6, 1, 100, 1) == 0
    assert scale.ring_secs(0, 8, 100, 10e-6) == pytest.approx(14 * 10e-6)
    assert scale.ring_secs(1e9, 10**6, 8, 0) == pytest.approx(2.0, rel=1e-5)


def test_a_step_has_two_reductions():
    expected = sum(scale.ring_secs(b, 8, 100, 1e-5) for b in (10_000_000, 20_000_000))
    assert scale.step_reduce_secs(SMALL, 8, 100, 1e-5) == expected


def test_shards_and_what_is_read_of_them():
    assert scale.shard_count(10e12) == 1_250_000
    assert scale.shard_count(8_000_001) == 2
    assert scale.worker_epoch_bytes(10e12, 64) == 156.25e9
    assert scale.epoch_secs(10e12, 10_000, 1e6) == 1000
    assert scale.shard_reads_per_sec(1_000, 8_000, 8e6) == 1
    assert scale.needed_stream_bytes_per_sec(8_000, 1_000) == 1e6
    assert scale.listing_pages(1_250_001, 1000) == 1251
    assert scale.gbit(1e9) == 8
    assert scale.gbit_secs(1e9, 8) == 1
    assert scale.restore_bytes(95e6, 64) == 6.08e9


def test_a_cache_holds_windows_of_every_lane():
    assert scale.least_cache_bytes(8, 1, 8e6) == 8 * 4 * 8e6
    assert scale.full_cache_bytes(8, 2, 8e6) == 8 * (4 + 64) * 8e6


def test_a_shard_of_a_manifest():
    assert 150 < scale.manifest_entry_bytes() < 300
    assert 200 < scale.manifest_entry_memory_bytes(1000) < 5000


def test_the_fullest_comes_first():
    found = scale_limits.limits(Scenario(), [SMALL], 1_250_000)
    loads = [limit.load for limit in found]
    assert loads == sorted(loads, reverse=True)
    assert all(load > 0 for load in loads)


def test_one_worker_on_a_small_set_breaks_nowhere():
    alone = Scenario(workers=1, nodes=1, dataset_tb=0.001)
    found = scale_limits.limits(alone, [SMALL], scale.shard_count(1e9))
    assert max(limit.load for limit in found if "downloads" not in limit.what) < 1


def test_every_input_is_on_the_page():
    shown = {"workers", "nodes", "dataset_tb", *scale_page._ASSUMED}
    assert shown == {field.name for field in dataclasses.fields(Scenario)}
    text = scale_page.page(Scenario(), [SMALL])
    assert "64 workers on 8 nodes, 10 TB of shards" in text
    for name in scale_page._ASSUMED:
        assert f"`{name}`" in text


@pytest.mark.slow
def test_the_page_is_that_of_today():
    """But for the memory that was measured, which differs with the versions of libraries."""
    text = scale_page.page(Scenario()) + "\n"
    now, then = (
        [line for line in t.splitlines() if "memory for the manifest" not in line]
        for t in (text, scale_page.PAGE.read_text())
    )
    assert now == then
