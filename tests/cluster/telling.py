"""Commands of ours that talk to a head's job server, as a person gives them."""

import json
import os
import subprocess
import sys

from tests.cluster.heads import Head
from tests.conftest import REPOSITORY


def told_by(there: Head, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
    """Runs a command of ours; returns its standard output, or its error if it is to fail."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer", *words],
        env={**os.environ, **there.env, "PYTHONPATH": str(REPOSITORY), **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stderr if code else done.stdout


def jobs_of(there: Head, run: str) -> list[dict]:
    """The jobs of a run, as `catgan status` tells them."""
    return json.loads(told_by(there, "status", run, "--address", there.dashboard, "--json"))["jobs"]
