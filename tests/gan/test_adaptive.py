"""The strength of augmentation follows the signs of D's logits (ADA)."""

import numpy as np
import pytest
import tensorflow as tf

from trainer import config as configs
from trainer.errors import ConfigError
from trainer.gan.adaptive import AdaptiveStrength
from trainer.gan.build import build_gan

ADAPTIVE = ["loss.name=hinge", "augment.kinds=[colour]", "augment.strength=adaptive"]


def _strengths(adaptive, signs, first=0):
    """The strength after each step that has these sums of signs."""
    found = []
    for step, total in enumerate(signs, first):
        adaptive.update(tf.constant(float(total)), tf.constant(step, tf.int64))
        found.append(float(adaptive.strength))
    return found


def _adaptive(small, *overrides):
    quick = ["augment.adaptive_every_steps=2", "augment.adaptive_images=40", *overrides]
    return AdaptiveStrength(small(*ADAPTIVE, *quick))


def test_the_strength_by_hand(small):
    """6 pictures a step, target 0.6: 12 pictures decide, and move it by 12/40."""
    adaptive = _adaptive(small)
    # Means: 10/12 above; 6/12 below; 12/12; 12/12; 12/12 and no more than 1; 7/12 below.
    signs = [4, 6, 6, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 3, 4]
    expected = [0, 0.3, 0.3, 0, 0, 0.3, 0.3, 0.6, 0.6, 0.9, 0.9, 1, 1, 1, 1, 0.7]
    np.testing.assert_allclose(_strengths(adaptive, signs), expected, atol=1e-12)
    assert _strengths(_adaptive(small), [-6, -6]) == [0, 0]


def test_the_target_and_several_updates_count(small):
    assert _strengths(_adaptive(small, "augment.adaptive_target=-0.5"), [0, 0])[1] == 0.3
    both = _adaptive(small, "training.discriminator_updates=2")
    # Three pictures of a step's six are the last update's.
    assert _strengths(both, [3, 3])[1] == pytest.approx(0.3)
    assert float(both.judged) == 0


def test_the_next_step_uses_it_and_a_checkpoint_holds_it(small, pictures, train):
    """Stopped between two decisions and gone on with equals never stopped, counters included."""
    options = [*ADAPTIVE, "augment.adaptive_every_steps=3", "augment.adaptive_images=40"]
    options.append("augment.adaptive_target=-1")  # any mean sign above it raises the strength
    whole, part = build_gan(small(*options)), build_gan(small(*options))
    figures = train(whole, pictures[:4])
    assert figures["augment_strength"] == pytest.approx(3 * 6 / 40)
    assert -1 <= figures["d_real_sign"] <= 1
    train(part, pictures[:2])
    assert part.state()["adaptive/augment_judged"] == 12
    again = build_gan(small(*options))
    again.load_state(part.state(), 2)
    train(again, pictures[2:4], first=2)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(again.state()[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("loss", "undecided"), [("hinge", 0.0), ("non_saturating", 0.0), ("least_squares", 0.5)]
)
def test_signs_are_those_of_logits_less_what_a_guess_is(small, pictures, train, loss, undecided):
    """Least squares wants 1 of real and 0 of generated pictures: half of that tells nothing."""
    gan = build_gan(small(*ADAPTIVE, f"loss.name={loss}"))
    *_, last = gan.discriminator.layers
    last.kernel.assign(np.zeros(last.kernel.shape))
    for logit, sign in ((undecided - 0.1, -1), (undecided, 0), (undecided + 0.1, 1)):
        last.bias.assign([logit])
        gan.discriminator_optimizer.learning_rate = 0.0
        figures = train(gan, pictures[:1])
        assert figures["d_real_sign"] == sign


@pytest.mark.parametrize("loss", ["wasserstein", "relativistic_average", "relativistic_pairing"])
def test_losses_without_a_zero_are_refused(loss):
    with pytest.raises(ConfigError, match="no zero") as refused:
        configs.from_text("", [*ADAPTIVE, f"loss.name={loss}"])
    assert "0 to 0.3" in refused.value.remedy


def test_the_config_is_written_and_read_again():
    config = configs.from_text("", ADAPTIVE)
    assert configs.from_text(configs.to_yaml(config)) == config
    with pytest.raises(ConfigError, match=r"augment\.strength"):
        configs.from_text("", ["augment.strength=adaptiv"])
