"""The registry: every compute server that is alive, as it last described itself. Pure.

A registration lives while the CS's heartbeats come (``CS_LEASE``, counted from receiving). A lost connection
ends nothing: the CS may come back with the same boot id and everything it had.
"""

from __future__ import annotations

import heapq

import attrs
import msgspec

from lus import limits
from rjs.attempts import AttemptId
from rjs.leases import LeaseTable
from rjs.limits import CS_LEASE
from rjs.needs import Offer
from rjs.wire.messages import CsState

OWNERS_WORD = frozenset({"not-trusted", "permission-not-granted"})
"""The refusals that last: a CS tells when its owner's trust has changed (``trust_epoch``)."""


@attrs.define
class Server:
    """One registered CS. ``attempt``: what the board gave it and has not seen end. ``unwanted``: attempts that it
    was told to stop; it may have been out of reach. ``refusals``: jobs that it does not take, and why."""

    cs: str
    boot: str
    address: str
    state: CsState
    heard: float
    connected: bool = True
    attempt: AttemptId | None = None
    refusals: dict[str, str] = attrs.field(factory=dict)
    unwanted: set[AttemptId] = attrs.field(factory=set)

    @property
    def free(self) -> bool:
        """Whether it can start a task now."""
        return self.connected and self.attempt is None and not self.state.busy and not self.state.running


class Registry:
    """CSs by id. Iterating yields the live ones."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._clock: LeaseTable[str, str] = LeaseTable(CS_LEASE)
        self._asked_again: list[tuple[float, str, str, str]] = []
        self.epoch = 0
        self.changes = 0
        """Rises with whatever decides who would take a task; not with who is free."""

    def __len__(self) -> int:
        return len(self._servers)

    def get(self, cs: str) -> Server | None:
        """The live CS with this id."""
        return self._servers.get(cs)

    def all(self) -> list[Server]:
        """The live CSs."""
        return list(self._servers.values())

    def register(self, cs: str, boot: str, address: str, state: CsState, now: float) -> Server:
        """A CS described itself. What it refused is asked again when its trust changed or it is a new boot."""
        self.changes += 1
        known = self._servers.get(cs)
        if known is None or known.boot != boot:
            known = Server(cs, boot, address, state, heard=now)
            self._servers[cs] = known
            self._clock.grant(cs, cs, now)
            self.epoch += 1
        elif known.state.trust_epoch != state.trust_epoch or _more(known.state.offer, state.offer):
            self.epoch += 1
        if known.state.trust_epoch != state.trust_epoch:
            known.refusals.clear()
        known.address, known.state, known.connected, known.heard = address, state, True, now
        self._clock.renew(cs, now)
        return known

    def heard(self, cs: str, now: float) -> None:
        """Its heartbeat came."""
        known = self._servers.get(cs)
        if known is not None:
            known.heard = now
            self._clock.renew(cs, now)

    def refused(self, cs: str, job: str, code: str, sentence: str, now: float) -> None:
        """It does not take this job: while its trust stays as it is, or, for any other reason, for a while."""
        known = self._servers.get(cs)
        if known is None:
            return
        self.changes += 1
        if len(known.refusals) >= limits.REFUSALS:
            known.refusals.pop(next(iter(known.refusals)))
        known.refusals[job] = f"{code}: {sentence}"
        if code not in OWNERS_WORD:
            heapq.heappush(self._asked_again, (now + limits.REFUSED_AGAIN, cs, known.boot, job))

    def is_refused(self, job: str) -> bool:
        """Whether any CS does not take this job."""
        return any(job in each.refusals for each in self._servers.values())

    def ask_again(self, now: float) -> None:
        """What was refused for a reason that may have passed is worth offering again."""
        while self._asked_again and self._asked_again[0][0] <= now:
            _, cs, boot, job = heapq.heappop(self._asked_again)
            known = self._servers.get(cs)
            if known is not None and known.boot == boot and known.refusals.pop(job, None) is not None:
                self.epoch += 1
                self.changes += 1

    def runs_nothing_else(self, cs: str) -> None:
        """It started an attempt: what it was told to stop before runs no more, for it has one slot."""
        known = self._servers.get(cs)
        if known is not None:
            known.unwanted.clear()

    def busy(self, cs: str) -> None:
        """It has something else to do; it describes itself again when it is free."""
        known = self._servers.get(cs)
        if known is not None:
            known.state = msgspec.structs.replace(known.state, busy=True)

    def remove(self, cs: str) -> Server | None:
        """It is known dead, or its lease ended."""
        self.changes += 1
        self._clock.end(cs)
        return self._servers.pop(cs, None)

    def expire(self, now: float) -> list[Server]:
        """Removes and returns the CSs whose lease ended."""
        lapsed = self._clock.expire(now)
        self.changes += len(lapsed)
        return [self._servers.pop(cs) for cs in lapsed if cs in self._servers]


def _more(before: Offer, now: Offer) -> bool:
    """Whether there may be jobs that are served now and were not before."""
    amounts = (
        now.memory > before.memory,
        now.disk > before.disk,
        now.cores > before.cores,
    )
    others = (now.platform, now.python, now.java) != (before.platform, before.python, before.java)
    return others or any(amounts)
