"""Every pair of choices that two workers may train, on uneven shares: the run of one (C4).

In double precision, where equality can be told; half precision on two workers is
`test_distribution`'s.
"""

import pytest

from tests.pairs import MOST_ROWS, NEUTRAL, allowed, covering_rows, words
from tests.worlds import Worlds, assert_same_run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

WORKERS = 2
# Rows share processes: starting one takes longer than training a row.
TOGETHER = 4


def cases():
    return {
        str(number): [*words(row), "precision=float64"]
        for number, row in enumerate(covering_rows(WORKERS)[0])
    }


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    return Worlds(tmp_path_factory.mktemp("worlds"), cases())


def test_rows_are_few_and_what_they_lack_is_refused():
    rows, refused = covering_rows(WORKERS)
    assert len(rows) <= MOST_ROWS
    assert not any(allowed({**NEUTRAL, **dict(pair)}, WORKERS) for pair in refused)


@pytest.mark.parametrize("number", range(MOST_ROWS))
def test_two_workers_equal_one(worlds, number):
    names = list(cases())
    if number >= len(names):
        pytest.skip(f"{len(names)} rows cover all")
    first = number // TOGETHER * TOGETHER
    together = names[first : first + TOGETHER]
    alone, both = worlds(1, together), worlds(WORKERS, together)
    assert_same_run(alone[str(number)][0], both[str(number)])
