"""How many failures a command outlives. Pure.

Owns the counting, and the decision when going on makes no sense. What failed,
and starting again, is `on_ray.py`'s.
"""

from trainer.config.settings import ClusterSettings
from trainer.errors import ClusterError


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
        self.failures = 0
        self.preemptions = 0

    def spend_preemption(self, cause: str) -> None:
        """Counts a node that was taken back; raises ClusterError if it is one too many."""
        self.preemptions += 1
        most = self._limits.max_preemption_failures
        if 0 <= most < self.preemptions:
            raise self._spent(self.preemptions, "nodes were taken back", "preemption_", cause)

    def spend_failure(self, step: int, cause: str) -> None:
        """Counts a failure.

        Args:
            step: The last step that is known to have been finished.
            cause: In one line.

        Raises:
            ClusterError: One too many, or the same step again and again.
        """
        self.failures += 1
        self._stuck = self._stuck + 1 if step <= self._furthest_step else 1
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
