"""Faults that the bucket server can be told to have.

Owns the rules: which requests a fault meets, and how often. Knows no sockets;
`bucket_server.py` makes the faults happen.

Kinds:
    status         answer with `status` and do nothing
    reset          reset the connection and do nothing
    lose_answer    do it, then reset the connection instead of answering
    stall          wait `secs` before answering
    stall_body     wait `secs` in the middle of the answer's body
    cut            end the connection after the fraction `at` of the body
    flip           flip a bit in the middle of the answer's body
    flip_request   flip a bit in the middle of what the client sent
    drip           send the body `drip_bytes` at a time, `secs` apart
"""

import threading
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

KINDS = (
    "status",
    "reset",
    "lose_answer",
    "stall",
    "stall_body",
    "cut",
    "flip",
    "flip_request",
    "drip",
)


@dataclass
class Rule:
    """A fault and the requests that it meets.

    Attributes:
        kind: One of `KINDS`.
        every: Every how many of the matching requests it happens.
        after: How many matching requests pass unharmed first.
        times: How often it happens at most; None: for ever.
        operations: Names of operations as `bucket_api.py` gives them; empty: all.
        name: A part of the object's name; empty: any.
    """

    kind: str
    every: int = 1
    after: int = 0
    times: int | None = None
    operations: tuple[str, ...] = ()
    name: str = ""
    status: int = 503
    secs: float = 1.0
    at: float = 0.5
    drip_bytes: int = 1024
    seen: int = field(default=0, compare=False)
    fired: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is no fault; there are {', '.join(KINDS)}")
        self.operations = tuple(self.operations)

    def meets(self, operation: str, name: str) -> bool:
        """Count a request and say whether the fault happens to it."""
        if self.operations and operation not in self.operations:
            return False
        if self.name not in name:
            return False
        self.seen += 1
        due = self.seen > self.after and (self.seen - self.after) % self.every == 0
        if not due or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True


class Faults:
    """All rules of one server; may be changed while it serves.

    Attributes:
        requests: Counts of requests by operation, as they come in.
        done: Counts of those that were carried out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self.requests: Counter[str] = Counter()
        self.done: Counter[str] = Counter()

    def add(self, kind: str, **options: Any) -> Rule:
        """Add a rule; see `Rule` for the options."""
        known = {f.name for f in fields(Rule)} - {"seen", "fired"}
        if unknown := set(options) - known:
            raise ValueError(f"unknown options {sorted(unknown)} of a fault")
        rule = Rule(kind, **options)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Remove all rules and forget the counts."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()
            self.done.clear()

    def meet(self, operation: str, name: str) -> dict[str, Rule]:
        """Count a request; the faults that happen to it, by kind."""
        with self._lock:
            self.requests[operation] += 1
            met: dict[str, Rule] = {}
            for rule in self._rules:
                if rule.meets(operation, name):
                    met.setdefault(rule.kind, rule)
            return met

    def note_done(self, operation: str) -> None:
        """Count a request that was carried out, whether or not its answer arrives."""
        with self._lock:
            self.done[operation] += 1

    def report(self) -> dict[str, Any]:
        """Counts of requests by operation, and the rules with their counts."""
        with self._lock:
            return {
                "requests": dict(self.requests),
                "done": dict(self.done),
                "rules": [asdict(r) for r in self._rules],
            }
