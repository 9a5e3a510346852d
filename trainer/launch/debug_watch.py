"""Looks into an eager training step: parts, layers, numbers.

Owns the hooks on one `GAN` object: each part of `train_step` and each layer is
timed and its result looked at, in the order of the step. The step itself is not
changed. Only for eager steps: in a traced one there is nothing to see.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from trainer.gan.gan import GAN
from trainer.gan.state import network_variables
from trainer.gan.updates import Update
from trainer.launch.debug_numbers import Numbers, bad_tensor, describe, is_finite
from trainer.launch.debug_report import Report

# What runs between the end of a part and the next hook, where that is more than glue.
_NAMELESS = {"D again: gradient at the pictures": "G backward"}
_JUDGED = ("real pictures", "generated pictures", "pictures between them")


class Watch:
    """Hooks a model and fills a report while it trains.

    Args:
        gan: The model, run eagerly.
        report: Is filled.
    """

    def __init__(self, gan: GAN, report: Report) -> None:
        self._gan = gan
        self._report = report
        self._weights = [
            (name.removeprefix("/"), variable)
            for network in (gan.generator, gan.discriminator)
            for name, variable in network_variables(network, "")
        ]
        self._names = {id(variable): name for name, variable in self._weights}
        self._step = 0
        self._judged = 0
        self._where = ""
        self._last = ""
        self._clock = 0.0
        self._looking_secs = 0.0
        self._depth = 0
        self._half_now = "D"
        self._bad: tuple[Numbers, list[Numbers]] | None = None

    def install(self) -> None:
        """Puts the hooks in place."""
        gan, halves = self._gan, self._gan.halves
        self._hook(gan, "train_step", self._whole_step)
        self._hook(gan.inputs, "real_images", self._part("real pictures"))
        self._hook(gan.inputs, "latents", self._part("latents"))
        self._hook(gan.generator, "call", self._generator)
        self._hook(gan.discriminator, "call", self._discriminator)
        self._hook(halves, "_judge", self._judge)
        self._hook(halves, "_discriminator_loss", self._loss)
        self._hook(halves, "discriminator_half", self._half("D", "D backward"))
        self._hook(halves, "both", self._half("D", "D and G: backward through D"))
        self._hook(halves, "generator_half", self._half("D again", next(iter(_NAMELESS))))
        self._hook(gan, "update_discriminator", self._update("D"))
        self._hook(gan, "update_generator", self._update("G"))
        self._hook(gan, "_average", self._averaged)
        for network, letter in ((gan.generator, "G"), (gan.discriminator, "D")):
            for layer in network.layers:
                if not isinstance(layer, keras.layers.InputLayer):
                    self._hook(layer, "call", self._layer(letter, layer))

    def _hook(self, owner: Any, name: str, around: Callable) -> None:
        """Replaces a method of one object by `around(original, *args)`."""
        original = getattr(owner, name)

        def hooked(*args: Any, **options: Any) -> Any:
            return around(original, *args, **options)

        setattr(owner, name, hooked)

    def _whole_step(self, original: Callable, data: Any, **options: Any) -> Any:
        self._step = int(data[1]) + 1
        self._report.begin_step(self._step)
        self._check_weights("before the step")
        self._restart()
        logs = original(data, **options)
        self._mark("figures", logs)
        self._check_weights("after the step")
        self._report.end_step()
        return logs

    def _part(self, name: str) -> Callable:
        def around(original: Callable, *args: Any) -> Any:
            result = original(*args)
            self._look(name, result)
            self._mark(name, result)
            return result

        return around

    def _generator(self, original: Callable, *args: Any, **options: Any) -> Any:
        self._gap()
        self._where = "G's forward pass"
        result = self._inside_keras(original, *args, **options)
        self._mark("G forward", result, may_raise=False)
        return result

    def _discriminator(self, original: Callable, *args: Any, **options: Any) -> Any:
        half = self._half_now
        relative = half == "D" or self._gan.halves._loss.relative
        which = _JUDGED[min(self._judged, 2)] if relative else _JUDGED[1]
        self._judged += 1
        self._where = f"D on {which}" + (", after its update" if half == "D again" else "")
        result = self._inside_keras(original, *args, **options)
        self._mark(f"{half} on {which}", result, may_raise=False)
        return result

    def _inside_keras(self, original: Callable, *args: Any, **options: Any) -> Any:
        # Keras rewrites an error that passes through a layer: ours waits until outside.
        self._depth += 1
        try:
            return original(*args, **options)
        finally:
            self._depth -= 1

    def _judge(self, original: Callable, images: Any, *args: Any) -> Any:
        judged = original(images, *args)
        if judged.penalty is not None:
            name = f"{'R1' if self._judged % 2 else 'R2'} penalty: gradient at the pictures"
            self._look(name, judged.penalty)
            self._mark(name, images)
        self._raise()
        return judged

    def _loss(self, original: Callable, *args: Any) -> Any:
        loss, logs = original(*args)
        for name, value in {**logs, "D's loss with penalties": loss}.items():
            self._look(name, value)
        self._mark("D loss", loss)
        return loss, logs

    def _half(self, half: str, rest: str) -> Callable:
        def around(original: Callable, *args: Any, **options: Any) -> Any:
            self._raise()
            self._half_now, self._judged = half, 0
            result = original(*args, **options)
            for name, value in result[-1].items():
                self._look(name, value)
            if half == "D again":
                self._look("the gradient of g_loss at the generated pictures", result[0])
            self._mark(rest, result[0] if half == "D again" else None)
            return result

        return around

    def _update(self, letter: str) -> Callable:
        def around(original: Update, gradients: Any, *args: Any) -> Any:
            self._gap()
            optimizer = original.optimizer
            # Under a loss scale an overflow is part of the game: the update is left out.
            if not original.scale.enabled:
                self._look_at_gradients(optimizer, gradients)
            self._raise()
            self._restart()
            result = original(gradients, *args)
            self._mark(f"{letter} update", None)
            self._look_at_update(optimizer, f"after {letter}'s update", gradients)
            self._raise()
            self._restart()
            return result

        return around

    def _look_at_gradients(self, optimizer: Any, gradients: Any) -> None:
        for variable, gradient in zip(optimizer._trainable_variables, gradients, strict=True):
            name = self._names[id(variable)]
            self._look(f"the gradient at {name}", gradient, {"the weight": variable.value})

    def _look_at_update(self, optimizer: Any, when: str, gradients: Any) -> None:
        slots = optimizer._momentums, optimizer._velocities
        for variable, mean, square, gradient in zip(
            optimizer._trainable_variables, *slots, gradients, strict=True
        ):
            name, made_from = self._names[id(variable)], {"the gradient": gradient}
            self._look(f"Adam's mean of the gradient at {name} {when}", mean.value, made_from)
            self._look(f"Adam's mean of its square at {name} {when}", square.value, made_from)
            self._look(f"the weight {name} {when}", variable.value, made_from)

    def _averaged(self, original: Callable, *args: Any) -> None:
        original(*args)
        self._mark("averaged generator", None)
        for name, variable in network_variables(self._gan.ema_generator, "averaged"):
            self._look(f"the weight {name}", variable.value)
        self._raise()
        self._restart()

    def _layer(self, letter: str, layer: Any) -> Callable:
        def around(original: Callable, *args: Any, **options: Any) -> Any:
            self._sync()
            began = time.perf_counter()
            result = original(*args, **options)
            self._sync()
            secs = time.perf_counter() - began
            self._report.layer(letter, layer, result, secs)
            name = f"the output of {layer.name} ({type(layer).__name__}; {self._where})"
            looked = time.perf_counter()
            self._look(name, result, {"its input": args[0], **_values(layer.variables)})
            self._looking_secs += time.perf_counter() - looked
            return result

        return around

    def _check_weights(self, when: str) -> None:
        for name, variable in self._weights:
            self._look(f"the weight {name} {when}", variable.value)
        self._raise()

    def _look(self, name: str, tensor: Any, made_from: Mapping[str, Any] | None = None) -> None:
        """Remembers the first tensor that is not finite, and what it was made from."""
        if self._bad is None and tensor is not None and not is_finite(tensor):
            around = [describe(what, value) for what, value in (made_from or {}).items()]
            self._bad = describe(name, tensor), around

    def _raise(self) -> None:
        if self._bad is not None:
            raise bad_tensor(self._step, *self._bad)

    def _gap(self) -> None:
        if self._last in _NAMELESS:
            self._mark(_NAMELESS[self._last], None, may_raise=False)

    def _restart(self) -> None:
        self._sync()
        self._last, self._clock, self._looking_secs = "", time.perf_counter(), 0.0

    def _mark(self, name: str, result: Any, *, may_raise: bool = True) -> None:
        """Books the time since the last mark under a part's name."""
        self._sync()
        now = time.perf_counter()
        # What the looking costs is nobody's.
        self._report.part(name, result, now - self._clock - self._looking_secs)
        if may_raise and not self._depth:
            self._raise()
        self._last, self._clock, self._looking_secs = name, time.perf_counter(), 0.0

    def _sync(self) -> None:
        if self._report.on_gpu:
            tf.test.experimental.sync_devices()


def _values(variables: Iterable[keras.Variable]) -> dict[str, Any]:
    """The float variables of a layer by their names."""
    return {v.name: v.value for v in variables if "float" in str(v.dtype)}
