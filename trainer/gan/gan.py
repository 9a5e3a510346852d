"""The GAN as a Keras model: `compile`, `fit`, `train_step`.

Owns the order of one step and the state that a checkpoint holds. What a loss
is, is in `losses` and `halves`; how gradients of several workers become one,
in `trainer.distribution`.

The step, alternating (default): latents, one generator pass, D's update on
real and generated pictures, the updated D on the same pictures, G's update by
the chain rule through the pass already made, the averaged generator.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from trainer.agreement import Agreement
from trainer.config import Config
from trainer.distribution import WAITED, Distribution, ReplicaAdam
from trainer.gan import ema, spectral
from trainer.gan.adaptive import AdaptiveStrength
from trainer.gan.augment import Augmentation
from trainer.gan.draws import Draws
from trainer.gan.figures import StepFigures
from trainer.gan.halves import SIGNS, Halves, Logs
from trainer.gan.inputs import Inputs, Rows
from trainer.gan.loss_scale import LossScale
from trainer.gan.parts import gradients_in_parts
from trainer.gan.runner import SAID, StepRunner
from trainer.gan.state import is_finite, read_state, variable_bytes, variables, write_state
from trainer.gan.updates import Update
from trainer.gan.values import Values, values_at


class GAN(keras.Model):
    """A generator and a discriminator trained against each other.

    Built by `trainer.gan.build.build_gan`: the networks inside the
    distribution's scope, this model outside of it, because Keras' `fit` starts
    a model made inside a scope with a trial batch, which would shift the order.

    Args:
        generator: Latents `[n, latent_dim]` to pictures `[n, H, W, 3]`.
        discriminator: Pictures to logits `[n, 1]`.
        ema_generator: The averaged generator, same shapes as `generator`.
        config: The run's config.
        distribution: Where the step runs.
        draws: Random numbers of this worker's rows.

    Attributes:
        step: Finished steps, on the host.
        last_figures: Figures of the last step, tensors on the device; see `train_step`.
        logs_to_fit: Whether `fit` is given these figures. It turns them into numbers after
            every call, which waits for the device; a worker has callbacks that ask less often.
        figures: What steps told.
        adaptive: The strength of augmentation where it is adaptive, else None.
        steps_this_call: `step -> number of steps until the next boundary`.
        agreement: What ranks tell one another with every call of steps.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        ema_generator: keras.Model,
        *,
        config: Config,
        distribution: Distribution,
        draws: Draws,
    ) -> None:
        super().__init__(name="gan")
        self.generator = generator
        self.discriminator = discriminator
        self.ema_generator = ema_generator
        self.config = config
        self.distribution = distribution
        self.draws = draws
        self.step = 0
        self.agreement = Agreement(distribution.rank, distribution.world_size)
        self.last_figures: Logs = {}
        self.logs_to_fit = True
        self.steps_this_call: Callable[[int], int] = lambda step: 1
        half = config.precision == "float16"
        self.d_scale, self.g_scale = LossScale(half, "d"), LossScale(half, "g")
        self.figures = StepFigures(config.loss)
        self.augmentation = Augmentation(config.augment.kinds)
        self.adaptive = AdaptiveStrength(config) if config.augment.is_adaptive else None
        self.inputs = Inputs(
            config,
            draws,
            self.augmentation,
            discriminator.input.dtype,
            generator.input.dtype,
        )
        self.halves = Halves(
            discriminator,
            config.loss,
            config.training.update_batch,
            self.d_scale,
            self.g_scale,
            self.augmentation,
            lambda total: distribution.sum_over_replicas([total])[0],
            counts_signs=config.augment.is_adaptive,
        )

    def compile(  # type: ignore[override]
        self,
        generator_optimizer: ReplicaAdam,
        discriminator_optimizer: ReplicaAdam,
        *,
        jit: bool = False,
        run_eagerly: bool = False,
    ) -> None:
        """Sets the optimizers, which must have been built on the networks' weights.

        Args:
            generator_optimizer: Updates `generator`.
            discriminator_optimizer: Updates `discriminator`.
            jit: Compile the step with XLA; with several workers what lies between its
                collectives, which cannot be compiled.
            run_eagerly: Do not trace the step.
        """
        super().compile(optimizer=None, run_eagerly=run_eagerly, jit_compile=False)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self.update_generator = Update(generator_optimizer, self.g_scale, self.distribution)
        self.update_discriminator = Update(discriminator_optimizer, self.d_scale, self.distribution)
        self._jit = jit and self.distribution.world_size == 1
        self._jit_between = jit and not run_eagerly and self.distribution.world_size > 1

    def call(self, latents: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Draws pictures from the averaged generator.

        Args:
            latents: `[n, latent_dim]`.
            training: Ignored; the averaged generator is never trained by itself.

        Returns:
            Pictures `[n, H, W, 3]` in [-1, 1].
        """
        return self.ema_generator(latents, training=False)

    def make_train_function(self, force: bool = False) -> Callable:
        """Returns the function that `fit` calls with its iterator, see `StepRunner`."""
        if force or self.train_function is None:  # type: ignore[has-type]
            self.train_function = self._train_function(self.runner())
        return self.train_function

    def runner(self) -> StepRunner:
        """Returns a new runner of this model's step."""
        return StepRunner(
            self.distribution,
            self.train_step,
            self.agreement,
            penalty_every_steps=self.config.loss.due_every_steps,
            jit=self._jit,
            eager=self.run_eagerly,
        )

    def _train_function(self, runner: StepRunner) -> Callable:
        def train(iterator: Any) -> Logs:
            count = self.steps_this_call(self.step)
            logs = runner.run(iterator, self.step, count)
            self.step += count
            self.last_figures = logs
            return logs if self.logs_to_fit else {}

        return train

    def train_step(self, data: tuple[tf.Tensor, ...], with_penalty: bool = False) -> Logs:
        """One adversarial step on this worker's rows.

        Args:
            data: uint8 pictures `[n, H, W, 3]`, the number of finished steps, int64 scalar, and
                with several workers what this one says to the others, float32 vector.
            with_penalty: Whether gradient penalties are due.

        Returns:
            Scalars summed over workers: `d_loss` = `d_loss_real` + `d_loss_fake`, `g_loss`,
            mean logits, and the last penalties, not multiplied by their interval. With several
            workers also what `trainer.gan.runner` takes out: the sum of what they said, and how
            long this one waited for the others.
        """
        images, step, *said = data
        say: Logs = {SAID: said[0]} if said else {}
        inputs = self.inputs
        drawn = inputs.real_images(images, step), inputs.latents(step), inputs.rows(step)
        dtype = tf.as_dtype(self.discriminator.output.dtype)
        strength = self.adaptive.strength if self.adaptive else None
        values = values_at(self.config, step, dtype, strength)
        *early, last = inputs.dealt(*drawn)
        waits = [self._discriminator_alone(*part, values, with_penalty) for part in early]
        spectral.iterate(self.discriminator, self.distribution.local)
        whole = self._step_in_parts if self.config.training.micro_batch else self._step_at_once
        logs = whole(*last, values, with_penalty, say)
        for name in [name for name in logs if name.startswith(WAITED)]:
            logs[name] += sum(waited[name] for waited in waits if name in waited)
        if self.adaptive:
            logs |= self.adaptive.update(logs.pop(SIGNS), step)
        self._average(step, values)
        return self.figures.of(logs, step)

    def _discriminator_alone(
        self, real_images, latents, rows: Rows, values: Values, with_penalty: bool
    ) -> Logs:
        """An update of D that none of G follows. G's moving statistics move once a step only."""
        spectral.iterate(self.discriminator, self.distribution.local)
        with keras.StatelessScope():
            fake_images = self._between(lambda z: self.generator(z, training=True), latents)
        half = partial(self.halves.discriminator_half, with_penalty=with_penalty)
        gradients, logs = self._between(half, real_images, fake_images, rows, values)
        return self.update_discriminator(gradients, logs, values.discriminator_rate)

    def _step_at_once(
        self, real_images, latents, rows: Rows, values: Values, with_penalty: bool, say: Logs
    ) -> Logs:
        """The whole batch in one pass of G.

        With several workers G's gradients are computed while D's are on the wire only in the
        simultaneous update: the alternating one's G half begins with the updated D. What does
        not need it, G's pass, stands before the exchange already.
        """
        weights = [v.value for v in self.generator.trainable_variables]
        if not with_penalty:
            # A penalty is taken at the picture before the augmentation; without one both halves
            # can see the same augmented pictures, and the augmentation belongs to G's pass.
            seen_through = partial(self.augmentation, strength=values.augment_strength)
            real_images = self._between(seen_through, real_images, rows.augment_real)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            fake_images = self._between(lambda z: self.generator(z, training=True), latents)
            if not with_penalty:
                fake_images = self._between(seen_through, fake_images, rows.augment_fake)
                rows = rows.all_done()
        seen = real_images, tf.stop_gradient(fake_images), rows, values
        if self.config.training.update == "simultaneous":
            both = partial(self.halves.both, with_penalty=with_penalty)
            gradients, at_fake, logs = self._between(both, *seen)
            g_logs: Logs = {}
        else:
            half = partial(self.halves.discriminator_half, with_penalty=with_penalty)
            gradients, logs = self._between(half, *seen)
        logs = self.update_discriminator(gradients, logs | say, values.discriminator_rate)
        if self.config.training.update == "alternating":
            at_fake, g_logs = self._between(self.halves.generator_half, *seen)
        gradients = tape.gradient(fake_images, weights, output_gradients=at_fake)
        return logs | self.update_generator(gradients, g_logs, values.generator_rate)

    def _step_in_parts(
        self, real_images, latents, rows: Rows, values: Values, with_penalty: bool, say: Logs
    ) -> Logs:
        """The same step with activations of one part in memory; G runs twice."""
        size = self.config.training.micro_batch
        weights = [v.value for v in self.generator.trainable_variables]

        def generator_part(real_part, latents_part, *drawn):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(weights)
                fake_part = self.generator(latents_part, training=True)
            at_fake, logs = self.halves.generator_half(
                real_part, tf.stop_gradient(fake_part), Rows(*drawn), values
            )
            return tape.gradient(fake_part, weights, output_gradients=at_fake), logs

        def discriminator_part(real_part, latents_part, *drawn):
            fake_part = tf.stop_gradient(self.generator(latents_part, training=True))
            return self.halves.discriminator_half(
                real_part, fake_part, Rows(*drawn), values, with_penalty
            )

        def summed(part):
            return self._between(
                partial(gradients_in_parts, part, size), real_images, latents, *rows
            )

        if self.config.training.update == "alternating":
            gradients, logs = summed(discriminator_part)
            logs = self.update_discriminator(gradients, logs | say, values.discriminator_rate)
            gradients, g_logs = summed(generator_part)
            return logs | self.update_generator(gradients, g_logs, values.generator_rate)
        g_gradients, g_logs = summed(generator_part)
        gradients, logs = summed(discriminator_part)
        logs = self.update_discriminator(gradients, logs | say, values.discriminator_rate)
        return logs | self.update_generator(g_gradients, g_logs, values.generator_rate)

    def _between(self, part: Callable, *tensors: Any) -> Any:
        """Runs what needs no other worker, compiled if asked for."""
        return (tf.function(part, jit_compile=True) if self._jit_between else part)(*tensors)

    def _average(self, step: tf.Tensor, values: Values) -> None:
        training = self.config.training
        # The ramp forgets early, bad weights; those of another run are neither.
        ramp = None if training.start_from else (step + 1) * training.global_batch
        beta = ema.decay(ramp, training.global_batch, values.half_life_images)
        local = self.distribution.local
        ema.update(
            [local(v) for v in self.ema_generator.variables],
            [local(v) for v in self.generator.variables],
            beta,
        )

    @property
    def state_bytes(self) -> int:
        """Bytes of everything that a checkpoint holds."""
        return sum(map(variable_bytes, variables(self).values()))

    @property
    def is_finite(self) -> bool:
        """Whether every number that a checkpoint would hold is finite; waits for the device."""
        return is_finite(self)

    def state(self) -> dict[str, np.ndarray]:
        """Returns host copies of everything a checkpoint holds, see `trainer.gan.state`."""
        return read_state(self)

    def load_state(self, state: dict[str, np.ndarray], step: int) -> None:
        """Puts a checkpoint's arrays back; `step` steps are then finished."""
        write_state(self, state)
        self.step = step
