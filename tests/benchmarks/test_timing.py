"""Turns, ratios and mean steps of `benchmarks/timing.py`."""

from benchmarks import timing


def test_contestants_take_turns_and_the_first_round_does_not_count():
    calls = []

    def contestant(name, secs):
        return lambda: (calls.append(name), [secs, 3 * secs, 2 * secs])[1]

    times = timing.interleaved({"a": contestant("a", 1.0), "b": contestant("b", 2.0)}, 2)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert times["a"] == timing.Series((2.0, 2.0), 1.0)
    assert timing.ratio(times["a"], times["b"]) == timing.Ratio(0.5, 0.5, 0.5)


def test_the_mean_step_weighs_rare_steps():
    mean = timing.mixed(timing.Series((1.0,), 1.0), timing.Series((5.0,), 3.0), 4)
    assert mean == timing.Series((2.0,), 1.5)
