"""What is said beside a distance, and which networks are taken unasked."""

import json

import pytest

from trainer.evaluation import efficientnet, inception, networks, scale

LADDERS = {
    "net": {
        "64": {
            "passed": True,
            "wrong": [],
            "weights_sha256": "w",
            "rungs": [["undamaged", 0.0, 0.1], ["blur", 0.2, 0.1], ["noise", 0.1, 0.1]],
        },
        "32": {"passed": False, "wrong": ["noise"], "weights_sha256": "w", "rungs": []},
    }
}


@pytest.fixture
def ladders(monkeypatch):
    monkeypatch.setattr(scale, "_ladders", lambda: LADDERS)


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (0.15, "farther than noise (0.1000), nearer than blur (0.2000)"),
        (-0.1, "nearer than undamaged (0.0000)"),
        (0.3, "farther than blur (0.2000)"),
    ],
)
def test_a_distance_stands_between_two_rungs(ladders, distance, said):
    (line,) = scale.told("net", "w", 64, distance)
    assert line.endswith(f": {said}")


@pytest.mark.parametrize(
    ("network", "weights", "size_px", "said"),
    [
        ("net", "w", 32, "failed its ladder at 32 px (noise)"),
        ("net", "other weights", 64, "has climbed no ladder"),
        ("net", "w", 128, "has climbed no ladder"),
        ("other", "w", 64, "has climbed no ladder"),
    ],
)
def test_a_network_that_has_not_shown_that_it_can_judge(ladders, network, weights, size_px, said):
    assert said in scale.told(network, weights, size_px, 0.1)[0]


def test_the_shipped_ladders_are_of_the_shipped_network():
    found = scale._ladders()
    assert json.dumps(found)
    for size_px in ("32", "64", "128"):
        ladder = found["efficientnet-lite0"][size_px]
        assert ladder["weights_sha256"] == efficientnet.sha256()
        assert ladder["passed"] == (not ladder["wrong"])


def test_auto_takes_what_passed(ladders, monkeypatch):
    monkeypatch.setattr(inception, "here", lambda: False)
    monkeypatch.setattr(networks, "EFFICIENTNET", "net")
    assert networks.expanded(("auto",), 64) == ("net",)
    # At none: the network whole; its verdict stands beside the figure.
    assert networks.expanded(("auto", "x.keras"), 32) == ("net", "x.keras")
    # One that is here and has climbed nothing stands behind one that has passed.
    monkeypatch.setattr(inception, "here", lambda: True)
    assert networks.expanded(("auto",), 64) == ("net",)
