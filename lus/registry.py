"""The registry: every compute server that is alive, as it last described itself. Pure.

A registration lives while the CS's heartbeats come (``CS_LEASE``, counted from receiving). A lost connection
ends nothing: the CS may come back with the same boot id and everything it had.
"""

from __future__ import annotations

import heapq

import attrs
import msgspec

from lus import limits
from lus.measured_speed import MeasuredSpeeds
from lus.suited import Suited
from rjs.attempts import AttemptId
from rjs.leases import LeaseTable
from rjs.limits import CS_LEASE
from rjs.needs import Offer
from rjs.wire.messages import CsState

OWNERS_WORD = frozenset({"not-trusted", "permission-not-granted"})
"""The refusals that last: a CS tells when its owner's trust has changed (``trust_epoch``)."""

WS_AWAY = "ws-away"
"""The refusal that lasts until there is a session with the WS: a bundle cannot be fetched without."""


@attrs.define
class Server:
    """One registered CS. ``attempt``: what the board gave it and has not seen end. ``unwanted``: attempts that it
    was told to stop; it may have been out of reach. ``strays``: attempts that run there without a lease of ours.
    ``refusals``: jobs that it does not take, and why."""

    cs: str
    boot: str
    address: str
    state: CsState
    heard: float
    connected: bool = True
    attempt: AttemptId | None = None
    refusals: dict[str, str] = attrs.field(factory=dict)
    unwanted: set[AttemptId] = attrs.field(factory=set)
    strays: set[AttemptId] = attrs.field(factory=set)

    @property
    def free(self) -> bool:
        """Whether it can start a task now."""
        runs = self.attempt is not None or self.strays or self.state.running
        return self.connected and not self.state.busy and not runs

    def ended(self, attempt: AttemptId) -> None:
        """The attempt's process is gone. Until it describes itself again: if it has other reasons to be busy, it
        refuses the next start with them and tells when they are over."""
        if self.attempt == attempt or attempt in self.strays or attempt in self.state.running:
            running = tuple(each for each in self.state.running if each != attempt)
            self.state = msgspec.structs.replace(self.state, running=running, busy=bool(running))
        if self.attempt == attempt:
            self.attempt = None
        self.strays.discard(attempt)
        self.unwanted.discard(attempt)


class Registry:
    """CSs by id. Iterating yields the live ones."""

    def __init__(self) -> None:
        self._servers: dict[str, Server] = {}
        self._clock: LeaseTable[str, str] = LeaseTable(CS_LEASE)
        self._asked_again: list[tuple[float, str, str, str]] = []
        self.suited = Suited()
        self.speeds = MeasuredSpeeds()
        self.epoch = 0
        """Rises when jobs may be served that were not, at most once in ``EPOCH`` seconds."""
        self._rose = -limits.EPOCH
        self._is_to_rise = False

    def __len__(self) -> int:
        return len(self._servers)

    def get(self, cs: str) -> Server | None:
        """The live CS with this id."""
        return self._servers.get(cs)

    def all(self) -> list[Server]:
        """The live CSs."""
        return list(self._servers.values())

    def speed(self, server: Server) -> float:
        """MFLOPS by which it is ranked: what it states, or less where its tasks have shown less."""
        return self.speeds.of(server.cs, server.state.mflops)

    def judge_speeds(self, now: float) -> None:
        """Compare what CSs state with what their tasks have shown."""
        self.speeds.judge({each.cs: each.state.mflops for each in self._servers.values()}, now)

    def register(self, cs: str, boot: str, address: str, state: CsState, now: float) -> Server:
        """A CS described itself. What it refused is asked again when its trust changed or it is a new boot."""
        known = self._servers.get(cs)
        if known is None or known.boot != boot:
            self.remove(cs)
            known = Server(cs, boot, address, state, heard=now)
            self._servers[cs] = known
            self._clock.grant(cs, cs, now)
            self._rise(now)
        elif known.state.trust_epoch != state.trust_epoch or _more(known.state.offer, state.offer):
            self._rise(now)
        self.suited.entered(cs, state.offer)
        if (known.state.name, known.state.mflops) != (state.name, state.mflops):
            self.suited.changes += 1  # what is said of those who cannot take a task names them
        if known.state.trust_epoch != state.trust_epoch:
            for job in known.refusals:
                self.suited.takes(cs, job)
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
        """It does not take this job: while its trust stays as it is, or, for any other reason, for a while, or until
        the WS is back if that was it."""
        known = self._servers.get(cs)
        if known is None:
            return
        if len(known.refusals) >= limits.REFUSALS:
            oldest = next(iter(known.refusals))
            del known.refusals[oldest]
            self.suited.takes(cs, oldest)
        known.refusals[job] = f"{code}: {sentence}"
        self.suited.refuses(cs, job)
        if code not in OWNERS_WORD:
            heapq.heappush(self._asked_again, (now + limits.REFUSED_AGAIN, cs, known.boot, job))

    def ws_is_back(self, now: float) -> None:
        """What was refused for want of it is worth offering again, once for each time that it comes."""
        for known in self._servers.values():
            for job in [job for job, why in known.refusals.items() if why.startswith(f"{WS_AWAY}:")]:
                self._takes_again(known, job, now)

    def ask_again(self, now: float) -> None:
        """What was refused for a reason that may have passed is worth offering again, and what could not be told
        before that more may be served."""
        if self._is_to_rise:
            self._rise(now)
        while self._asked_again and self._asked_again[0][0] <= now:
            _, cs, boot, job = heapq.heappop(self._asked_again)
            known = self._servers.get(cs)
            if known is not None and known.boot == boot and job in known.refusals:
                self._takes_again(known, job, now)

    def _takes_again(self, known: Server, job: str, now: float) -> None:
        del known.refusals[job]
        self.suited.takes(known.cs, job)
        self._rise(now)

    def runs_nothing_else(self, cs: str) -> None:
        """It started an attempt: what it was told to stop before runs no more, for it has one slot."""
        known = self._servers.get(cs)
        if known is not None:
            known.unwanted.clear()
            known.strays.clear()

    def busy(self, cs: str) -> None:
        """It has something else to do; it describes itself again when it is free."""
        known = self._servers.get(cs)
        if known is not None:
            known.state = msgspec.structs.replace(known.state, busy=True)

    def remove(self, cs: str) -> Server | None:
        """It is known dead, or its lease ended."""
        self._clock.end(cs)
        return self._leave(cs)

    def expire(self, now: float) -> list[Server]:
        """Removes and returns the CSs whose lease ended."""
        left = [self._leave(cs) for cs in self._clock.expire(now)]
        return [server for server in left if server is not None]

    def _leave(self, cs: str) -> Server | None:
        known = self._servers.pop(cs, None)
        if known is not None:
            self.suited.left(cs, known.refusals)
        return known

    def _rise(self, now: float) -> None:
        """What the WS took back it offers again to a higher epoch: seldom, however often CSs change."""
        self._is_to_rise = now - self._rose < limits.EPOCH
        if not self._is_to_rise:
            self.epoch += 1
            self._rose = now


def _more(before: Offer, now: Offer) -> bool:
    """Whether there may be jobs that are served now and were not before."""
    amounts = (
        now.memory > before.memory,
        now.disk > before.disk,
        now.cores > before.cores,
    )
    others = (now.platform, now.python, now.java) != (before.platform, before.python, before.java)
    return others or any(amounts)
