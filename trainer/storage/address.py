"""Addresses of folders and names of objects.

Owns the two kinds of address (a local path, `gs://bucket/prefix`), their one
canonical spelling, and the rule that a name never leaves its folder. Does no
input or output: a well-formed address may lead nowhere.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from trainer.errors import ConfigError

SCHEME = "gs://"
MAX_NAME_BYTES = 1024
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_FOREIGN_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_EXPECTED = "a folder such as runs/cats64, or gs://bucket/prefix"

Address = str | os.PathLike[str]


class BucketAddress(NamedTuple):
    """The parts of `gs://bucket/prefix`; `prefix` has no slash at either end."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket}/{self.prefix}" if self.prefix else SCHEME + self.bucket


def is_bucket(address: Address) -> bool:
    """Whether the address names a bucket; says nothing about its being well formed."""
    return os.fspath(address).startswith(SCHEME)


def parse_bucket(address: str) -> BucketAddress:
    """Take `gs://bucket/prefix` apart.

    Raises:
        ConfigError: The bucket's or the prefix's spelling is impossible.
    """
    bucket, _, prefix = address.removeprefix(SCHEME).partition("/")
    if not _BUCKET_NAME.fullmatch(bucket):
        raise ConfigError(
            f"the address {address!r} names the bucket {bucket!r}, which cannot exist",
            expected="3 or more of a-z, 0-9, - _ and ., with a-z or 0-9 at both ends",
            remedy="write it as gs://bucket/prefix; `gcloud storage ls` lists your buckets",
        )
    prefix = prefix.rstrip("/")
    if prefix:
        check_name(prefix, within=SCHEME + bucket)
    return BucketAddress(bucket, prefix)


def canonical(address: Address) -> str:
    """The one spelling of an address: `gs://bucket/prefix` or an absolute path.

    Args:
        address: As a person wrote it; `~` stands for the home folder. Symbolic
            links are kept as they are.

    Raises:
        ConfigError: It is empty, of another scheme, or impossible.
    """
    text = os.fspath(address)
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ConfigError(
            f"{text!r} is not an address", expected=_EXPECTED, remedy="give the whole address"
        )
    if text.startswith(SCHEME):
        return str(parse_bucket(text))
    scheme = _FOREIGN_SCHEME.match(text)
    if scheme and not Path(text).exists():
        raise ConfigError(
            f"the address {text!r} begins with {scheme[0]!r}, which is not a known kind",
            expected=_EXPECTED,
            remedy=_scheme_remedy(scheme[1].lower()),
        )
    return os.path.abspath(os.path.expanduser(text))


def _scheme_remedy(scheme: str) -> str:
    if scheme in ("gs", "gcs"):
        return "write gs:// in small letters with two slashes: gs://bucket/prefix"
    if scheme == "file":
        return "leave file:// out and give the path alone"
    return "copy it into a folder or a gs:// bucket first"


def is_name(name: str) -> bool:
    """Whether something may be called so inside a folder; see `check_name`."""
    parts = name.split("/")
    length_bytes = len(name.encode("utf-8", "surrogatepass"))
    odd = "\0" in name or any(part in ("", ".", "..") for part in parts)
    return not odd and length_bytes <= MAX_NAME_BYTES


def check_name(name: str, *, within: str) -> str:
    """Return the name if it stays inside its folder.

    Args:
        name: Parts joined by `/`, e.g. `checkpoints/step-000012000/manifest.json`.
        within: Address of the folder, for the message.

    Raises:
        ConfigError: The name is empty, absolute, has `.`, `..` or empty parts,
            or is longer than `MAX_NAME_BYTES` in UTF-8.
    """
    if not is_name(name):
        raise ConfigError(
            f"{name[:200]!r} cannot be a name inside {within}",
            expected=(
                "parts joined by single slashes, none of them '.' or '..', no slash at either "
                f"end, at most {MAX_NAME_BYTES} bytes"
            ),
            remedy="give a name that stays inside the folder",
        )
    return name


def join(address: Address, *names: str) -> str:
    """Append names to an address: `join("gs://b/runs", "a", "run.json")`.

    Raises:
        ConfigError: The address is malformed or a name would leave it.
    """
    base = canonical(address)
    tail = [check_name(name.strip("/"), within=base) for name in names]
    return "/".join([base.rstrip("/"), *tail])


def split_address(address: Address) -> tuple[str, str]:
    """Split the address of one object into its folder's address and its name.

    Raises:
        ConfigError: The address is malformed, or names a bucket or root alone.
    """
    whole = canonical(address)
    if is_bucket(whole):
        bucket, prefix = parse_bucket(whole)
        folder, _, name = prefix.rpartition("/")
        parent = str(BucketAddress(bucket, folder))
    else:
        parent, name = os.path.split(whole)
    if not name:
        raise ConfigError(
            f"{whole} names no object",
            expected=f"an object in a folder, such as {whole.rstrip('/')}/file",
            remedy="add the object's name to the address",
        )
    return parent, name
