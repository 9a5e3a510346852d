"""What an examination found: one line for each thing that was looked at.

Owns the states of a finding and how an error becomes one. Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trainer.errors import CatganError, ClusterError, InterruptedRun, TerminatedRun

State = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: Of the thing.
        state: `ok`, `warning` or `failure`.
        told: What was found, with the values.
        remedy: What to do; "" where it is ok.
        exit_code: Of a failure, see design C8.
    """

    name: str
    state: State
    told: str
    remedy: str = ""
    exit_code: int = 0


@dataclass
class Diagnosis:
    """All findings, in order, and figures for programs.

    Attributes:
        findings: In the order in which they were made.
        figures: Measured values by name, units in the names.
    """

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if nothing failed, else that of the first failure."""
        return next((f.exit_code for f in self.findings if f.state == "failure"), 0)

    def as_dict(self) -> dict[str, Any]:
        """Returns everything as plain values."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "figures": self.figures,
            "exit_code": self.exit_code,
        }


def from_dict(told: dict[str, Any]) -> Diagnosis:
    """Returns what `as_dict` gave."""
    return Diagnosis([Finding(**item) for item in told["findings"]], dict(told["figures"]))


def ok(name: str, told: str) -> Finding:
    """A thing that is as it should be."""
    return Finding(name, "ok", told)


def warning(name: str, told: str, remedy: str) -> Finding:
    """A thing that works, and may cost more than need be."""
    return Finding(name, "warning", told, remedy)


def failure(name: str, error: CatganError) -> Finding:
    """A thing that an error came from."""
    told = error.what + (f" (expected: {error.expected})" if error.expected else "")
    return Finding(name, "failure", told, error.remedy, error.exit_code)


def examined(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yields what `look` finds; an error ends it as a failure.

    Args:
        name: Of the thing, if an error comes.
        look: May raise; what is no error of ours is a fault of the set-up too.
    """
    try:
        yield from look()
    except (InterruptedRun, TerminatedRun):
        raise
    except CatganError as error:
        yield failure(name, error)
    except Exception as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        yield Finding(name, "failure", told, "run it again with --verbose", ClusterError.exit_code)
