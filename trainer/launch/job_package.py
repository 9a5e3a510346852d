"""What is sent with a job: the config, this program, and the names of variables.

Owns the folder that becomes the job's working directory, its runtime environment and
the command that runs there. Nothing secret is in it: whoever can read a cluster's
dashboard can read a job's environment.
"""

import contextlib
import shlex
import shutil
import tempfile
import urllib.parse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import config as configs
from trainer.config import Config
from trainer.errors import ConfigError
from trainer.launch import ray_package

STOP_VARIABLE, STOP_SECS = "RAY_JOB_STOP_WAIT_TIME_S", 120
"""How long Ray lets a stopped job take: the step, its checkpoint, its workers' ends."""

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class Package:
    """What a job brings along.

    Attributes:
        command: What the job runs, for a shell.
        runtime_env: Ray's.
    """

    command: str
    runtime_env: dict[str, Any]


@contextlib.contextmanager
def packed(words: Sequence[str], config: Config, config_name: str = "") -> Iterator[Package]:
    """Lays out what a job needs, in a folder that lasts as long as the block.

    Args:
        words: The command behind `catgan`.
        config: Its `cluster.package` says whether the program is sent.
        config_name: The file under which the config is sent; "": it is not.

    Raises:
        ConfigError: A variable that would be sent holds a password.
        ClusterError: This program's folder holds too much to be its own.
    """
    package = config.cluster.package
    variables = {**ray_package.variables(), STOP_VARIABLE: str(STOP_SECS)}
    refuse_secrets(variables)
    with tempfile.TemporaryDirectory(prefix="catgan-job-") as name:
        folder = Path(name) / "job"
        folder.mkdir()
        if config_name:
            (folder / config_name).write_text(configs.to_yaml(config), encoding="utf-8")
        if package != "none":
            for source in ray_package.folders():
                shutil.copytree(source, folder / source.name, ignore=_IGNORED)
        runtime_env: dict[str, Any] = {"env_vars": variables}
        if any(folder.iterdir()):
            runtime_env["working_dir"] = str(folder)
        if package == "pip":
            packages = ray_package.requirements(ray_package.extras_for(config.cluster))
            runtime_env["pip"] = {"packages": packages, "pip_check": False}
        yield Package(command(words), runtime_env)


def command(words: Sequence[str]) -> str:
    """Returns what runs on the cluster. `exec`: its exit code is to be the job's."""
    return "exec " + shlex.join(["python", "-m", "trainer", *words])


def refuse_secrets(variables: dict[str, str]) -> None:
    """Raises ConfigError where a variable that would be sent is an address with a password."""
    for name, value in variables.items():
        if "://" in value and urllib.parse.urlsplit(value).password:
            raise ConfigError(
                f"{name} holds an address with a password, and would be readable on the cluster's "
                "dashboard",
                expected="credentials that the nodes have by themselves (workload identity, a "
                "mounted secret)",
                remedy=f"unset {name}, or leave the password out of it",
            )
