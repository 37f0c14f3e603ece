"""Dialling and accepting over loopback: every refusal in words, nothing hangs, nothing is left behind."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, cast

import pytest
from OpenSSL import SSL
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOProtocol

import rjs.wire.dial
from rjs import limits
from rjs.background import Tasks
from rjs.errors import UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.identity.tls import ClientContext, client_context, server_context
from rjs.wire.dial import (
    Acceptor,
    Backoff,
    Dialler,
    OwnCertificateError,
    RefusedConnectionError,
    dial,
    host_and_port,
)
from rjs.wire.session import Session
from rjs.wire.testing import Member, RecordingDoor

MOST = 5


class Loopback:
    """A web server's door on loopback, and whoever dials it."""

    def __init__(self, reactor: ReactorBase, organisation: Organisation) -> None:
        self.reactor = reactor
        self.organisation = organisation
        self.called = Member.of(organisation, organisation.member(Role.WS))
        self.acceptor = self.new_acceptor(MOST)
        self.port = self.acceptor.listen(0, "127.0.0.1")
        self.strangers: list[socket.socket] = []

    def new_acceptor(self, most: int) -> Acceptor:
        context = server_context(self.called.identity, Role)
        return Acceptor(self.reactor, self.called.hello, self.called.door, context, most)

    def dial(
        self, who: Identity | None = None, port: int | None = None, door: RecordingDoor | None = None,
        context: ClientContext | None = None,
    ) -> Coroutine[Deferred[Any], Any, Session]:  # fmt: skip
        caller = Member.of(self.organisation, who or self.organisation.member(Role.LUS))
        context = context or client_context(caller.identity, Role.WS)
        return dial(
            self.reactor, "127.0.0.1", port or self.port, caller.hello, door or caller.door, context, 1
        )

    def stranger(self) -> socket.socket:
        """Somebody who connects and says nothing."""
        self.strangers.append(socket.create_connection(("127.0.0.1", self.port)))
        return self.strangers[-1]

    def until(self, done: Callable[[], object]) -> None:
        for _ in range(400):
            if done():
                return
            self.reactor.iterate(0.02)
        raise AssertionError("it hangs")

    def outcome(self, work: Coroutine[Deferred[Any], Any, Any] | Deferred[Any]) -> Any:
        """The result of ``work``, or its error."""
        got: list[Any] = []
        deferred = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        deferred.addBoth(got.append)
        self.until(lambda: got)
        return getattr(got[0], "value", got[0])

    def close(self) -> None:
        for each in self.strangers:
            each.close()
        self.outcome(self.acceptor.close("the test ends"))
        self.until(lambda: not self.acceptor.sessions)


@pytest.fixture
def loopback(reactor: ReactorBase, organisation: Organisation) -> Iterator[Loopback]:
    """A listening web server; afterwards no socket and no timer of the wire is left."""
    found = Loopback(reactor, organisation)
    yield found
    found.close()
    found.until(lambda: not left_behind(reactor))


def left_behind(reactor: ReactorBase) -> list[object]:
    """Connections that are still open."""
    readers = cast(Any, reactor).getReaders()
    return [each for each in readers if "Waker" not in type(each).__name__]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handshakes may take a third of a second."""
    monkeypatch.setattr(limits, "HANDSHAKE", 0.3)


def test_a_session_is_opened_and_closed(loopback: Loopback) -> None:
    """Both ends open; the kernel is told to give up unacknowledged bytes; closing takes no linger."""
    session = loopback.outcome(loopback.dial())
    assert isinstance(session, Session)
    (accepted,) = loopback.acceptor.sessions
    for end in (session, accepted):
        raw = cast(Any, end.protocol.transport).socket
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == limits.SILENCE * 1000
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    began = loopback.reactor.seconds()
    session.close("done", "the test is done")
    loopback.until(lambda: session.ended and accepted.ended)
    assert loopback.reactor.seconds() - began < limits.LINGER / 2
    assert accepted.reason == "done: the test is done"


def test_nobody_listens(loopback: Loopback) -> None:
    """A host that refuses the connection is told from one that does not answer."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = loopback.outcome(loopback.dial(port=unused.getsockname()[1]))
    assert isinstance(error, RefusedConnectionError)
    assert str(error).startswith("nobody listens at 127.0.0.1:")


def test_our_certificate_is_refused(loopback: Loopback, organisation: Organisation) -> None:
    """The client's handshake succeeds before the server judges it; the refusal still comes out, in words."""
    stranger = Organisation(organisation.now).member(Role.LUS)
    impostor = Identity(stranger.key, (*stranger.chain[:-1], organisation.root))
    error = loopback.outcome(loopback.dial(context=client_context(impostor, Role.WS)))
    assert type(error) is UnreachableError
    assert str(error).startswith("identity.refused_by_peer: the peer refused our certificate")


def test_who_is_refused_again_and_again_fills_no_log(loopback: Loopback, organisation: Organisation) -> None:
    """The door tells once why it refused this caller, however often that dials; another reason is told too."""
    impostors = [Organisation(organisation.now).member(Role.LUS), organisation.member(Role.LUS)]
    shown = [Identity(each.key, (*each.chain[:-1], organisation.root)) for each in impostors]
    loopback.called.door.welcome = frozenset({Role.WS})
    with capturedLogs() as logged:
        for identity in (*shown, *shown, *shown):
            ended = loopback.outcome(loopback.dial(context=client_context(identity, Role.WS)))
            assert isinstance(ended, UnreachableError | Session)
            loopback.until(lambda: not loopback.acceptor.sessions)
    told = [str(each["why"]) for each in logged if "became no session" in str(each["log_format"])]
    assert sorted(each.partition(":")[0] for each in told) == ["identity.other_root", "wrong-role"]


def test_the_door_refuses_in_words(loopback: Loopback, organisation: Organisation) -> None:
    """A role that the door does not welcome reads the door's own words."""
    loopback.called.door.welcome = frozenset({Role.LUS})
    session = loopback.outcome(loopback.dial(organisation.member(Role.CS)))
    if isinstance(session, Session):  # our hello check passed before their word came: it comes now
        loopback.until(lambda: session.ended)
        assert session.reason.startswith("wrong-role: rjs://cs/")
    else:
        assert str(session).startswith("wrong-role: rjs://cs/")


def test_the_peers_certificate_is_refused(loopback: Loopback, organisation: Organisation) -> None:
    """Whoever is not the role that was meant is refused by us, by name."""
    context = client_context(organisation.member(Role.LUS), Role.CS)
    error = loopback.outcome(loopback.dial(context=context))
    assert type(error) is UnreachableError and "has the wrong role here" in str(error)


def test_our_own_expired_certificate_is_not_shown(loopback: Loopback, organisation: Organisation) -> None:
    """We say so ourselves, by name and date, and nobody is dialled."""
    old = organisation.member(Role.LUS, now=organisation.now - dt.timedelta(days=3))
    error = loopback.outcome(loopback.dial(old))
    assert isinstance(error, OwnCertificateError)
    assert "our own certificate, rjs://lus/" in str(error) and "expired at" in str(error)
    assert not loopback.acceptor.sessions


def test_a_peer_that_says_nothing(loopback: Loopback, brief: None) -> None:
    """A listener that takes the connection and never speaks is given up in bounded time."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = loopback.outcome(loopback.dial(port=silent.getsockname()[1]))
    assert type(error) is UnreachableError and "no hello within" in str(error)


def test_a_host_that_swallows_everything(loopback: Loopback, organisation: Organisation) -> None:
    """The connection's own patience never ends first, so who does not answer has one sentence, not two by turns."""
    clock = MemoryReactorClock()
    caller = Member.of(organisation, organisation.member(Role.LUS))
    context = client_context(caller.identity, Role.WS)
    for host in ("192.0.2.1", "2001:db8::1"):
        got: list[Any] = []
        dialling = dial(cast(ReactorBase, clock), host, 9000, caller.hello, caller.door, context, 1)
        Deferred.fromCoroutine(dialling).addBoth(got.append)
        patience = clock.tcpClients[-1][3]
        assert patience > limits.HANDSHAKE
        clock.advance(limits.HANDSHAKE)
        assert str(got[0].value) == f"{host}:9000 said no hello within {limits.HANDSHAKE:.0f} s"


class BrokenContext(ClientContext):
    """TLS that cannot even start."""

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N803
        raise ZeroDivisionError


def test_a_tls_that_fails_to_start(loopback: Loopback, organisation: Organisation, brief: None) -> None:
    """Twisted never answers then; dialling still ends in bounded time, with words."""
    member = organisation.member(Role.LUS)
    whole = client_context(member, Role.WS)
    broken = BrokenContext.__new__(BrokenContext)
    broken.__dict__.update(whole.__dict__)
    error = loopback.outcome(loopback.dial(member, context=broken))
    assert type(error) is UnreachableError and "no hello within" in str(error)


def test_cancelling_a_dial_leaves_nothing(loopback: Loopback) -> None:
    """Before the connection or before the hello: whoever cancels is told so, and the connection is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for turns in (0, 20):
            dialling = Deferred.fromCoroutine(loopback.dial(port=silent.getsockname()[1]))
            for _ in range(turns):
                loopback.reactor.iterate(0.01)
            dialling.cancel()
            assert isinstance(loopback.outcome(dialling), CancelledError)


# --- the acceptor -----------------------------------------------------------------------------------------


def test_a_port_in_use_is_told(loopback: Loopback) -> None:
    """A second listener on one port is refused with the port and the reason."""
    with pytest.raises(UnreachableError, match=f"cannot listen on 127.0.0.1:{loopback.port}: .*in use"):
        loopback.new_acceptor(1).listen(loopback.port, "127.0.0.1")


def test_strangers_give_way_to_members(loopback: Loopback) -> None:
    """When the door is full of connections that say nothing, the oldest of them is dropped for a member."""
    strangers = [loopback.stranger() for _ in range(MOST)]
    loopback.until(lambda: len(loopback.acceptor.sessions) == MOST)
    session = loopback.outcome(loopback.dial())
    assert isinstance(session, Session)
    strangers[0].settimeout(5)
    loopback.until(lambda: len(loopback.acceptor.sessions) == MOST)
    with pytest.raises(ConnectionResetError):
        while strangers[0].recv(4096):
            pass


def test_a_full_door_refuses_and_closes(loopback: Loopback) -> None:
    """When it is full of members, a further connection is closed at once, and members stay."""
    members = [loopback.outcome(loopback.dial()) for _ in range(MOST)]
    stranger = loopback.stranger()
    stranger.settimeout(0)

    def closed() -> bool:
        try:
            return stranger.recv(1) == b""
        except BlockingIOError:
            return False

    loopback.until(closed)
    assert len(loopback.acceptor.sessions) == MOST
    assert not any(each.ended for each in members)


def test_one_member_cannot_take_the_whole_door(
    loopback: Loopback, organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions of one member beyond its share are closed by name; when one ends there is room again."""
    monkeypatch.setattr(limits, "PEER_SESSIONS", 2)
    ada = organisation.member(Role.USER)
    first, second, third = (loopback.outcome(loopback.dial(ada)) for _ in range(3))
    loopback.until(lambda: third.ended)
    assert third.reason == "too-many-sessions: rjs://user/ada has 2 sessions here; close some"
    first.close("done", "")
    loopback.until(lambda: len(loopback.acceptor.sessions) == 1)
    fourth = loopback.outcome(loopback.dial(ada))
    loopback.reactor.iterate(0.05)
    assert not fourth.reason and not second.reason


def test_closing_says_goodbye_to_everyone(loopback: Loopback) -> None:
    """When close returns, every session is gone, and every member could read why."""
    members = [loopback.outcome(loopback.dial()) for _ in range(3)]
    loopback.outcome(loopback.acceptor.close("the web server stops"))
    assert not loopback.acceptor.sessions
    loopback.until(lambda: all(each.ended for each in members))
    assert {each.reason for each in members} == {"closing: the web server stops"}
    assert isinstance(loopback.outcome(loopback.dial()), RefusedConnectionError)


# --- the dialler ------------------------------------------------------------------------------------------


class FakeSession:
    """A session that ends when told."""

    def __init__(self) -> None:
        self.ended: Deferred[str] = Deferred()
        self.closed: list[str] = []

    def due_in(self) -> float:
        return 3600.0

    def gone(self) -> Deferred[str]:
        self.ended = Deferred()
        return self.ended

    def close(self, code: str, sentence: str) -> None:
        self.closed.append(code)


class Dialled:
    """A dialler on a clock, with every attempt that it makes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> None:
        self.clock = Clock()
        self.tasks = Tasks("test")
        self.attempts: list[tuple[float, int, int]] = []

        async def fake(
            reactor: Any, host: str, port: int, me: Any, door: Any, creator: Any, number: int, proxy: Any
        ) -> Any:
            self.attempts.append((self.clock.seconds(), port, number))
            return answer()

        monkeypatch.setattr(rjs.wire.dial, "dial", fake)
        addresses = [("127.0.0.1", 1), ("127.0.0.1", 2)]
        self.dialler = Dialler(
            cast(Any, self.clock), addresses, cast(Any, None), cast(Any, None), lambda: cast(Any, None)
        )
        self.tasks.spawn("dialler", self.dialler.run())

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 20)):
            self.clock.advance(0.05)


def unreachable() -> Session:
    raise UnreachableError("it is off")


def test_dialling_again_is_bounded_and_takes_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is off is tried soon, then every few seconds, each address in turn, the first one first."""
    dialled = Dialled(monkeypatch, unreachable)
    dialled.pass_time(120)
    assert (
        120 / (1.5 * limits.DIAL_BACKOFF_MOST)
        < len(dialled.attempts)
        < 10 + 120 / (0.5 * limits.DIAL_BACKOFF_MOST)
    )
    assert [port for _, port, _ in dialled.attempts[:4]] == [1, 2, 1, 2]
    assert dialled.attempts[1][0] <= 2 * limits.DIAL_BACKOFF_FIRST
    assert [number for *_, number in dialled.attempts] == list(range(1, len(dialled.attempts) + 1))
    assert dialled.dialler.trouble == "it is off"
    dialled.tasks.cancel_all()
    assert dialled.clock.getDelayedCalls() == []


def test_a_door_that_closes_at_once_is_no_tight_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that open and end at once are dialled ever more slowly, like ones that never open."""

    class Closing(FakeSession):
        def gone(self) -> Deferred[str]:
            ended: Deferred[str] = Deferred()
            ended.callback("serving-another: not you")
            return ended

    dialled = Dialled(monkeypatch, Closing)
    dialled.pass_time(60)
    assert len(dialled.attempts) < 10 + 60 / (0.5 * limits.DIAL_BACKOFF_MOST)
    assert dialled.dialler.trouble == "serving-another: not you"
    dialled.tasks.cancel_all()


def test_a_defect_does_not_end_dialling(monkeypatch: pytest.MonkeyPatch, defects: list[str]) -> None:
    """Whatever goes wrong in one attempt is logged, and the next one comes."""
    dialled = Dialled(monkeypatch, lambda: 1 / 0)
    dialled.pass_time(3)
    assert len(dialled.attempts) > 2 and set(defects) == {"ZeroDivisionError"}
    dialled.tasks.cancel_all()


def test_one_session_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a session lives nothing is dialled; after one that held, dialling starts soon again."""
    session = FakeSession()
    dialled = Dialled(monkeypatch, lambda: session)
    dialled.pass_time(60)
    assert len(dialled.attempts) == 1 and dialled.dialler.session is cast(Any, session)
    session.ended.callback("lost")
    assert dialled.dialler.session is None and dialled.dialler.trouble == "lost"
    dialled.pass_time(0.2)
    assert len(dialled.attempts) == 2
    dialled.tasks.cancel_all()
    assert session.closed == ["closing"]
    session.ended.callback("closing: this side stops")


def test_backoff_doubles_with_jitter_up_to_its_most() -> None:
    """Pauses grow to the most, never beyond one and a half of it, and start anew after a session that held."""
    backoff = Backoff()
    pauses = [backoff.pause() for _ in range(20)]
    assert pauses[0] <= 1.5 * limits.DIAL_BACKOFF_FIRST
    assert all(
        0.5 * limits.DIAL_BACKOFF_MOST <= each <= 1.5 * limits.DIAL_BACKOFF_MOST for each in pauses[8:]
    )
    assert len(set(pauses)) == 20
    assert backoff.pause(held=limits.DIAL_BACKOFF_MOST) <= 1.5 * limits.DIAL_BACKOFF_FIRST


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("ws.example:9000", ("ws.example", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
    ],
)
def test_addresses_are_taken_apart(address: str, taken: tuple[str, int]) -> None:
    """HOST:PORT, with brackets around IPv6."""
    assert host_and_port(address) == taken
