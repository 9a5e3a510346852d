"""What an error of the bucket's client means.

Owns the line between faults that pass (try again) and those that a person must
mend, and the text of the latter. Does not wait or try again: `retry.py` does.
"""

import http.client
import json
import os

import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse

from trainer.errors import StorageError
from trainer.storage.client import EMULATOR_VARIABLE, emulator

KEY_FILE_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
_PASSING_STATUS = (408, 409, 410, 425, 429)
_SESSION_ENDED_STATUS = (409, 410, 425)
_PASSING_TYPES = (
    ConnectionError,
    TimeoutError,
    DataCorruption,
    http.client.HTTPException,
    json.JSONDecodeError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    requests.exceptions.JSONDecodeError,
    urllib3.exceptions.HTTPError,
)
_RATE_REASONS = ("rateLimitExceeded", "userRateLimitExceeded")


class Damaged(ConnectionError):
    """Bytes arrived that are not the object's: a flipped bit, a short body, a newer write."""


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error; None if there was no answer."""
    if isinstance(error, api.GoogleAPICallError):
        return error.code
    if isinstance(error, InvalidResponse):
        return error.response.status_code
    return None


def passes(error: BaseException) -> bool:
    """Whether the same request may well succeed a little later."""
    status = status_of(error)
    if status is not None:
        if status == 403:
            reasons = [e.get("reason") for e in getattr(error, "errors", []) if isinstance(e, dict)]
            return any(reason in _RATE_REASONS for reason in reasons)
        if status == 400:
            return _is_checksum_refusal(error)
        return status >= 500 or status in _PASSING_STATUS
    if isinstance(error, auth.TransportError):
        return True
    if isinstance(error, auth.GoogleAuthError):
        return bool(getattr(error, "retryable", False))
    return isinstance(error, _PASSING_TYPES)


def passes_in_session(error: BaseException) -> bool:
    """Whether a chunk may well get through within the same upload session.

    After these answers the session is gone, or its client takes it for that: only a new one helps.
    """
    return passes(error) and status_of(error) not in _SESSION_ENDED_STATUS


def _is_checksum_refusal(error: BaseException) -> bool:
    """The service got other bytes than were sent: its 400 for a wrong checksum."""
    text = str(error).lower()
    return any(word in text for word in ("crc32c", "md5", "checksum"))


def in_one_line(error: BaseException) -> str:
    """A short name for a fault, without headers or credentials."""
    status = status_of(error)
    if status is not None:
        return f"HTTP {status}"
    if isinstance(error, requests.Timeout | TimeoutError | urllib3.exceptions.TimeoutError):
        return "no answer in time"
    if isinstance(error, Damaged | DataCorruption):
        return str(error).strip().splitlines()[0]
    cause = str(error).lower()
    if "refused" in cause:
        return "connection refused"
    if "resolve" in cause or "name or service" in cause:
        return "the host's name is not known"
    if "incomplete" in cause or "connection broken" in cause:
        return "the answer was cut short"
    if "reset" in cause or "aborted" in cause:
        return "connection reset"
    return type(error).__name__


def explain(error: BaseException, verb: str, address: str) -> StorageError:
    """The error for a person, of a fault that will not pass."""
    status = status_of(error)
    bucket = "/".join(address.split("/")[:3])
    what = f"cannot {verb} {address}: {in_one_line(error)}"
    if isinstance(error, auth.DefaultCredentialsError):
        return _no_credentials(
            f"cannot {verb} {address}: no usable Google Cloud credentials were found{_key_file()}"
        )
    if isinstance(error, auth.GoogleAuthError):
        return _no_credentials(f"cannot {verb} {address}: the credentials were refused")
    if status == 401:
        return _no_credentials(f"{what} (the credentials are missing or no longer valid)")
    if status == 403:
        return StorageError(
            f"{what} (these credentials may not do this)",
            expected=f"the role roles/storage.objectUser on {bucket}",
            remedy=(
                f"gcloud storage buckets add-iam-policy-binding {bucket} "
                "--member=user:YOU@EXAMPLE.COM --role=roles/storage.objectUser"
            ),
        )
    if status == 404:
        return missing_bucket(address)
    return StorageError(
        what if status else f"{what} ({str(error)[:300]})",
        expected="an answer that Google Cloud Storage documents",
        remedy=f"gcloud storage ls {bucket}"
        + (f"; check the server at {EMULATOR_VARIABLE}={emulator()}" if emulator() else ""),
    )


def missing_bucket(address: str) -> StorageError:
    """The error of any call in a bucket that does not exist."""
    bucket = "/".join(address.split("/")[:3])
    return StorageError(
        f"the bucket of {address} does not exist",
        expected=f"a bucket at {bucket}",
        remedy=f"gcloud storage buckets create {bucket} --location=REGION, or mend the address",
    )


def _key_file() -> str:
    path = os.environ.get(KEY_FILE_VARIABLE)
    return f" ({KEY_FILE_VARIABLE} is {path})" if path else ""


def _no_credentials(what: str) -> StorageError:
    return StorageError(
        what,
        expected=(
            "application default credentials, a workload identity, or a key file named by "
            + KEY_FILE_VARIABLE
        ),
        remedy="gcloud auth application-default login",
    )
