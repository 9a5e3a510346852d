"""The connection to Google Cloud Storage.

Owns the one client of each process. Does not retry, and knows no objects.
Credentials are found by google-auth the usual way and never looked at or
logged here; with STORAGE_EMULATOR_HOST set there are none.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from trainer.errors import ConfigError

if TYPE_CHECKING:
    from google.cloud.storage import Client

EMULATOR_VARIABLE = "STORAGE_EMULATOR_HOST"
_CONNECTIONS = 64  # as many threads as may talk at once without reconnecting

_lock = threading.Lock()
_clients: dict[tuple[int, str], Client] = {}


def _forget_after_fork() -> None:
    """A child must not share its parent's sockets, nor a lock that a thread held."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget_after_fork)


def emulator() -> str:
    """The address of a stand-in for Google's service, or an empty string.

    Raises:
        ConfigError: The variable holds something else.
    """
    address = os.environ.get(EMULATOR_VARIABLE, "")
    if address and not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"{EMULATOR_VARIABLE}={address!r} is not the address of a server",
            expected="an address such as http://localhost:4443",
            remedy=f"export {EMULATOR_VARIABLE}=http://{address}, or unset it",
        )
    return address


def client() -> Client:
    """This process's client for the service that the environment names now.

    Raises:
        google.auth.exceptions.DefaultCredentialsError: No credentials are found.
    """
    key = (os.getpid(), emulator())
    with _lock:
        if key not in _clients:
            _clients[key] = _connect(emulated=bool(key[1]))
        return _clients[key]


def _connect(*, emulated: bool) -> Client:
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud.storage import Client
    from requests.adapters import HTTPAdapter

    try:
        if emulated:
            made = Client(project="emulated", credentials=AnonymousCredentials())
        else:
            made = Client(project=None)
    except GoogleAuthError:
        raise
    except Exception as error:
        # A damaged key file fails in many ways, and the text of some quotes it.
        raise DefaultCredentialsError(f"unusable credentials ({type(error).__name__})") from None
    made._bucket_metadata_cache = None  # asks for the bucket behind our back, for tracing only
    session = made._http  # the session has no public name; its pool of 10 is too small
    if emulated:
        session.trust_env = False  # no proxy stands between us and an emulator
    if not getattr(session, "is_mtls", False):
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_connections=8, pool_maxsize=_CONNECTIONS))
    return made
