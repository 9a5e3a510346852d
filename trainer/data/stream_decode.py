"""Records to pictures, inside tf.data.

Owns which TensorFlow operations turn the records of a shard into uint8
pictures. Does not choose records.
"""

from collections.abc import Callable

import tensorflow as tf

from trainer.data.shards import Encoding

# Bytes of a shard read at once: larger than TensorFlow's 256 KB, which a disk
# far away pays for with a wait each.
READ_BYTES = 2**20


def read_records(path):
    """Returns a dataset of the serialized records of the files named in `path`."""
    return tf.data.TFRecordDataset(path, buffer_size=READ_BYTES)


def images_of(records):
    """Returns string `[n]`: the encoded pictures of n serialized records."""
    features = {"image": tf.io.FixedLenFeature([], tf.string)}
    return tf.io.parse_example(records, features)["image"]


def decoder(encoding: Encoding, size_px: int) -> Callable:
    """Returns a function from one encoded picture to uint8 `[size_px, size_px, 3]`.

    JPEG is decoded with the accurate integer transform: its result does not
    depend on the processor.
    """
    shape = (size_px, size_px, 3)

    def decode(image):
        if encoding == "raw":
            flat = tf.io.decode_raw(image, tf.uint8, fixed_length=size_px * size_px * 3)
            return tf.reshape(flat, shape)
        if encoding == "jpeg":
            picture = tf.io.decode_jpeg(image, channels=3, dct_method="INTEGER_ACCURATE")
        else:
            picture = tf.io.decode_png(image, channels=3)
        return tf.ensure_shape(picture, shape)

    return decode


def decoded_batches(images, encoding: Encoding, size_px: int, rows: int, *, remainder=False):
    """Decodes a dataset of encoded pictures into batches, order kept.

    Args:
        images: Dataset of string scalars.
        encoding: How they are encoded.
        size_px: Height and width of each.
        rows: Pictures in a batch.
        remainder: Whether a last, smaller batch is given.

    Returns:
        Dataset of uint8 `[rows, size_px, size_px, 3]`.
    """
    if encoding == "raw":
        # No work but copying, so whole batches at once.
        shape = (-1 if remainder else rows, size_px, size_px, 3)

        def reshaped(batch):
            flat = tf.io.decode_raw(batch, tf.uint8, fixed_length=size_px * size_px * 3)
            return tf.reshape(flat, shape)

        return images.batch(rows, drop_remainder=not remainder).map(reshaped)
    decode = decoder(encoding, size_px)
    pictures = images.map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return pictures.batch(rows, drop_remainder=not remainder)
