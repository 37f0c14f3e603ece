"""Admission is paced: few handshakes at a time, in order, and nobody who dawdles keeps others out."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs import limits
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.identity.tls import client_context, server_context
from rjs.wire.admission import Admission
from rjs.wire.dial import Acceptor, dial
from rjs.wire.session import Session
from rjs.wire.testing import Member


class Door:
    """An admission on a clock; ``began`` and ``dropped`` name connections in order."""

    def __init__(self, most: int) -> None:
        self.clock = Clock()
        self.admission = Admission(self.clock, most)
        self.began: list[str] = []
        self.dropped: list[str] = []
        self.drops: dict[str, Any] = {}

    def come(self, *names: str) -> None:
        for name in names:
            self.drops[name] = partial(self.drop, name)
            self.admission.enter(self.drops[name], partial(self.began.append, name))

    def drop(self, name: str, sentence: str) -> None:
        self.dropped.append(name)
        self.leave(name)

    def leave(self, name: str) -> None:
        self.admission.leave(self.drops[name])


def test_the_next_begins_when_one_is_done() -> None:
    """As many as allowed begin; each that is done, or gone, lets the longest waiting in."""
    door = Door(2)
    door.come("a", "b", "c", "d", "e")
    assert door.began == ["a", "b"] and door.admission.begun == 2
    door.leave("d")  # gave up while it waited
    door.leave("b")
    assert door.began == ["a", "b", "c"]
    door.leave("b")  # done, and later gone: counted once
    assert door.began == ["a", "b", "c"]
    door.leave("a")
    assert door.began == ["a", "b", "c", "e"]


def test_who_dawdles_goes_when_others_wait() -> None:
    """A slow handshake is dropped for those who wait, and left alone while nobody does."""
    door = Door(2)
    door.come("a", "b")
    door.clock.advance(10 * limits.HANDSHAKE_SLOW)
    assert door.dropped == [] and door.clock.getDelayedCalls() == []
    door.come("c")
    door.clock.advance(0)
    assert door.dropped == ["a", "b"] and door.began == ["a", "b", "c"]
    door.come("d", "e")
    door.clock.advance(limits.HANDSHAKE_SLOW / 2)
    assert door.dropped == ["a", "b"]
    door.clock.advance(limits.HANDSHAKE_SLOW / 2)
    assert door.dropped == ["a", "b", "c", "d"] and door.began[-1] == "e"


# --- a real listener ----------------------------------------------------------------------------------


class Lobby:
    """A lookup server's door on loopback."""

    def __init__(self, reactor: ReactorBase, organisation: Organisation) -> None:
        self.reactor = reactor
        self.organisation = organisation
        called = Member.of(organisation, organisation.member(Role.LUS))
        self.acceptor = Acceptor(
            reactor, called.hello, called.door, server_context(called.identity, Role), 500
        )
        self.port = self.acceptor.listen(0, "127.0.0.1")

    def dial(self, caller: Member) -> Deferred[Any]:
        context = client_context(caller.identity, Role.LUS)
        return Deferred.fromCoroutine(
            dial(self.reactor, "127.0.0.1", self.port, caller.hello, caller.door, context, 1)
        )

    def until(self, done: Any) -> None:
        for _ in range(3000):
            if done():
                return
            self.reactor.iterate(0.01)
        raise AssertionError("it hangs")


@pytest.fixture
def lobby(
    reactor: ReactorBase, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lobby]:
    monkeypatch.setattr(Admission.__init__, "__defaults__", (4,))
    made = Lobby(reactor, organisation)
    yield made
    closed = Deferred.fromCoroutine(made.acceptor.close("the test ends"))
    made.until(lambda: closed.called)


def test_many_at_once_are_all_served_few_at_a_time(lobby: Lobby) -> None:
    """Of 120 that dial in the same moment every one gets its session, with never more than four handshakes begun."""
    caller = Member.of(lobby.organisation, lobby.organisation.member(Role.CS))
    dials = [lobby.dial(caller) for _ in range(120)]
    begun: list[int] = []

    def all_done() -> bool:
        begun.append(lobby.acceptor.admission.begun)
        return all(each.called for each in dials)

    lobby.until(all_done)
    assert all(isinstance(each.result, Session) for each in dials)
    assert max(begun) == 4
    lobby.until(lambda: lobby.acceptor.admission.begun == 0)


def test_strangers_in_the_lobby_keep_nobody_out(lobby: Lobby, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that say nothing take no place; those that begin TLS and stop are dropped when a member waits."""
    monkeypatch.setattr(limits, "HANDSHAKE_SLOW", 0.2)
    silent = [socket.create_connection(("127.0.0.1", lobby.port)) for _ in range(20)]
    hello = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    first_flight = hello.read()
    slow = [socket.create_connection(("127.0.0.1", lobby.port)) for _ in range(8)]
    for each in slow:
        each.sendall(first_flight)
    lobby.until(lambda: lobby.acceptor.admission.begun == 4)
    caller = Member.of(lobby.organisation, lobby.organisation.member(Role.CS))
    dialled = lobby.dial(caller)
    lobby.until(lambda: dialled.called)
    assert isinstance(dialled.result, Session)
    for each in [*silent, *slow]:
        each.close()
