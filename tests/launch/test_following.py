"""A followed log is shown to its end, also where a connection dies without a word."""

import asyncio

from trainer.launch import following
from trainer.launch.job_server import Job


class Silent:
    """A server whose connection carries the first line, and then nothing more, for ever."""

    address = "http://head:8265"

    async def tail(self, job_id):
        yield "first line\n"
        await asyncio.sleep(3600)

    def log(self, job_id):
        return "first line\nwhat went wrong\n"

    def job(self, job_id):
        return Job("job", "FAILED", exit_code=7)


def test_the_end_of_the_log_is_shown_though_the_connection_fell_silent(monkeypatch):
    monkeypatch.setattr(following, "_SILENCE_SECS", 0.2)
    told, lost = [], []
    end = following.Follower(Silent(), "job", told.append, lost.append).to_the_end()
    assert end.exit_code == 7
    assert "".join(told) == "first line\nwhat went wrong\n"
    assert not lost
