"""How many failures a command outlives. Pure.

Owns the counting, and the decision when going on makes no sense. What failed,
and starting again, is `on_ray.py`'s.
"""

from trainer.config.cluster import ClusterSettings
from trainer.errors import ClusterError

_MOST_LOST_PORTS = 3


class Budget:
    """Counts the failures of one command.

    Nodes that were taken back (spot machines) are counted apart, and never as
    failures of a step. A failure that gets no further than the run has been
    before is counted as one of the same step: a step that kills its workers
    would else do so for ever.

    Args:
        limits: The config's `cluster` section.
        resume_command: What goes on with the run, for messages.

    Attributes:
        failures: So far.
        preemptions: So far.
    """

    def __init__(self, limits: ClusterSettings, resume_command: str) -> None:
        self._limits = limits
        self._resume_command = resume_command
        self._furthest_step = -1
        self._stuck = 0
        self._lost_ports = 0
        self.failures = 0
        self.preemptions = 0

    def forgives_lost_port(self) -> bool:
        """Whether a start that trained nothing, because a port was lost, may just be repeated."""
        self._lost_ports += 1
        return self._lost_ports <= _MOST_LOST_PORTS

    def spend_preemption(self, cause: str) -> None:
        """Counts a node that was taken back; raises ClusterError if it is one too many."""
        self.preemptions += 1
        most = self._limits.max_preemption_failures
        if 0 <= most < self.preemptions:
            raise self._spent(self.preemptions, "nodes were taken back", "preemption_", cause)

    def spend_failure(self, step: int, cause: str, *, unseen_steps: int = 0) -> None:
        """Counts a failure.

        Args:
            step: The last step that is known to have been finished.
            cause: In one line.
            unseen_steps: So many more may have been finished: a difference of no more than
                that is none.

        Raises:
            ClusterError: One too many, or the same step again and again.
        """
        self.failures += 1
        no_further = step <= self._furthest_step + unseen_steps
        self._stuck = self._stuck + 1 if no_further else 1
        self._furthest_step = max(self._furthest_step, step)
        if self._stuck >= self._limits.max_same_step_failures:
            raise ClusterError(
                f"{self._stuck} starts in a row ended by step {self._furthest_step:,} and got no "
                f"further; the last one because {cause}",
                expected="a failure that passes (cluster.max_same_step_failures="
                f"{self._limits.max_same_step_failures})",
                remedy=f"mend the cause, then: {self._resume_command}",
            )
        if 0 <= self._limits.max_failures < self.failures:
            raise self._spent(self.failures, "failures", "", cause)

    def _spent(self, count: int, what: str, kind: str, cause: str) -> ClusterError:
        key = f"cluster.max_{kind}failures"
        return ClusterError(
            f"{count} {what}, the last one because {cause}",
            expected=f"at most {key}={count - 1}",
            remedy=f"go on: {self._resume_command}; to allow more: {key}={2 * count}",
        )
