"""The log of a job on this terminal, and what Ctrl-C means while it is watched.

Owns how lines from afar look here: on a terminal one line of progress replaces the one
before. Following itself is `trainer.launch.following`'s.
"""

import re
import sys
from typing import IO, Any

import click

from trainer.command_line import catgan

_PROGRESS = re.compile(r"step [\d,]+ of [\d,]+.* left$")


class Screen:
    """Writes pieces of a log line by line.

    Args:
        stream: Where to; on a terminal, lines of progress replace one another.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._rest = ""
        self._passing = False

    def tell(self, piece: str) -> None:
        """Writes the whole lines of a piece; keeps what is not whole yet."""
        *lines, self._rest = (self._rest + piece).split("\n")
        for line in lines:
            self._line(line)
        self._stream.flush()

    def end(self) -> None:
        """Writes what is left."""
        if self._rest:
            self._line(self._rest)
            self._rest = ""
        if self._passing:
            self._stream.write("\n")
        self._passing = False
        self._stream.flush()

    def _line(self, line: str) -> None:
        if not self._terminal:
            self._stream.write(line + "\n")
            return
        if self._passing:
            self._stream.write("\r\x1b[2K")
        self._passing = bool(_PROGRESS.search(line))
        self._stream.write(line if self._passing else line + "\n")


def watch(server: Any, job_id: str, stream: IO[str]) -> Any:
    """Shows a job's log until it ends; Ctrl-C asks what is meant.

    Args:
        server: `trainer.launch.job_server.JobServer`.
        job_id: The job.
        stream: Where its log goes.

    Returns:
        `trainer.launch.following.JobEnd`.

    Raises:
        KeyboardInterrupt: The person wants to stop watching; the job goes on.
    """
    from trainer.launch.following import Follower

    screen = Screen(stream)
    follower = Follower(server, job_id, screen.tell, lambda line: click.echo(line, err=True))
    while True:
        try:
            return follower.to_the_end()
        except KeyboardInterrupt:
            screen.end()
            if _wish(server, job_id) == "watch":
                continue
            server.stop(job_id)
            click.echo("the job was asked to stop, after a checkpoint", err=True)
        finally:
            screen.end()


def _wish(server: Any, job_id: str) -> str:
    """Asks whether to stop the job; raises KeyboardInterrupt for: only stop watching."""
    again = catgan("logs", job_id, "--address", server.address, "--follow")
    if not sys.stdin.isatty():
        click.echo(f"the job goes on; watch it again: {again}", err=True)
        raise KeyboardInterrupt
    try:
        answer = click.prompt(
            f"Job {job_id} still runs. Stop [j]ob after a checkpoint, stop [w]atching only, or "
            "[g]o on",
            type=click.Choice(["j", "w", "g"]),
            default="w",
            err=True,
        )
    except click.Abort:
        answer = "w"
    if answer == "w":
        click.echo(f"the job goes on; watch it again: {again}", err=True)
        raise KeyboardInterrupt
    return "stop" if answer == "j" else "watch"
