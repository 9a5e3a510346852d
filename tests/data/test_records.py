"""Our records against TensorFlow's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data.records import frame, read_example, read_frames, write_example
from trainer.errors import DataError


def test_tensorflow_reads_what_we_write_and_we_read_what_it_writes(tmp_path):
    import tensorflow as tf

    for image, picture_id in ((b"", ""), (b"x" * 300, "ein Kätzchen"), (bytes(70_000), "a/b.jpg")):
        ours = write_example(image, picture_id)
        theirs = tf.train.Example.FromString(ours)
        assert theirs.features.feature["image"].bytes_list.value[0] == image
        assert theirs.features.feature["id"].bytes_list.value[0].decode() == picture_id
        assert read_example(theirs.SerializeToString()) == (image, picture_id)
        with tf.io.TFRecordWriter(str(tmp_path / "x")) as writer:
            writer.write(ours)
        assert (tmp_path / "x").read_bytes() == frame(ours)


@given(st.lists(st.tuples(st.binary(max_size=400), st.text(max_size=20)), max_size=5))
def test_a_shard_gives_back_its_records(pictures):
    examples = [write_example(*picture) for picture in pictures]
    data = b"".join(frame(example) for example in examples)
    assert len(data) == sum(16 + len(example) for example in examples)  # length and two sums
    assert [read_example(record) for record in read_frames(data)] == pictures


@given(st.data())
def test_every_flipped_bit_is_noticed(data):
    shard = bytearray(frame(write_example(b"picture", "id")) * 2)
    at = data.draw(st.integers(0, len(shard) - 1))
    shard[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(DataError, match="damaged"):
        list(read_frames(bytes(shard)))


@given(st.integers(1, 60))
def test_a_shard_cut_short_is_noticed(missing):
    shard = frame(write_example(b"picture" * 9, "id"))
    if missing < len(shard):
        with pytest.raises(DataError, match="damaged"):
            list(read_frames(shard[:-missing]))


@given(st.binary(max_size=200))
def test_foreign_records_give_our_error(data):
    with pytest.raises(DataError):
        read_example(data)
