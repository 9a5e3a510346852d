"""W workers equal one (C4): plain processes, a prepared data set, and no Ray."""

import numpy as np
import pytest

from tests.distribution_worker import DAWDLE_SECS, DAWDLES, SAYS, STEPS, UNSAYS
from tests.worlds import Worlds, assert_same_run, assert_same_state

pytestmark = pytest.mark.timeout(1200)

# Five lanes are uneven for two, three and four workers.
COMMON = [
    "precision=float64",
    "dataset.size_px=32",
    "dataset.lanes=5",
    "model.base_channels=4",
    "model.latent_dim=8",
    "training.global_batch=10",
    "loss.penalty_every_steps=4",
]
NORMS = ["model.generator_norm=batch", "model.discriminator_norm=batch"]
NO_PENALTY = ["loss.r1_weight=0", "loss.r2_weight=0"]
# Cases share processes, those of the default run and the slow ones apart.
QUICK = {
    "pairing": [],
    "batch norm": [*NORMS, *NO_PENALTY, "loss.name=non_saturating"],
    "batch norm in G, penalties, calls of five": [
        "model.generator_norm=batch",
        "training.steps_per_call=5",
    ],
    "parts, simultaneous": ["training.micro_batch=3", "training.update=simultaneous"],
    "average, cut, scheduled": [
        "loss.name=relativistic_average",
        "discriminator_optimizer.clip_norm=0.1",
        "generator_optimizer.rate=2e-4 to 5e-5",
        "loss.r1_weight=2 to 0.2 linear",
        "ema.half_life_images=0 to 100",
        "training.steps=20",
    ],
    "augmented, gradient penalty": [
        "loss.name=wasserstein",
        *NO_PENALTY,
        "loss.gradient_penalty_weight=10",
        "augment.kinds=[colour, translation, cutout, geometric]",
        "augment.strength=0.2 to 0.8",
        "training.steps=20",
    ],
    "two updates of D, spectral": [
        "training.discriminator_updates=2",
        "model.spectral_norm=true",
        "loss.name=hinge",
    ],
    "adaptive augmentation, calls of five": [
        "loss.name=non_saturating",
        "augment.kinds=[colour, translation, geometric]",
        "augment.strength=adaptive",
        "augment.adaptive_target=0.1",
        "augment.adaptive_every_steps=2",
        "augment.adaptive_images=100",
        "training.steps_per_call=5",
    ],
    "R1": ["loss.r2_weight=0"],
    "R1, compiled": ["loss.r2_weight=0", "jit=true"],
    "float32": ["precision=float32"],
    "bfloat16": ["precision=bfloat16"],
    # Gradients of such a penalty are larger than half precision can be, at first.
    "float16": ["precision=float16", "loss.r1_weight=3000"],
}
ROUNDED = ("float32", "bfloat16", "float16")
SLOW = {
    "parts": ["training.micro_batch=3"],
    "parts of one, simultaneous": ["training.micro_batch=1", "training.update=simultaneous"],
    "simultaneous": ["training.update=simultaneous"],
    "parts, compiled": ["training.micro_batch=3", "jit=true"],
    "simultaneous, compiled": ["training.update=simultaneous", "jit=true"],
    "local batch norm": [*QUICK["batch norm"], "model.batch_norm=local"],
    "local batch norm, compiled": [*QUICK["batch norm"], "model.batch_norm=local", "jit=true"],
}
THREE = ["pairing", "batch norm in G, penalties, calls of five"]
FOUR = [*THREE, "batch norm", "parts, simultaneous"]


def _reference(case: str) -> str:
    return case.removesuffix(", compiled")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    cases = {name: [*COMMON, *more] for name, more in (QUICK | SLOW).items()}
    return Worlds(tmp_path_factory.mktemp("worlds"), cases)


@pytest.fixture(scope="module")
def one(worlds):
    return worlds(1, list(QUICK))


@pytest.fixture(scope="module")
def two(worlds):
    return worlds(2, [case for case in QUICK if case != "R1"])


def _assert_same_rows(alone: dict, ranks: list[dict]) -> None:
    """What the ranks saw and drew, put together, is what one worker saw and drew."""
    np.testing.assert_array_equal(np.sort(np.concatenate([r["rows"] for r in ranks])), range(10))
    assert len({len(r["rows"]) for r in ranks}) > 1, "the shares are to be uneven"
    for name in ("seen/pictures", "seen/latents"):
        for ours in ranks:
            np.testing.assert_array_equal(ours[name], alone[name][:, ours["rows"]], err_msg=name)
        rows = alone[name].reshape(STEPS * 10, -1)
        assert len(np.unique(rows, axis=0)) >= 33, "the rows are to differ"


@pytest.mark.parametrize("case", [case for case in QUICK if case not in ("R1", *ROUNDED)])
def test_two_workers_equal_one(one, two, case):
    assert_same_run(one[_reference(case)][0], two[case])
    if "compiled" not in case:
        _assert_same_rows(one[case][0], two[case])


@pytest.mark.parametrize("case", THREE)
def test_three_workers_equal_one(worlds, one, case):
    three = worlds(3, THREE)
    assert_same_run(one[case][0], three[case])
    _assert_same_rows(one[case][0], three[case])


def test_compiled_equals_plain(one):
    assert_same_run(one["R1"][0], one["R1, compiled"])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in SLOW if "local" not in case])
def test_two_workers_equal_one_in_more_cases(worlds, case):
    assert_same_run(worlds(1, list(SLOW))[_reference(case)][0], worlds(2, list(SLOW))[case])


@pytest.mark.slow
@pytest.mark.parametrize("case", FOUR)
def test_four_workers_equal_one(worlds, one, case):
    four = worlds(4, FOUR)
    assert_same_run(one[case][0], four[case])
    _assert_same_rows(one[case][0], four[case])


def test_losses_agree_in_float32(one, two):
    for name in ("figure/d_loss", "figure/g_loss"):
        losses = one["float32"][0][name]
        assert len(losses) == STEPS
        for state in two["float32"]:
            np.testing.assert_allclose(state[name], losses, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("case", ["bfloat16", "float16"])
def test_workers_in_half_precision_stay_together(one, two, case):
    """Bit for bit, also where a step is skipped because its gradients overflow on one of them."""
    first, second = two[case]
    for name in (n for n in one[case][0] if not n.startswith(("heard/", "seen/", "rows"))):
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    begun = slice(0, 3)
    for name in ("figure/d_loss", "figure/g_loss"):
        np.testing.assert_allclose(first[name][begun], one[case][0][name][begun], rtol=0.05)
    skipped = STEPS - first["discriminator_optimizer/iterations"]
    assert (0 < skipped < STEPS) == (case == "float16")


def test_a_difference_is_seen(one, two):
    """The comparison can fail: rounding of another precision is not within it."""
    with pytest.raises(AssertionError):
        assert_same_run(one["pairing"][0], two["float32"])


@pytest.mark.slow
def test_statistics_of_each_worker_alone_are_another_computation(worlds):
    with pytest.raises(AssertionError):
        assert_same_run(
            worlds(1, list(SLOW))["local batch norm"][0],
            worlds(2, list(SLOW))["local batch norm"],
        )


@pytest.mark.slow
def test_compiled_equals_plain_with_local_statistics(worlds):
    several = worlds(2, list(SLOW))
    plain, compiled = several["local batch norm"], several["local batch norm, compiled"]
    for rank, (one, other) in enumerate(zip(plain, compiled, strict=True)):
        assert_same_state(one, other, f"rank {rank}")


@pytest.mark.parametrize("case", ["pairing", "R1, compiled"])
def test_ranks_hear_the_same_after_the_same_call(two, case):
    said = [float(SAYS < call <= UNSAYS) for call in range(STEPS)]
    for state in two[case]:
        np.testing.assert_array_equal(state["heard/stop"], said)
        np.testing.assert_array_equal(state["heard/busy_secs"], two[case][0]["heard/busy_secs"])
        # The first call tells of none before it.
        assert (state["heard/busy_secs"][1:] > 0).all()
        assert not any("said" in name or "waited" in name for name in state)


def test_who_waits_is_not_busy(two):
    """Rank 0 waits for rank 1 in the step's collective, and is not taken for the slower one."""
    # Told with the call after the one that it delayed.
    busy = two["pairing"][0]["heard/busy_secs"][np.array(DAWDLES) + 2]
    assert (busy[:, 1] > DAWDLE_SECS).all()
    assert (busy[:, 0] < busy[:, 1]).any()
