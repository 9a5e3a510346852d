"""A head that answers, one that comes back in time, and one that does not."""

import socket
import threading

import pytest

from trainer.errors import ClusterError
from trainer.launch import head_watch
from trainer.launch.head_watch import HeadWatch


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(head_watch, "_ASK_EVERY_SECS", 0.0)
    monkeypatch.setattr(head_watch, "_AGAIN_SECS", 0.01)


def test_one_that_answers_is_asked_again_only_after_a_while(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        watch = HeadWatch(f"127.0.0.1:{server.getsockname()[1]}", "catgan resume run")
        watch.must_answer()
    monkeypatch.setattr(head_watch, "_ASK_EVERY_SECS", 1000.0)
    watch.must_answer()  # nobody listens any more, and nobody is asked


def test_one_that_comes_back_is_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = server.getsockname()
    watch = HeadWatch(f"127.0.0.1:{where[1]}", "catgan resume run")
    again: list[socket.socket] = []

    def come_back() -> None:
        again.append(socket.create_server(where))

    timer = threading.Timer(0.2, come_back)
    timer.start()
    watch.must_answer()
    timer.join()
    assert again
    again[0].close()


def test_one_that_is_gone_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setattr(head_watch, "_PATIENCE_SECS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(ClusterError) as told:
        HeadWatch(address, "catgan resume run").must_answer()
    assert f"the head of the cluster at {address} has not answered" in told.value.what
    assert "catgan resume run" in told.value.remedy


def test_addresses_of_the_new_protocol_are_understood():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        HeadWatch(f"[::1]:{server.getsockname()[1]}", "").must_answer()
