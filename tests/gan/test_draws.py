"""Draws are a function of seed, purpose, step and row."""

import numpy as np
import tensorflow as tf

from trainer.gan.draws import Draws

STEP = tf.constant(7, tf.int64)


def test_rows_of_several_workers_are_those_of_one():
    whole = Draws(3, 8).normal("latents", STEP, [5]).numpy()
    for rows in ([0, 2, 4, 6], [1, 3, 5, 7], [6]):
        part = Draws(3, 8, np.array(rows)).normal("latents", STEP, [5])
        np.testing.assert_array_equal(part, whole[rows])


def test_seed_purpose_step_and_update_each_give_other_numbers():
    draws = Draws(3, 4)
    first = draws.uniform("flip", STEP).numpy()
    others = [
        Draws(4, 4).uniform("flip", STEP),
        draws.uniform("latents", STEP),
        draws.uniform("flip", STEP + 1),
        draws.uniform("flip", STEP, variant=1),
    ]
    np.testing.assert_array_equal(first, draws.uniform("flip", STEP))
    for other in others:
        assert not np.array_equal(first, other)


def test_ranges():
    draws = Draws(0, 4000)
    uniform = draws.uniform("a", STEP, [3], low=-1.0).numpy()
    assert -1 <= uniform.min() < -0.99
    assert 0.99 < uniform.max() < 1
    normal = draws.normal("a", STEP, [3]).numpy()
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05


def test_compiled_and_plain_draws_are_the_same():
    draws = Draws(5, 16)
    compiled = tf.function(lambda s: draws.normal("latents", s, [9]), jit_compile=True)
    np.testing.assert_array_equal(compiled(STEP), draws.normal("latents", STEP, [9]))
