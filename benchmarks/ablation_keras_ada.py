"""A rival of `ablation.py`: the recipe of Keras' example of adaptive augmentation.

    python -m benchmarks.ablation_keras_ada DATASET FOLDER --seed 0

Written anew from its description (keras.io/examples/generative/gan_ada, Béres 2021, as of January
2025): constant width 128, batch norm without scale, dropout 0.4 before D's answer, default
initialisation, sigmoid output, non-saturating loss over both halves together, both gradients from
one pass, Adam 2e-4 with beta_1 0.5, batch 128, 64 normal latents, average 0.99 a step. Pictures
are turned, moved and zoomed with a probability that integrates D's accuracy on real ones less
0.85 over 1,000 steps. Trains, pictures in memory and the step traced, until it is interrupted
(SIGINT), then writes PNG files of the averaged generator into FOLDER and prints the pictures seen.
"""

import argparse
import json
import math
import signal
import threading
from pathlib import Path

import numpy as np
from PIL import Image

from trainer.quiet import import_tensorflow

WIDTH, LATENTS, BATCH, DROPOUT, SLOPE = 128, 64, 128, 0.4, 0.2
RATE, BETA_1, AVERAGE = 2e-4, 0.5, 0.99
TARGET, INTEGRATION_STEPS = 0.85, 1000
MOVE, TURN, ZOOM = 0.125, 0.125, 0.25
_SMALLEST_PX = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--count", type=int, default=1000, help="pictures to write")
    options = parser.parse_args()
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    tf = import_tensorflow()
    import keras

    if options.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    keras.utils.set_random_seed(options.seed)
    pictures = training_pictures(options.dataset)
    rival = Rival(tf, keras, pictures.shape[1])
    images = rival.train(pictures, interrupted, options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(rival.pictures(options.count)):
        Image.fromarray(picture).save(options.folder / f"{number:05d}.png")
    print(json.dumps({"images_seen": images, "probability": float(rival.probability)}))


def training_pictures(address: str) -> np.ndarray:
    """Returns the training split, uint8 `[n, H, W, 3]`."""
    from trainer.data.stream import open_dataset

    dataset = open_dataset(address, cache_mib=1, memory_mib=0, cache_dir="")
    return dataset.pictures("train", np.arange(dataset.train_count))


class Rival:
    """Networks, optimizers and step of the example."""

    def __init__(self, tf, keras, size_px: int) -> None:
        self._tf, self._keras = tf, keras
        depth = round(math.log2(size_px // _SMALLEST_PX))
        self.generator = self._generator(depth)
        self.averaged = keras.models.clone_model(self.generator)
        self.averaged.set_weights(self.generator.get_weights())
        self.discriminator = self._discriminator(depth, size_px)
        self.augmenter = keras.Sequential([
            keras.layers.RandomFlip("horizontal", dtype="float32"),
            keras.layers.RandomTranslation(MOVE, MOVE, interpolation="nearest", dtype="float32"),
            keras.layers.RandomRotation(TURN, dtype="float32"),
            keras.layers.RandomZoom((-ZOOM, 0.0), (-ZOOM, 0.0), dtype="float32"),
        ])  # fmt: skip
        self.probability = tf.Variable(0.0)
        self._adams = [keras.optimizers.Adam(RATE, beta_1=BETA_1) for _ in range(2)]
        for adam, network in zip(self._adams, (self.generator, self.discriminator), strict=True):
            adam.build(network.trainable_variables)

    def _generator(self, depth: int):
        layers, up = self._keras.layers, self._keras.Sequential()
        up.add(self._keras.Input((LATENTS,)))
        up.add(layers.Dense(_SMALLEST_PX**2 * WIDTH, use_bias=False))
        up.add(layers.BatchNormalization(scale=False))
        up.add(layers.ReLU())
        up.add(layers.Reshape((_SMALLEST_PX, _SMALLEST_PX, WIDTH)))
        for _ in range(depth - 1):
            up.add(layers.Conv2DTranspose(WIDTH, 4, strides=2, padding="same", use_bias=False))
            up.add(layers.BatchNormalization(scale=False))
            up.add(layers.ReLU())
        up.add(
            layers.Conv2DTranspose(
                3, 4, strides=2, padding="same", activation="sigmoid", dtype="float32"
            )
        )
        return up

    def _discriminator(self, depth: int, size_px: int):
        layers, down = self._keras.layers, self._keras.Sequential()
        down.add(self._keras.Input((size_px, size_px, 3)))
        for _ in range(depth):
            down.add(layers.Conv2D(WIDTH, 4, strides=2, padding="same", use_bias=False))
            down.add(layers.BatchNormalization(scale=False))
            down.add(layers.LeakyReLU(negative_slope=SLOPE))
        down.add(layers.Flatten())
        down.add(layers.Dropout(DROPOUT))
        down.add(layers.Dense(1, dtype="float32"))
        return down

    def train(self, pictures: np.ndarray, interrupted: threading.Event, seed: int) -> int:
        """Trains until it is interrupted; returns the pictures seen."""
        tf = self._tf
        step = tf.function(self._step)
        batches = (
            tf.data.Dataset.from_tensor_slices(pictures)
            .shuffle(len(pictures), seed=seed)
            .repeat()
            .batch(BATCH, drop_remainder=True)
            .map(lambda batch: tf.cast(batch, tf.float32) / 255.0)
            .prefetch(2)
        )
        images = 0
        for batch in batches:
            step(batch)
            images += BATCH
            if interrupted.is_set():
                break
        return images

    def _augmented(self, images):
        chosen = self._tf.random.uniform((BATCH, 1, 1, 1)) < self.probability
        return self._tf.where(chosen, self.augmenter(images, training=True), images)

    def _step(self, real_images) -> None:
        tf = self._tf
        loss = self._keras.losses.BinaryCrossentropy(from_logits=True)
        real_images = self._augmented(real_images)
        with tf.GradientTape(persistent=True) as tape:
            fake_images = self.generator(tf.random.normal((BATCH, LATENTS)), training=True)
            # Apart, so that each half has its own statistics.
            real_logits = self.discriminator(real_images, training=True)
            fake_logits = self.discriminator(self._augmented(fake_images), training=True)
            g_loss = loss(tf.ones_like(fake_logits), fake_logits)
            both = tf.concat([real_logits, fake_logits], 0)
            labels = tf.concat([tf.ones_like(real_logits), tf.zeros_like(fake_logits)], 0)
            d_loss = loss(labels, both)
        for adam, network, value in zip(
            self._adams, (self.generator, self.discriminator), (g_loss, d_loss), strict=True
        ):
            weights = network.trainable_variables
            adam.apply(tape.gradient(value, weights), weights)
        accuracy = tf.reduce_mean(tf.cast(real_logits > 0, tf.float32))
        moved = self.probability + (accuracy - TARGET) / INTEGRATION_STEPS
        self.probability.assign(tf.clip_by_value(moved, 0.0, 1.0))
        for averaged, weight in zip(self.averaged.weights, self.generator.weights, strict=True):
            averaged.assign(AVERAGE * averaged + (1 - AVERAGE) * weight)

    def pictures(self, count: int) -> np.ndarray:
        """Returns uint8 `[count, H, W, 3]` of the averaged generator."""
        latents = self._tf.random.normal((count, LATENTS))
        drawn = [
            self.averaged(latents[begin : begin + BATCH], training=False).numpy()
            for begin in range(0, count, BATCH)
        ]
        return np.rint(np.concatenate(drawn) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
