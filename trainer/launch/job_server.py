"""The job server of a Ray cluster: what is asked of it, and our words for its refusals.

Owns the connection (Ray's Job Submission SDK), its time limits and the form of its
address. Does not own what a job is (`jobs.py`, `job_package.py`) nor following one
(`following.py`).
"""

import contextlib
import logging
import os
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from trainer.errors import ClusterError, ConfigError
from trainer.launch import ray_address
from trainer.launch.ray_address import last_line

JOB_SERVER_VARIABLE = "RAY_API_SERVER_ADDRESS"
CONNECT_SECS, ANSWER_SECS = 5.0, 60.0
"""How long the server may take to accept a connection, and to answer a question."""
READY_SECS = 90.0
"""How long a head that has just started may take until it takes jobs."""
_CHATTY = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_NOT_READY = "No available agent"
_ADDRESSES = (JOB_SERVER_VARIABLE, ray_address.ADDRESS_VARIABLE)
_LET_IN = "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=FILE, with the cluster's token"
State = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]


@dataclass(frozen=True)
class Job:
    """A job as the server describes it.

    Attributes:
        id: Its submission id.
        state: `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED` or `FAILED`.
        message: What the server says of it.
        metadata: Given with the submission.
        exit_code: Of its command, once that has ended by itself.
        started_ms, ended_ms: Unix time in milliseconds; None while it has not.
    """

    id: str
    state: State
    message: str = ""
    metadata: dict[str, str] | None = None
    exit_code: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in ("STOPPED", "SUCCEEDED", "FAILED")


def is_job_server(address: str | None) -> bool:
    """Says whether an address is that of a job server, and not of a node to join."""
    return address is not None and "://" in address


def address_of(given: str | None) -> str:
    """Returns the address of the job server: the given one, or that of RAY_API_SERVER_ADDRESS.

    Raises:
        ConfigError: There is none, or it has another form, or a password in it.
    """
    address = (given or os.environ.get(JOB_SERVER_VARIABLE) or "").rstrip("/")
    if not address:
        raise ConfigError(
            "no cluster is named",
            expected="--address http://HEAD:8265, the address of its dashboard",
            remedy=f"give --address, or export {JOB_SERVER_VARIABLE}=http://HEAD:8265",
        )
    parts = urllib.parse.urlsplit(address)
    if parts.username or parts.password:
        raise ConfigError(
            f"the address of {parts.hostname} has a name or password in it",
            expected="http://HEAD:8265; an address is written into logs",
            remedy=f"leave them out; {_LET_IN}",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{address!r} is not the address of a job server",
            expected="http://HEAD:8265 or https://…, the address of the cluster's dashboard",
            remedy="from a node of the cluster, 'catgan train CONFIG --address auto' needs none",
        )
    return address


def is_on_this_machine(address: str) -> bool:
    """Says whether a job server is reached over the loopback, and so shares this disk."""
    host = urllib.parse.urlsplit(address).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


class JobServer:
    """A connected job server.

    Args:
        address: See `address_of`.

    Attributes:
        address: The same.
        ray_version: Of the cluster.

    Raises:
        ClusterError: Nothing answers there, something else does, or it wants another token.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        with self._our_words("asking for its version"), _only(address):
            self._client = _client(address)
        self.ray_version = str(self._client._server_ray_version or "")

    def submit(
        self, job_id: str, command: str, runtime_env: dict[str, Any], metadata: dict[str, str]
    ) -> None:
        """Sends what the job needs, and starts it.

        A head whose server answers may not have all its parts yet: then it is asked again.

        Raises:
            ClusterError: The server refuses, for example because the id was used before.
        """
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

        ready = Retrying(
            retry=retry_if_exception(lambda error: _NOT_READY in str(error)),
            stop=stop_after_delay(READY_SECS),
            wait=wait_fixed(2),
            reraise=True,
        )
        with self._our_words(f"submitting {job_id}"):
            ready(
                self._client.submit_job,
                entrypoint=command,
                submission_id=job_id,
                runtime_env=runtime_env,
                metadata=metadata,
            )

    def jobs(self) -> list[Job]:
        """Returns all submitted jobs that the cluster remembers."""
        with self._our_words("listing its jobs"):
            return [_job(found) for found in self._client.list_jobs() if found.submission_id]

    def job(self, job_id: str) -> Job:
        """Returns one job; raises ClusterError where there is none."""
        with self._our_words(f"asking for job {job_id}"):
            return _job(self._client.get_job_info(job_id))

    def stop(self, job_id: str) -> bool:
        """Asks a job to end; returns whether it was running."""
        with self._our_words(f"stopping {job_id}"):
            return self._client.stop_job(job_id)

    def log(self, job_id: str) -> str:
        """Returns all that a job has written."""
        with self._our_words(f"reading the log of {job_id}"):
            return self._client.get_job_logs(job_id)

    def tail(self, job_id: str) -> AsyncIterator[str]:
        """Yields what a job has written, from its beginning, and what it writes until it ends."""
        return self._client.tail_job_logs(job_id)

    @contextlib.contextmanager
    def _our_words(self, doing: str) -> Iterator[None]:
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            got = "another one" if "Invalid" in str(error) else "none"
            raise ClusterError(
                f"the cluster at {self.address} wants a token and got {got}",
                expected="the token that its head was started with",
                remedy=_LET_IN,
            ) from None
        except (ConnectionError, requests.exceptions.RequestException) as error:
            raise ClusterError(
                f"no job server answers at {self.address} ({doing}: {_short(error)})",
                expected="the dashboard of a running Ray head, often port 8265",
                remedy="check the address; from outside Kubernetes: kubectl port-forward "
                "service/HEAD-SERVICE 8265:8265",
            ) from None
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ClusterError(
                f"the job server at {self.address} refuses ({doing}): {_short(error)}",
                expected="a Ray cluster of the version of this program",
                remedy="look at its dashboard, or ask with 'catgan doctor'",
            ) from error


def _client(address: str) -> Any:
    """Returns Ray's client, whose questions have a time limit here."""
    from ray.job_submission import JobSubmissionClient

    # These tell of every file they send, on standard error.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)

    class Client(JobSubmissionClient):
        def _do_request(self, method: str, endpoint: str, **given: Any) -> Any:
            given.setdefault("timeout", (CONNECT_SECS, ANSWER_SECS))
            return super()._do_request(method, endpoint, **given)

    return Client(address)


@contextlib.contextmanager
def _only(address: str) -> Iterator[None]:
    """Hides the variables that Ray's client takes instead of the address it is given."""
    kept = {name: os.environ.pop(name) for name in _ADDRESSES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def _job(found: Any) -> Job:
    return Job(
        id=found.submission_id,
        state=str(getattr(found.status, "value", found.status)),  # type: ignore[arg-type]
        message=found.message or "",
        metadata=dict(found.metadata or {}),
        exit_code=found.driver_exit_code,
        started_ms=found.start_time,
        ended_ms=found.end_time,
    )


def _short(error: BaseException) -> str:
    return last_line(error).removeprefix("RuntimeError: ")
