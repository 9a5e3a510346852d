"""Commands that benchmarks run to their end."""

import pytest

from benchmarks.command import catgan


def test_a_command_gives_its_standard_output():
    assert catgan("--version").startswith("catgan ")


def test_a_command_that_fails_ends_the_benchmark_with_what_it_said():
    with pytest.raises(SystemExit, match=r"inspect nowhere ended with 3:\s+error: "):
        catgan("inspect", "nowhere")
