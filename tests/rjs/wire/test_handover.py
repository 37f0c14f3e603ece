"""Handing over: the new session first, then the old one's end, and never in a hurry."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs import limits
from rjs.identity.certificates import Identity
from rjs.identity.names import RjsName, Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.handover import hold
from rjs.wire.session import Session
from rjs.wire.testing import Wire


class FakeSession:
    """A session whose certificates give it so long."""

    def __init__(self, clock: Clock, due: float, ends: float) -> None:
        self.clock = clock
        self.due = clock.seconds() + due
        self.ends = clock.seconds() + ends
        self.waiting: list[Deferred[str]] = []
        self.events: list[str] = []
        self.reason = ""
        self.ended = False

    def due_in(self) -> float:
        return self.due - self.clock.seconds()

    def ends_in(self) -> float:
        return self.ends - self.clock.seconds()

    def gone(self) -> Deferred[str]:
        self.waiting.append(Deferred(self.waiting.remove))
        return self.waiting[-1]

    def give_way(self, newer: object) -> None:
        self.events.append("gives way")

    def close(self, code: str, sentence: str) -> None:
        self.end(code)

    def end(self, reason: str) -> None:
        self.reason, self.ended = reason, True
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(reason)


class Held:
    """A session that is held, and what is dialled in its place: ``answers`` in turn, then nothing."""

    def __init__(self, *lives: tuple[float, float]) -> None:
        self.clock = Clock()
        self.first = FakeSession(self.clock, *lives[0])
        self.lives = list(lives[1:])
        self.dialled: list[float] = []
        self.sessions = [self.first]
        self.holding = Deferred.fromCoroutine(
            hold(cast(Any, self.clock), cast(Session, self.first), self.dial)
        )
        self.ended: list[Any] = []
        self.holding.addBoth(self.ended.append)

    async def dial(self) -> Session | None:
        self.dialled.append(self.clock.seconds())
        if not self.lives:
            return None
        self.sessions.append(FakeSession(self.clock, *self.lives.pop(0)))
        return cast(Session, self.sessions[-1])

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.advance(1.0)


def test_the_new_one_is_there_before_the_old_one_is_left() -> None:
    """When it is due a session is dialled anew, and only then the old one gives way; so on for ever."""
    held = Held((100, 120), (100, 120), (1e6, 1e6))
    held.pass_time(99)
    assert held.dialled == [] and held.first.events == []
    held.pass_time(2)
    assert held.dialled == [100] and held.first.events == ["gives way"]
    held.pass_time(300)
    assert held.dialled == [100, 200] and [each.events for each in held.sessions] == [
        ["gives way"],
        ["gives way"],
        [],
    ]
    held.sessions[-1].end("lost")
    assert held.ended == ["lost"] and held.clock.getDelayedCalls() == []


def test_where_nobody_answers_the_old_one_is_held_on() -> None:
    """It is tried a few times before the end, ever more often and never in a tight loop, until the session ends."""
    held = Held((100, 120))
    held.pass_time(119)
    assert (
        3 < len(held.dialled) < 15
        and min(b - a for a, b in zip(held.dialled, held.dialled[1:], strict=False)) >= 1
    )
    assert held.ended == [] and held.first.events == []
    held.first.end("certificate-expired")
    assert held.ended == ["certificate-expired"]


def test_a_peer_that_has_not_renewed_is_not_dialled_on_and_on() -> None:
    """A new session that is due at once, for the other end shows its old certificate, is held like any other."""
    held = Held((0, 1000), *[(0, 1000 - 100 * each) for each in range(30)])
    held.pass_time(900)
    assert 2 < len(held.dialled) < 30


def test_a_session_that_ends_is_over() -> None:
    """Whatever ends it otherwise is told at once; cancelling says goodbye first."""
    held = Held((100, 120))
    held.first.end("the peer closed the connection")
    assert held.ended == ["the peer closed the connection"] and held.dialled == []
    held = Held((100, 120))
    held.holding.cancel()
    assert held.first.reason == "closing" and held.clock.getDelayedCalls() == []


# --- giving way -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


def newer(organisation: Organisation, wire: Wire) -> Wire:
    """Another connection of the same two, on the same clock."""
    another = Wire(organisation, wire.caller.identity, wire.called.identity)
    another.clock = wire.clock
    another.open()
    return another


def test_what_is_under_way_is_done_on_the_old_session(organisation: Organisation) -> None:
    """A request that was asked before the handover is answered where it was asked; then the session ends."""
    wire = Wire(organisation)
    work: Deferred[m.Done] = Deferred()
    wire.route(m.TaskWant, lambda session, message: work)
    wire.open()
    under_way = Deferred.fromCoroutine(wire.dialled.request(m.TaskWant(outstanding=1, epoch=0), m.Done))
    wire.turn()
    wire.accepted.give_way(newer(organisation, wire).accepted)
    wire.pass_time(20)
    assert not wire.accepted.ended and not under_way.called
    work.callback(None)  # type: ignore[arg-type]  # a handler may have nothing to say
    wire.turn()
    assert isinstance(under_way.result, m.Done)
    wire.pass_time(limits.HANDOVER_QUIET + 2 * limits.HEARTBEAT)
    assert wire.accepted.reason.startswith("superseded") and wire.dialled.ended


def test_it_does_not_linger_for_ever(organisation: Organisation) -> None:
    """Work that never ends keeps an old session for some minutes and no longer."""
    wire = Wire(organisation)
    wire.route(m.TaskWant, lambda session, message: Deferred())
    wire.open()
    lost = Deferred.fromCoroutine(wire.dialled.request(m.TaskWant(outstanding=1, epoch=0), m.Done))
    lost.addErrback(lambda failure: failure.getErrorMessage())
    wire.turn()
    wire.accepted.give_way(newer(organisation, wire).accepted)
    wire.pass_time(limits.HANDOVER_MOST + 2 * limits.HEARTBEAT, step=1.0)
    assert wire.accepted.ended and str(lost.result).startswith("superseded")


def test_an_earlier_process_gives_way_at_once(organisation: Organisation) -> None:
    """What a dead process of the peer left is nobody's any more."""
    wire = Wire(organisation)
    wire.open()
    another = Wire(organisation, wire.caller.identity, wire.called.identity)
    another.clock = wire.clock
    another.caller.hello = type(wire.caller.hello)(
        wire.caller.hello.name, wire.caller.hello.cluster, "9" * 32, 2, "1.0"
    )
    another.open()
    wire.accepted.give_way(another.accepted)
    assert wire.accepted.reason.startswith("superseded")


def test_a_session_ends_with_the_certificate_that_opened_it(organisation: Organisation) -> None:
    """It is due before that, for both ends' sakes, and over then, whatever is under way."""
    key = organisation.member(Role.LUS).key
    name = RjsName(Role.LUS, "7" * 32)
    chain = organisation.tokens.issue(key.public_key(), name, "lus", organisation.now, 60.0)
    wire = Wire(organisation, Identity(key, chain))
    wire.open()
    wire.dialled.shown = chain[0]
    for session in (wire.dialled, wire.accepted):
        assert 48 < session.due_in() < 51 and 58 < session.ends_in() < 61
    wire.pass_time(58)
    assert not wire.accepted.reason
    wire.pass_time(4)
    assert wire.accepted.reason.startswith("certificate-expired")
