"""The laws of the order (C2), over drawn data sets, batches, lanes and worlds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.order import (
    WINDOW_SHARDS,
    Order,
    check_world_size,
    default_lanes,
    lanes_of,
    nearest_batches,
    rows_of,
)
from trainer.errors import ConfigError, DataError


@st.composite
def orders(draw, even=None):
    """Orders over small sets: shards equal to within one record, or of any size."""
    lanes = draw(st.integers(1, 9))
    if draw(st.booleans()) if even is None else even:
        count, shards = draw(st.integers(1, 120)), draw(st.integers(1, 30))
        sizes = [count // shards + (number < count % shards) for number in range(shards)]
    else:
        sizes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=20))
        sizes[0] += 1
    return Order(
        sizes,
        fingerprint=draw(st.sampled_from(["one", "two"])),
        seed=draw(st.integers(0, 2**40)),
        global_batch=lanes * draw(st.integers(1, 5)),
        lanes=lanes,
    )


def walk(order, lane, first_slot, count):
    """The next `count` records of a lane, taken from its windows."""
    taken, records = 0, []
    for window in order.windows(lane, first_slot):
        assert window.slot == first_slot + taken
        records.append(window.records)
        taken += len(window.records)
        if taken >= count:
            return np.concatenate(records)[:count]
    raise AssertionError("the walk ended")


@settings(max_examples=150, deadline=None)
@given(orders())
def test_each_epoch_uses_each_record_once(order):
    epochs = order.batches(0, -(-3 * order.count // order.global_batch)).reshape(-1)
    for epoch in range(3):
        used = epochs[epoch * order.count : (epoch + 1) * order.count]
        assert np.array_equal(np.sort(used), np.arange(order.count))


@settings(max_examples=150, deadline=None)
@given(orders(), st.integers(0, 10**9))
def test_lanes_are_equal_to_within_one_record(order, epoch):
    sizes = [
        order.lane_start(epoch + 1, lane) - order.lane_start(epoch, lane)
        for lane in range(order.lanes)
    ]
    assert sum(sizes) == order.count
    assert max(sizes) - min(sizes) <= 1


@settings(max_examples=100, deadline=None)
@given(orders(), st.integers(0, 60), st.integers(1, 9))
def test_the_walk_of_lanes_gives_the_same_batches_as_whole_epochs(order, first_step, steps):
    batches = order.batches(first_step, steps)
    each = order.global_batch // order.lanes
    for lane in range(order.lanes):
        records = walk(order, lane, first_step * each, steps * each)
        assert np.array_equal(batches[:, lane :: order.lanes].reshape(-1), records)


@settings(max_examples=100, deadline=None)
@given(orders(), st.integers(0, 10**12), st.integers(1, 8))
def test_going_to_a_step_equals_walking_there(order, first_step, steps):
    assert np.array_equal(
        order.batches(first_step, steps + 3)[3:], order.batches(first_step + 3, steps)
    )


@settings(max_examples=60, deadline=None)
@given(orders(), st.integers(0, 40))
def test_any_number_of_workers_gives_the_rows_of_one(order, step):
    batch = order.batches(step, 1)[0]
    for world_size in range(1, order.lanes + 1):
        seen = np.full(order.global_batch, -1)
        for rank in range(world_size):
            rows = rows_of(rank, world_size, order.lanes, order.global_batch)
            assert np.array_equal(rows, np.sort(rows))
            assert (seen[rows] == -1).all()
            seen[rows] = batch[rows]
            assert set(rows % order.lanes) == set(lanes_of(rank, world_size, order.lanes))
        assert np.array_equal(seen, batch)


@settings(max_examples=100, deadline=None)
@given(orders())
def test_windows_name_what_they_pick(order):
    for lane in range(order.lanes):
        for window in itertools.islice(order.windows(lane), 6):
            stock = np.concatenate(
                [order.shard_starts[s] + np.arange(order.shard_records[s]) for s in window.shards]
            )
            assert np.array_equal(stock[window.picks], window.records)
            assert 1 <= len(window.shards) <= WINDOW_SHARDS


@settings(max_examples=100, deadline=None)
@given(orders(even=True), st.integers(0, 50))
def test_a_lane_reads_its_own_shards_and_few_others(order, epoch):
    shards = [
        [piece.shard for piece in order._deal(epoch).pieces(lane)] for lane in range(order.lanes)
    ]
    sizes = order.shard_records
    assert all(len(set(read)) == len(read) for read in shards)
    if len(sizes) % order.lanes == 0 and sizes.min() > 0:
        # Dealt whole: no two lanes share a shard.
        assert sorted(itertools.chain(*shards)) == list(range(len(sizes)))
    # A cut at the end of each lane's part is all that is read twice.
    assert sum(len(read) for read in shards) <= len(sizes) + 3 * order.lanes


def test_a_thousand_epochs_of_tiny_sets_do_not_drift():
    for count, shards, lanes, each in [(1, 1, 4, 2), (5, 3, 4, 2), (30, 1, 16, 4), (7, 7, 3, 1)]:
        sizes = [count // shards + (number < count % shards) for number in range(shards)]
        batch = lanes * each
        order = Order(sizes, fingerprint="f", seed=3, global_batch=batch, lanes=lanes)
        steps = -(-1000 * count // batch)
        used = order.batches(0, steps).reshape(-1)[: 1000 * count].reshape(1000, count)
        assert np.array_equal(np.sort(used, axis=1), np.tile(np.arange(count), (1000, 1)))
        slots = [order.lane_start(1000, lane) for lane in range(lanes)]
        assert max(slots) - min(slots) <= 1
        for lane in range(lanes):
            walked = walk(order, lane, 0, slots[lane])
            assert np.array_equal(walked, used.reshape(-1)[lane::lanes])


def test_epochs_seeds_and_data_sets_differ():
    def order(seed=0, fingerprint="f"):
        return Order([50] * 16, fingerprint=fingerprint, seed=seed, global_batch=16, lanes=16)

    first = order().epoch_records(0)
    assert not np.array_equal(first, np.arange(800))
    for other in (
        order().epoch_records(1),
        order(seed=1).epoch_records(0),
        order(fingerprint="g").epoch_records(0),
    ):
        assert not np.array_equal(first, other)
    assert np.array_equal(first, order().epoch_records(0))


def test_neighbours_in_the_set_are_far_apart_in_the_order():
    order = Order([100] * 32, fingerprint="f", seed=0, global_batch=64, lanes=16)
    step_of = np.argsort(order.epoch_records(0))
    gaps = np.abs(np.diff(step_of))
    assert np.median(gaps) > 500


def test_the_order_of_a_set_is_pinned():
    # A change here is another order for every run that has begun: never change it
    # without a new format version.
    order = Order([3, 3, 2], fingerprint="pinned", seed=7, global_batch=4, lanes=2)
    assert order.batches(0, 5).tolist() == [
        [1, 6, 2, 4],
        [0, 3, 5, 7],
        [7, 4, 2, 6],
        [1, 5, 0, 3],
        [2, 3, 6, 5],
    ]


def test_going_far_costs_one_window_for_each_lane(monkeypatch):
    order = Order([100] * 64, fingerprint="f", seed=0, global_batch=64, lanes=16)
    drawn = []
    shuffled = order._shuffled
    monkeypatch.setattr(
        order, "_shuffled", lambda count, *what: drawn.append(what) or shuffled(count, *what)
    )
    for lane in range(16):
        next(order.windows(lane, 10**9 * 4))
    assert sum(what[0] == "window" for what in drawn) == 16
    assert sum(what[0] == "shards" for what in drawn) <= 2


@pytest.mark.parametrize(
    ("batch", "workers", "lanes"),
    [(64, 1, 16), (60, 1, 15), (64, 32, 32), (17, 1, 1), (96, 24, 24), (8, 64, 8), (1, 1, 1)],
)
def test_default_lanes(batch, workers, lanes):
    assert default_lanes(batch, workers) == lanes


def test_too_many_workers_are_refused_with_the_nearest_batches():
    check_world_size(16, 16, 64)
    with pytest.raises(ConfigError) as caught:
        check_world_size(24, 16, 64)
    assert "24 workers" in caught.value.what
    assert "48 or 72" in caught.value.remedy
    with pytest.raises(ConfigError, match=r"dataset\.lanes=32"):
        check_world_size(20, 16, 64)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), st.integers(1, 70))
def test_the_batches_named_do_feed_all_workers(batch, workers):
    for near in nearest_batches(batch, workers):
        check_world_size(workers, default_lanes(near, workers), near)


@pytest.mark.parametrize(("lanes", "batch"), [(3, 64), (0, 64), (-1, 4), (1, 0)])
def test_lanes_must_divide_the_batch(lanes, batch):
    with pytest.raises(ConfigError):
        Order([4], fingerprint="f", seed=0, global_batch=batch, lanes=lanes)


@pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (0, 0)])
def test_ranks_that_do_not_exist_are_refused(rank, world_size):
    with pytest.raises(ConfigError):
        rows_of(rank, world_size, 4, 8)


def test_a_set_without_records_is_refused():
    with pytest.raises(DataError, match="no training pictures"):
        Order([0, 0], fingerprint="f", seed=0, global_batch=4, lanes=2)
