"""How this package reaches the workers of a Ray cluster, and that it is the same one there.

Owns the runtime environment of a job on a cluster that somebody else started: the
package's own folder, what it requires, and the environment variables that storage
reads. Owns the comparison of a worker's sources with the driver's. Does not
connect, see `ray_cluster.py`.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import trainer
from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError

Package = Literal["code", "pip", "none"]
"""What is sent: this package's sources; the same, and pip installs what it requires on every
node; or nothing, because an image or the job's own runtime environment brings it."""

# Both sides compute: another version could give other numbers, or not understand the messages.
_SHARED = ("tensorflow", "keras", "numpy", "ray")
_DISTRIBUTION = "catgan"
_MAX_BYTES = 20_000_000
_FORWARDED = ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")
_FORWARDED_PREFIX = "CATGAN_"
# Ray puts the environment of `ray job submit` here. It refuses a second one with the same fields.
_JOB_CONFIG_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@dataclass(frozen=True)
class Mark:
    """What a worker must have in common with the driver.

    Attributes:
        version: Of this package.
        digest: Over its sources, hexadecimal.
        libraries: Version of each library that must be equal, by distribution.
    """

    version: str
    digest: str
    libraries: tuple[tuple[str, str], ...] = ()


def mark(*libraries: str) -> Mark:
    """Returns the mark of this process.

    Args:
        libraries: Distributions whose versions must be equal, such as `pillow`.
    """
    found = tuple((name, _version(name)) for name in libraries)
    return Mark(trainer.__version__, _digest(), found)


def training_mark() -> Mark:
    """Returns what the workers that train must have in common with this process."""
    return mark(*_SHARED)


def must_match(expected: Mark) -> None:
    """Refuses to work for a driver whose package or libraries are others. Call it in a worker.

    Args:
        expected: The driver's mark.

    Raises:
        ClusterError: They differ; names this host, and what differs.
    """
    here = mark(*(name for name, _ in expected.libraries))
    if here == expected:
        return
    host, folder = socket.gethostname(), _folder()
    if here.digest != expected.digest:
        raise ClusterError(
            f"host {host} runs another catgan: version {here.version}, sources "
            f"{here.digest[:12]}, in {folder}",
            expected=f"the one of the program that asked: version {expected.version}, sources "
            f"{expected.digest[:12]}",
            remedy=f"update {folder} there; or let the sources be sent, and start the program in "
            "a folder that is no checkout: workers look first for one of the same path",
        )
    pairs = zip(here.libraries, expected.libraries, strict=True)
    name, found, wanted = next((n, a, b) for (n, a), (_, b) in pairs if a != b)
    raise ClusterError(
        f"host {host} has {name} {found or 'not at all'}",
        expected=f"{name} {wanted or 'none'}, as on the host of the program that asked",
        remedy=f"install {name}=={wanted} on all nodes, or start them from one image",
    )


def extras_for(settings: ClusterSettings) -> tuple[str, ...]:
    """Returns the optional requirements of a config's workers: TensorFlow's CUDA for GPUs."""
    return ("gpu",) if settings.gpus_per_worker else ()


def runtime_env(package: Package, extras: tuple[str, ...] = ()) -> dict[str, Any]:
    """Returns Ray's runtime environment for a job on a cluster that runs already.

    What `ray job submit --runtime-env` set for this job stands; Ray merges the two.

    Args:
        package: What is sent.
        extras: Optional requirements to install too, such as `gpu`; only with `pip`.

    Raises:
        ClusterError: The package's folder holds too much to be its own.
    """
    _digest()  # now, and not after somebody has edited what is sent
    wanted: dict[str, Any] = {"env_vars": variables()}
    if package != "none":
        wanted["py_modules"] = [str(path) for path in folders()]
        wanted["excludes"] = ["__pycache__/"]
    if package == "pip":
        wanted["pip"] = {"packages": requirements(extras), "pip_check": False}
    return _beside(wanted, _of_the_job())


def requirements(extras: tuple[str, ...] = ()) -> list[str]:
    """Returns what pip has to install beside this package, as requirement strings.

    Ray's own version is the cluster's: another one in a worker could not talk to it.
    """
    try:
        stated = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ClusterError(
            f"the requirements of {_DISTRIBUTION} are unknown: it is not installed here",
            expected="an installed package, for its list of requirements",
            remedy="pip install -e . in the checkout, or send the sources only",
        ) from error
    chosen = []
    for line in stated:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", condition)
        if extra and extra[1] not in extras:
            continue
        if not re.match(r"ray\b", requirement):
            chosen.append(requirement)
    return chosen


def _folder() -> Path:
    return Path(next(iter(trainer.__path__)))


def folders() -> list[Path]:
    """The package's folder and, where it is installed, the one with its version and name."""
    folder = _folder()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > _MAX_BYTES:
        raise ClusterError(
            f"{folder} holds {size / 1e6:,.0f} MB",
            expected=f"sources only, less than {_MAX_BYTES / 1e6:.0f} MB",
            remedy="remove from it what does not belong to the package",
        )
    return [folder, *_metadata_folder()]


def _metadata_folder() -> list[Path]:
    try:
        files = importlib.metadata.files(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Path(str(f.locate())).parent for f in files if f.name == "METADATA"]
    return [path for path in found if path.is_dir()][:1]


def variables() -> dict[str, str]:
    """Returns the environment variables that storage and this program read, for the workers."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _FORWARDED or name.startswith(_FORWARDED_PREFIX)
    }


def _of_the_job() -> dict[str, Any]:
    try:
        job = json.loads(os.environ.get(_JOB_CONFIG_VARIABLE, "{}"))
    except ValueError:
        return {}
    return dict(job.get("runtime_env") or {})


def _beside(wanted: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Leaves out of `wanted` what is in `given`: Ray refuses a field that comes twice."""
    variables = {k: v for k, v in wanted["env_vars"].items() if k not in given.get("env_vars", {})}
    rest = {name: value for name, value in wanted.items() if name not in given}
    # Whoever sends a working folder runs the package from it, or installs it.
    if "working_dir" in given or "conda" in given:
        rest = {k: v for k, v in rest.items() if k not in ("py_modules", "excludes", "pip")}
    if not variables:
        return {name: value for name, value in rest.items() if name != "env_vars"}
    return {**rest, "env_vars": variables}


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@functools.cache
def _digest() -> str:
    folder = _folder()
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(path.read_bytes()).digest()
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + content)
    return total.hexdigest()
