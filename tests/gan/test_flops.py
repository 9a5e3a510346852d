"""The count of a step's operations against arithmetic on paper."""

import pytest
import tensorflow as tf

from trainer.gan.build import build_gan
from trainer.gan.flops import count_flops, step_flops


def counted(function, *shapes):
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    return count_flops(tf.function(function).get_concrete_function(*specs))


def test_a_matrix_product():
    assert counted(tf.matmul, [3, 4], [4, 5]) == 2 * 3 * 4 * 5


def test_a_transposed_matrix_product():
    assert counted(lambda a, b: tf.matmul(a, b, transpose_a=True), [4, 3], [4, 5]) == 2 * 3 * 4 * 5


CONVOLUTION = 2 * (2 * 4 * 4 * 7) * (3 * 3 * 5)


def convolve(pictures, kernel):
    return tf.nn.conv2d(pictures, kernel, strides=2, padding="SAME")


def test_a_convolution():
    assert counted(convolve, [2, 8, 8, 5], [3, 3, 5, 7]) == CONVOLUTION


def test_both_gradients_of_a_convolution_cost_as_much_again():
    def both(pictures, kernel):
        with tf.GradientTape() as tape:
            tape.watch([pictures, kernel])
            loss = tf.reduce_sum(convolve(pictures, kernel) ** 2)
        return tape.gradient(loss, [pictures, kernel])

    assert counted(both, [2, 8, 8, 5], [3, 3, 5, 7]) == 3 * CONVOLUTION


def test_what_nobody_asks_for_is_not_counted():
    def one(pictures, kernel):
        with tf.GradientTape() as tape:
            tape.watch([pictures, kernel])
            loss = tf.reduce_sum(convolve(pictures, kernel) ** 2)
        return tape.gradient(loss, [pictures, kernel])[1]

    assert counted(one, [2, 8, 8, 5], [3, 3, 5, 7]) == 2 * CONVOLUTION


def test_a_transposed_convolution():
    def up(pictures, kernel):
        return tf.nn.conv2d_transpose(pictures, kernel, [2, 8, 8, 5], strides=2)

    assert counted(up, [2, 4, 4, 7], [3, 3, 5, 7]) == CONVOLUTION


def test_functions_inside_functions_and_branches():
    product = tf.function(tf.matmul)

    def nested(a, b):
        dear = lambda: product(product(a, b), b)  # noqa: E731
        return tf.cond(tf.reduce_sum(a) > 0, dear, lambda: product(a, b)) + product(a, b)

    assert counted(nested, [3, 4], [4, 4]) == 3 * 2 * 3 * 4 * 4


def test_work_in_a_loop_of_unknown_rounds_is_refused():
    def loop(a):
        return tf.while_loop(lambda x: tf.reduce_sum(x) < 1, lambda x: [x @ x], [a])

    with pytest.raises(ValueError, match="loop"):
        counted(loop, [3, 3])


def test_unknown_shapes_are_refused():
    with pytest.raises(ValueError, match="not known"):
        counted(tf.matmul, [None, 4], [4, 5])


def test_a_step_in_parts_costs_one_more_pass_of_the_generator(small):
    plain = step_flops(build_gan(small()))
    parts = step_flops(build_gan(small("training.micro_batch=4")))
    gan = build_gan(small())
    forward = tf.function(lambda z: gan.generator(z, training=True))
    spec = tf.TensorSpec([6, 8], tf.float64)
    once_more = count_flops(forward.get_concrete_function(spec))
    assert once_more > 0
    assert parts.plain - plain.plain == parts.penalty - plain.penalty == once_more


def test_the_mean_spreads_the_penalty_over_its_interval(small):
    flops = step_flops(build_gan(small("loss.penalty_every_steps=4")))
    assert flops.plain < flops.penalty
    assert flops.mean == pytest.approx((3 * flops.plain + flops.penalty) / 4)
    without = step_flops(build_gan(small("loss.r1_weight=0", "loss.r2_weight=0")))
    assert without.plain == without.penalty == without.mean == flops.plain


def test_simultaneous_updates_spare_two_passes_of_the_discriminator(small):
    alternating, simultaneous = (
        step_flops(build_gan(small(f"training.update={update}"))).plain
        for update in ("alternating", "simultaneous")
    )
    assert simultaneous < alternating
