"""Whose turn it is: which of the leases that wait goes to which free compute server, jobs in turn. Pure.

It decides and forgets what it decided on; the board acts on it. What it decides is what ``lus.placement`` says of all
CSs, found by sets of CSs instead of one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from lus import limits, placement
from lus.held import Held
from lus.registry import Registry, Server
from lus.suited import Free
from lus.waiting import Kind, Waiting
from rjs.needs import Needs


@attrs.frozen
class Given:
    """The lease is for this CS."""

    lease: int
    cs: str


@attrs.frozen
class NotTaken:
    """No CS takes these leases of one job."""

    job: str
    leases: tuple[int, ...]
    why: placement.Unplaceable


class Turns:
    """The leases that wait. Iterating yields their numbers."""

    def __init__(self, registry: Registry, held: Mapping[int, Held]) -> None:
        self._registry = registry
        self._held = held
        self._waiting = Waiting()
        self._decided_at = -1  # ``suited.changes`` when each that waits was looked at last
        self._unplaceable: dict[str | Needs, placement.Unplaceable] = {}
        self._unplaceable_at = 0

    def __iter__(self) -> Iterator[int]:
        return iter(self._waiting)

    def wait(self, held: Held) -> None:
        """It waits, last of its kind."""
        self._waiting.add(held.lease, (held.job.job, held.avoid))
        self._decided_at = -1

    def leave(self, number: int) -> None:
        """It waits no more; unknown numbers are fine."""
        self._waiting.remove(number)

    def decide(self, now: float) -> list[Given | NotTaken]:
        """What can be decided now; that waits no more."""
        decided: list[Given | NotTaken] = []
        if not self._waiting:
            return decided
        suited = self._registry.suited
        free = Free(self._free_servers(), suited)
        kinds = self._waiting.kinds() if free or self._decided_at != suited.changes else ()
        for kind in kinds:
            decided += self._decide_kind(kind, free, now)
        self._decided_at = suited.changes
        if len(suited) > limits.NEEDS_KEPT * len(kinds) > 0:
            suited.keep({self._held[number].job.needs for number in self._waiting})
        return decided

    def candidates(self, job: str) -> list[placement.Candidate]:
        """All CSs, as placement sees them when it chooses for this job."""
        speed = self._registry.speed
        return [_candidate(each, speed(each), each.refusals.get(job, "")) for each in self._registry.all()]

    def _free_servers(self) -> list[str]:
        speed = self._registry.speed
        return [cs for _, cs in sorted((-speed(each), each.cs) for each in self._registry.all() if each.free)]

    def _decide_kind(self, kind: Kind, free: Free, now: float) -> list[Given | NotTaken]:
        """A CS that is given something leaves ``free``."""
        decided: list[Given | NotTaken] = []
        waits: set[bool] = set()
        for number in self._waiting.of(kind):
            held = self._held[number]
            late = now - held.since >= limits.SAME_CS_AFTER
            if late in waits:
                continue  # what is alike waits alike, for free CSs only become fewer
            choice = self._choice(held, free, late)
            if isinstance(choice, placement.Place):
                self._waiting.remove(number)
                self._waiting.had_its_turn(kind)
                decided.append(Given(number, choice.cs))
            elif isinstance(choice, placement.Unplaceable):
                return [*decided, self._not_taken(kind, choice)]
            elif held.avoid:
                waits.add(late)
            else:
                break
        return decided

    def _choice(self, held: Held, free: Free, late: bool) -> placement.Place | placement.Unplaceable | None:
        """As ``placement.choose`` chooses among all CSs; None: it waits."""
        suited = self._registry.suited
        able = suited.able(held.job.job, held.job.needs)
        if not able:
            return self._why_not(held)
        fresh = able & ~suited.bits(held.avoid)
        fastest = free.take(fresh or (able if late else 0))
        return None if fastest is None else placement.Place(fastest)

    def _why_not(self, held: Held) -> placement.Unplaceable:
        """Why no CS is able. Asked once of jobs that are alike: that need the same and that nobody refused."""
        suited, job = self._registry.suited, held.job.job
        if self._unplaceable_at != suited.changes:
            self._unplaceable, self._unplaceable_at = {}, suited.changes
        alike = job if suited.is_refused(job) else held.job.needs
        if alike not in self._unplaceable:
            why = placement.choose(placement.Demand(held.job.needs, (), 0.0), self.candidates(job))
            assert isinstance(why, placement.Unplaceable)
            self._unplaceable[alike] = why
        return self._unplaceable[alike]

    def _not_taken(self, kind: Kind, why: placement.Unplaceable) -> NotTaken:
        numbers = self._waiting.of(kind)
        for number in numbers:
            self._waiting.remove(number)
        return NotTaken(kind[0], numbers, why)


def _candidate(server: Server, speed: float, refusal: str) -> placement.Candidate:
    state = server.state
    return placement.Candidate(server.cs, state.name, speed, state.offer, server.free, refusal)
