"""The keys of workers, on this machine or on a Ray cluster."""

from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator

from trainer.config.kinds import Count, Section

_MOST_WORKERS = 4096


def _workers(value: Any) -> int | tuple[int, int]:
    """A number, or a pair [least, most] as YAML writes it."""
    pair = list(value) if isinstance(value, list | tuple) else [value, value]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in pair)
    if len(pair) != 2 or not whole or not 1 <= pair[0] <= pair[1] <= _MOST_WORKERS:
        raise ValueError(
            f"a whole number from 1 to {_MOST_WORKERS}, or [least, most] with least <= most"
        )
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


Workers = Annotated[
    int | tuple[int, int],
    PlainValidator(_workers),
    PlainSerializer(lambda value: value if isinstance(value, int) else list(value)),
]
KubernetesName = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
# -1: no limit.
Budget = Annotated[int, Field(ge=-1, le=10**9)]
Secs = Annotated[float, Field(gt=0, le=10**7, allow_inf_nan=False)]


class ClusterSettings(Section):
    """Workers, on this machine or on a Ray cluster."""

    workers: Workers = Field(
        1, description="processes that train together, or [least, most] as the cluster has room"
    )
    gpus_per_worker: int = Field(
        0, ge=0, le=1, description="0 or 1: one process, one replica, one GPU"
    )
    cpus_per_worker: Count = Field(2, description="cores for each worker")
    accelerator_type: str = Field(
        "", description="kind of GPU as Ray names it, such as L4 or H100; any if empty"
    )
    package: Literal["code", "pip", "none"] = Field(
        "code",
        description="sent to a running cluster: this code; also what it requires, by pip; or none",
    )
    resize_every_secs: Secs = Field(
        60, description="with [least, most]: look so often whether there is room for more workers"
    )
    start_timeout_secs: Secs = Field(
        600, description="wait at most so long for the cluster to have room, and for a start"
    )
    max_failures: Budget = Field(
        100, description="deaths of workers or nodes that a command outlives; -1: any number"
    )
    max_preemption_failures: Budget = Field(
        -1, description="the same for nodes that were taken back; -1: any number"
    )
    max_same_step_failures: Count = Field(
        3, description="failures in a row that get no further than the one before end the run"
    )
    hang_timeout_secs: Secs = Field(
        600, description="a worker that finishes no step for so long is given up"
    )
    spot: bool = Field(False, description="workers on machines that can be taken back")
    grace_secs: Secs = Field(
        120, description="from the notice that a worker's machine is taken back to its end"
    )
    spot_grace_secs: Secs = Field(
        15, description="the same on spot machines, which may ignore what is asked for"
    )
    image: str = Field("", max_length=500, description="container image, for Kubernetes")
    namespace: KubernetesName = Field("catgan", description="of Kubernetes objects")
    service_account: KubernetesName = Field(
        "catgan", description="that pods run as; it may use the bucket"
    )
    deadline_hours: float = Field(
        72, gt=0, le=10_000, allow_inf_nan=False, description="Kubernetes ends a job after so long"
    )

    @property
    def min_workers(self) -> int:
        """The fewest workers that a start may have."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def max_workers(self) -> int:
        """The most workers that a start may have."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]
