"""The machines of Google Cloud that have a GPU for one worker, and what they can give.

Owns their names, sizes, labels and notice; `infra/terraform` makes node pools of the same. Sizes
are those that Google documents for each machine type.
"""

from dataclasses import dataclass
from typing import Any

from trainer.errors import ConfigError

POOL_LABEL = "catgan.dev/pool"
"""Label of a node pool, and key of the taint that keeps others off it."""
HEAD_POOL = "head"
"""The pool of machines that are not taken back, for heads and submitters."""
SPOT, ON_DEMAND, QUEUED = "spot", "on-demand", "queued"
"""How a machine is bought; `queued` waits for its place and then stays (Google: flex-start)."""

# What Kubernetes and its daemons keep of a machine, at most, on the sizes below.
_KEPT_CPUS, _KEPT_SHARE = 1.0, 0.15


@dataclass(frozen=True)
class Machine:
    """A machine type with at most one GPU.

    Attributes:
        name: Of the GPU as Ray names it, or `CPU`.
        machine_type: As Google names it.
        accelerator: As Google Kubernetes Engine labels it; "" without a GPU.
        cpus: Its cores.
        total_gib: Its memory, GiB.
        lasting: How it is bought so that it is not taken back.
    """

    name: str
    machine_type: str
    accelerator: str
    cpus: int
    total_gib: int
    lasting: str = ON_DEMAND

    def pool(self, provisioning: str) -> str:
        """Returns the name of the node pool of such machines.

        Args:
            provisioning: `SPOT`, `ON_DEMAND` or `QUEUED`.
        """
        return f"{self.name.lower()}-{provisioning}"

    @property
    def usable_cpus(self) -> float:
        """Cores that a pod can have."""
        return self.cpus - _KEPT_CPUS

    @property
    def usable_gib(self) -> int:
        """Memory that a pod can have, GiB."""
        return int(self.total_gib * (1 - _KEPT_SHARE))

    def memory_gib(self, settings: Any) -> int:
        """Returns what a worker asks for: 3 GiB a core and 4 beside, as far as there is."""
        return min(self.usable_gib, 4 + 3 * settings.cpus_per_worker)

    def selector(self, provisioning: str) -> dict[str, str]:
        """Returns the labels of the nodes that a worker wants."""
        labels = {POOL_LABEL: self.pool(provisioning)}
        if provisioning == QUEUED:
            labels["cloud.google.com/gke-flex-start"] = "true"
        if self.accelerator:
            labels["cloud.google.com/gke-accelerator"] = self.accelerator
        return labels

    def tolerations(self, provisioning: str) -> list[dict[str, str]]:
        """Returns what lets a worker onto its pool: of the GPU, and of the provisioning."""
        found = [
            {
                "key": POOL_LABEL,
                "operator": "Equal",
                "value": self.pool(provisioning),
                "effect": "NoSchedule",
            }
        ]
        if self.accelerator:
            gpu = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
            found.append(gpu)
        return found


MACHINES = (
    Machine("L4", "g2-standard-12", "nvidia-l4", 12, 48),
    Machine("T4", "n1-standard-8", "nvidia-tesla-t4", 8, 30),
    Machine("A100", "a2-highgpu-1g", "nvidia-tesla-a100", 12, 85),
    # With one GPU it is sold as spot or flex-start only.
    Machine("H100", "a3-highgpu-1g", "nvidia-h100-80gb", 26, 234, QUEUED),
)
CPU_MACHINE = Machine("CPU", "n2-standard-8", "", 8, 32)
DEFAULT = "L4"
"""Taken where a config asks for GPUs and names none."""


def grace_secs(settings: Any, *, spot: bool) -> float:
    """Returns how long a worker has after the notice that its machine is taken back.

    Args:
        settings: A config's section `cluster`.
        spot: On a machine that can be taken back, which gives no more than it gives.
    """
    return min(settings.grace_secs, settings.spot_grace_secs) if spot else settings.grace_secs


def machine_for(settings: Any) -> Machine:
    """Returns the machine for a worker.

    Args:
        settings: A config's section `cluster`.

    Raises:
        ConfigError: There is none with such a GPU, or so many cores.
    """
    machine = CPU_MACHINE
    if settings.gpus_per_worker:
        wanted = (settings.accelerator_type or DEFAULT).upper()
        found = {one.name: one for one in MACHINES}
        if wanted not in found:
            raise ConfigError(
                f"no machine is known here with a GPU {settings.accelerator_type!r}",
                expected=f"one of {', '.join(found)}",
                remedy="set cluster.accelerator_type, or change the manifest by hand",
            )
        machine = found[wanted]
    if settings.cpus_per_worker > machine.usable_cpus:
        raise ConfigError(
            f"a worker wants {settings.cpus_per_worker} cores, and {machine.machine_type} has "
            f"{machine.usable_cpus:g} to give",
            expected="a worker that fits on one machine",
            remedy=f"cluster.cpus_per_worker={int(machine.usable_cpus)}",
        )
    return machine
