"""The protocol of writers on one run folder, as a pure state machine.

Owns the world (what lies in the folder), the moves of a writer, and what must be true
after each move. The decisions are the real ones, of `trainer.checkpoint.rule`; a
`Protocol` can replace one of them or leave out a precaution, to show that the search
would see it.

One move is one storage operation, which is atomic; anything may happen between two. A
writer that is killed is one that is not moved any more, and a writer that comes back
from the dead is one that is moved again after others were, so the search needs no moves
for either. An answer that is lost is a move of its own. Weights are modelled as the
tuple of the starts that computed each step: ("1", "1", "2") after start 2 went on from
step 2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from trainer.checkpoint import rule


@dataclass(frozen=True)
class Start:
    number: int
    first_step: int | None = None
    ended: bool = False


@dataclass(frozen=True, order=True)
class Manifest:
    """Its whole content is its generation: no two writes of one step are equal."""

    step: int
    start: int
    weights: tuple[int, ...]
    adopted_by: tuple[int, ...] = ()


@dataclass(frozen=True)
class Writer:
    at: str = "claim"
    number: int = 0
    weights: tuple[int, ...] = ()
    found: Manifest | None = None
    expected: Manifest | None = None
    seen: frozenset[Manifest] = frozenset()
    seen_parts: frozenset[tuple[int, int]] = frozenset()
    seen_starts: tuple[Start, ...] = ()
    deleting: tuple[tuple[str, object], ...] = ()

    @property
    def step(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class World:
    writers: tuple[Writer, ...]
    starts: tuple[Start, ...] = ()
    manifests: frozenset[Manifest] = frozenset()
    parts: frozenset[tuple[int, int]] = frozenset()  # (step, start)

    def manifest(self, step: int) -> Manifest | None:
        return next((m for m in self.manifests if m.step == step), None)

    def swap(self, old: Manifest | None, new: Manifest | None) -> "World":
        manifests = self.manifests - {old} if old else self.manifests
        return replace(self, manifests=manifests | {new} if new else manifests)

    def counted(self) -> list[Manifest]:
        """What the real rule, not the protocol under test, says."""
        return sorted(
            m
            for m in self.manifests
            if (m.step, m.start) in self.parts
            and rule.superseded_by(m.step, m.start, self.starts) is None
        )


@dataclass(frozen=True)
class Protocol:
    last_step: int = 3
    keep_last: int = 1
    from_any: bool = True
    superseded_by: Callable = rule.superseded_by
    fenced_by: Callable = rule.fenced_by
    may_delete: Callable = rule.may_delete
    is_orphan: Callable = rule.is_orphan
    find_after_claim: bool = True
    adopt: bool = True
    settle_checks_claims: bool = True
    publish_precondition: bool = True
    scan_before_check: bool = True
    delete_precondition: bool = True
    manifest_first: bool = True


@dataclass
class Violation(Exception):
    what: str
    world: World = field(repr=False)


def moves(world: World, index: int, p: Protocol) -> Iterator[World]:
    """Yields every world that one move of a writer can lead to."""
    writer = world.writers[index]

    def moved(base: World, **changes) -> World:
        writers = list(base.writers)
        writers[index] = replace(writer, **changes)
        return replace(base, writers=tuple(writers))

    if writer.at != "end":
        yield from _MOVES[writer.at](world, writer, p, moved)


def _claim(world, writer, p, moved):
    if not p.find_after_claim and writer.found is None and world.manifests:
        yield from _find(world, writer, p, lambda w, **c: moved(w, **{**c, "at": "claim"}))
        return
    number = len(world.starts) + 1
    grown = replace(world, starts=(*world.starts, Start(number)))
    yield moved(grown, at="find" if p.find_after_claim else "adopt", number=number)


def _find(world, writer, p, moved):
    usable = [
        m
        for m in sorted(world.manifests)
        if p.superseded_by(m.step, m.start, world.starts) is None
        and (m.step, m.start) in world.parts
    ]
    if not usable:
        yield moved(world, at="settle", found=None)
    for found in usable if p.from_any else usable[-1:]:
        yield moved(world, at="adopt" if p.adopt else "settle", found=found)


def _adopt(world, writer, p, moved):
    found = writer.found
    if found is None or not p.adopt:
        yield moved(world, at="settle")
    elif found not in world.manifests:
        yield moved(world, at="find", found=None)
    else:
        adopted = replace(found, adopted_by=(*found.adopted_by, writer.number))
        yield moved(world.swap(found, adopted), at="settle", found=adopted)


def _settle(world, writer, p, moved):
    if p.settle_checks_claims and world.starts[-1].number > writer.number:
        yield moved(world, at="end")
        return
    weights = writer.found.weights if writer.found else ()
    starts = tuple(
        replace(s, first_step=len(weights)) if s.number == writer.number else s
        for s in world.starts
    )
    yield moved(replace(world, starts=starts), at="upload", weights=weights, found=None)


def _upload(world, writer, p, moved):
    if writer.step >= p.last_step:
        yield moved(world, at="end")
        return
    for steps in (1, 2):  # saves need not fall on the same steps in every start
        weights = writer.weights + (writer.number,) * steps
        if len(weights) <= p.last_step:
            parts = world.parts | {(len(weights), writer.number)}
            yield moved(replace(world, parts=parts), at="look", weights=weights)


def _look(world, writer, p, moved):
    there = world.manifest(writer.step)
    if p.fenced_by(writer.number, world.starts):
        yield moved(world, at="end")
    elif there and p.superseded_by(there.step, there.start, world.starts) is None:
        yield moved(world, at="scan")
    else:
        yield moved(world, at="publish", expected=there)


def _publish(world, writer, p, moved):
    there = world.manifest(writer.step)
    if p.publish_precondition and there != writer.expected:
        yield moved(world, at="look", expected=None)
        return
    published = world.swap(there, Manifest(writer.step, writer.number, writer.weights))
    yield moved(published, at="scan", expected=None)
    yield moved(published, at="look", expected=None)  # done, but the answer was lost


def _scan(world, writer, p, moved):
    if p.scan_before_check:
        yield moved(world, at="check", seen=world.manifests, seen_parts=world.parts)
    elif writer.seen_starts:
        yield from _decide(world, writer, p, moved, world.manifests, world.parts)
    elif p.may_delete(writer.number, world.starts):
        yield moved(world, at="scan", seen_starts=world.starts)
    else:
        yield moved(world, at="upload")


def _check(world, writer, p, moved):
    if not p.may_delete(writer.number, world.starts):
        yield moved(world, at="upload", seen=frozenset(), seen_parts=frozenset())
        return
    writer = replace(writer, seen_starts=world.starts)
    yield from _decide(world, writer, p, moved, writer.seen, writer.seen_parts)


def _decide(world, writer, p, moved, manifests, parts):
    superseded = {
        m for m in manifests if p.superseded_by(m.step, m.start, writer.seen_starts) is not None
    }
    kept = rule.kept_steps((m.step for m in manifests - superseded), keep_last=p.keep_last)
    over = {m for m in manifests - superseded if m.step not in kept}
    over |= {m for m in superseded if m.step <= writer.step}
    deleting: list[tuple[str, object]] = []
    for m in sorted(over):
        pair = [("manifest", m), ("part", (m.step, m.start))]
        deleting += pair if p.manifest_first else pair[::-1]
    for step, start in sorted(parts):
        named = any((m.step, m.start) == (step, start) for m in manifests)
        if p.is_orphan(start, own_start=writer.number, referenced=named):
            deleting.append(("part", (step, start)))
    forgotten = {"seen": frozenset(), "seen_parts": frozenset(), "seen_starts": ()}
    yield moved(world, at="delete", deleting=tuple(deleting), **forgotten)


def _delete(world, writer, p, moved):
    if not writer.deleting:
        yield moved(world, at="upload")
        return
    (kind, what), *rest = writer.deleting
    if kind == "part":
        yield moved(replace(world, parts=world.parts - {what}), deleting=tuple(rest))
        return
    there = world.manifest(what.step)
    if there == what or (there and not p.delete_precondition):
        yield moved(world.swap(there, None), deleting=tuple(rest))
    elif there is None:
        yield moved(world, deleting=tuple(rest))
    else:  # it changed: neither it nor its parts go
        yield moved(world, deleting=tuple(rest[1:]))


_MOVES = {
    "claim": _claim,
    "find": _find,
    "adopt": _adopt,
    "settle": _settle,
    "upload": _upload,
    "look": _look,
    "publish": _publish,
    "scan": _scan,
    "check": _check,
    "delete": _delete,
}


def check(before: World, after: World, mover: int, p: Protocol) -> None:
    """Raises Violation where a move broke what must always be true."""
    settled = [s for s in after.starts if s.first_step is not None]
    counted = after.counted()
    for m in counted:
        history = tuple(
            max((s.number for s in settled if s.first_step < step), default=0)
            for step in range(1, m.step + 1)
        )
        if m.weights != history:
            raise Violation(f"step {m.step} counts with {m.weights}, history: {history}", after)
    for m in after.manifests:
        whole = (m.step, m.start) in after.parts
        if not whole and rule.superseded_by(m.step, m.start, after.starts) is None:
            raise Violation(f"the manifest of step {m.step} counts but for its parts", after)
    newest = counted[-1].step if counted else 0
    if settled and newest < settled[-1].first_step:
        raise Violation(f"start {settled[-1].number} lost what it went on from", after)
    settling = before.writers[mover].at == "settle"
    was = before.counted()
    if was and newest < was[-1].step and not settling:
        raise Violation(f"the newest fell from step {was[-1].step} to {newest}", after)
    chose = before.writers[mover].at == "find" and after.writers[mover].at == "settle"
    if chose and was and after.writers[mover].found is None:
        raise Violation(f"a start begins anew although step {was[-1].step} counts", after)
    gone = {m.step for m in was} - {m.step for m in counted}
    deleter = after.writers[mover].number
    # A late deletion may meet a start that left newer steps behind: one must remain.
    least = p.keep_last if rule.may_delete(deleter, after.starts) else 1
    for step in gone if not settling else ():
        if sum(m.step > step for m in counted) < least:
            raise Violation(f"step {step} was deleted, it was among the last kept", after)


def solo(world: World, p: Protocol) -> World:
    """Everybody else is dead: a fresh writer runs to its end, taking the newest."""
    alone = replace(world, writers=(Writer(),))
    alone_protocol = replace(p, from_any=False)
    for _ in range(200):
        options = list(moves(alone, 0, alone_protocol))
        if not options:
            return alone
        check(alone, options[0], 0, alone_protocol)
        alone = options[0]
    raise Violation("a writer alone does not come to an end", world)
