"""What the ablation's page says of arms: better, worse, by chance, or too few seeds to say."""

import pytest

from benchmarks.ablation_arms import SHIPPED
from benchmarks.ablation_page import refuse_unlike, verdicts


def rows_of(arm, distances):
    """A row for each seed; None: it diverged."""
    return [
        {"arm": arm}
        | ({} if value is None else {"figures": {"net": {"kernel_distance": {"value": value}}}})
        for value in distances
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ([0.1, 0.12], [0.3, 0.4], "has 0.31 of the distance of `seed2018`, beyond the seeds"),
        ([0.1, 0.35], [0.3, 0.4], "**within** the seeds' spread"),
        ([0.3, 0.31], [0.1, 0.11], "has 2.90 of the distance of `seed2018`, beyond the seeds"),
        ([0.1], [0.3], "one seed each"),
        ([0.1, 0.12], [0.3], "one seed on one side"),
        ([0.1, None, 0.12], [0.3, 0.4], f"**1 of 3 seeds of `{SHIPPED}` diverged**"),
    ],
)
def test_the_difference_of_two_arms_is_told(ours, theirs, told):
    (said,) = verdicts([*rows_of(SHIPPED, ours), *rows_of("seed2018", theirs)])
    assert told in said


def test_figures_of_unlike_origin_are_in_no_table():
    one, other = ({"provenance": {"net": {"count": count}}} for count in (875, 800))
    refuse_unlike([one, {}, one])
    with pytest.raises(ValueError, match="unlike origin"):
        refuse_unlike([one, other])


def test_nothing_is_said_of_an_arm_that_always_diverged():
    assert not list(verdicts([*rows_of(SHIPPED, [None]), *rows_of("seed2018", [0.3])]))
