"""Sessions joined in memory: real TLS, real frames, no sockets; time and delivery are turned by hand.

    wire = Wire(organisation, Role.LUS, Role.WS)      # who dials, who is dialled
    wire.open()
    reply = wire.ask(wire.dialled, message, m.Done)   # a Deferred; ``wire.turn()`` delivers what was written
    wire.accepted_end.reading = False                 # the web server's machine stops taking bytes

``Member`` is one side: an identity, a hello and a ``RecordingDoor``. ``join`` puts a wire between any two
Twisted protocols, so that a stranger who speaks no RJS can be put at one end.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs.attempts import AttemptId, Fence
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.foreign import guest_name
from rjs.identity.foreign_testing import ForeignCa
from rjs.identity.keys import PrivateKey
from rjs.identity.names import Role
from rjs.identity.peers import guest, identify
from rjs.identity.testing import Organisation
from rjs.identity.tls import client_context, server_context
from rjs.ids import ClusterId
from rjs.wire import messages as m
from rjs.wire.frames import FrameFactory, FrameProtocol, TlsDoor
from rjs.wire.session import Handler, Routes, Self, Session

Reply = TypeVar("Reply", bound=m.Message)

BUFFER = 64 * 1024
"""Unsent bytes from which on an end's producer is paused, as Twisted's sockets do it."""

_TURNS = 10_000  # a wire that is not quiet after so many turns never will be


@implementer(ITCPTransport)
class MemoryEnd:
    """One end of a wire: Twisted's transport of a protocol that believes to have a socket.

    ``reading`` is whether this machine takes what the other one sent. ``piece`` cuts what it takes to at most
    so many bytes at a time.
    """

    def __init__(self, clock: Clock, protocol: Protocol, host: str) -> None:
        self._clock = clock
        self._host = host
        self._unsent = bytearray()
        self._producer: IPushProducer | None = None
        self._paused = False
        self._lost = False
        self.protocol = protocol
        self.other: MemoryEnd = self
        self.reading = True
        self.piece = 1 << 20
        self.disconnecting = False
        self.sent = 0

    # --- what a test asks ---------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes that were written here and that the other machine has not taken."""
        return len(self._unsent)

    @property
    def lost(self) -> bool:
        """The connection has ended here."""
        return self._lost

    def cut(self) -> None:
        """The cable is pulled and the kernel noticed."""
        self._lose(ConnectionLost())
        self.other._lose(ConnectionLost())

    def deliver(self) -> bool:
        """Hand what was written here to the other end, if it reads; whether anything happened."""
        other, moved = self.other, False
        if self._unsent and other.reading and not other._lost:
            data = bytes(self._unsent[: other.piece])
            del self._unsent[: other.piece]
            other.protocol.dataReceived(data)
            moved = True
        if not self._unsent and self._paused and self._producer is not None:
            self._paused = False
            self._producer.resumeProducing()
            moved = True
        if self.disconnecting and not self._unsent and not self._lost:
            self._lose(ConnectionDone())
            other._lose(ConnectionDone())
            moved = True
        return moved

    # --- what Twisted asks --------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Take bytes, and pause the producer when many are unsent."""
        if self._lost:
            return
        self._unsent += data
        self.sent += len(data)
        if len(self._unsent) > BUFFER and self._producer is not None and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        """Take bytes in pieces."""
        self.write(b"".join(data))

    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        """Whom to pause."""
        self._producer = producer

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Nobody to pause."""
        self._producer = None

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close when what was written is delivered."""
        self.disconnecting = True

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        """Close in the next turn, whatever is unsent."""
        assert not self._lost, "Twisted's sockets cannot be aborted once they are lost"
        self._unsent.clear()
        self._clock.callLater(0, self._lose, ConnectionAborted())
        self.other._clock.callLater(0, self.other._lose, ConnectionLost())

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        """The other machine."""
        return IPv4Address("TCP", self.other._host, 9)

    def getHost(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        """This machine."""
        return IPv4Address("TCP", self._host, 9)

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """There is no delay."""

    def getTcpNoDelay(self) -> bool:  # noqa: N802 - Twisted's name
        """There is no delay."""
        return True

    def setTcpKeepAlive(self, enabled: bool) -> None:  # noqa: N802 - Twisted's name
        """Nothing to keep alive."""

    def getTcpKeepAlive(self) -> bool:  # noqa: N802 - Twisted's name
        """Nothing to keep alive."""
        return False

    def loseWriteConnection(self) -> None:  # noqa: N802 - Twisted's name
        """TLS has no half-closed connections."""
        raise NotImplementedError

    def _lose(self, reason: Exception) -> None:
        if not self._lost:
            self._lost = True
            self.protocol.connectionLost(Failure(reason))


def join(clock: Clock, dialled: Protocol, accepted: Protocol) -> tuple[MemoryEnd, MemoryEnd]:
    """A wire between two protocols, both told that they are connected."""
    one, two = MemoryEnd(clock, dialled, "192.0.2.1"), MemoryEnd(clock, accepted, "192.0.2.2")
    one.other, two.other = two, one
    accepted.makeConnection(cast(Any, two))
    dialled.makeConnection(cast(Any, one))
    return one, two


class RecordingDoor:
    """A whole door: welcomes the roles given, does what the routes given say, and keeps what it was told."""

    def __init__(self, welcome: Iterable[Role] = Role, routes: Routes | None = None) -> None:
        self.welcome = frozenset(welcome)
        self.routes: Routes = routes or {}
        self.events: list[str] = []
        self.answers: list[float] = []

    def opened(self, session: Session) -> None:
        """Keeps ``opened`` and the caller's name."""
        self.events.append(f"opened {session.peer.name.uri()}")

    def heard(self, session: Session) -> None:
        """Keeps ``heard``."""
        self.events.append("heard")

    def answered(self, session: Session, sent: float) -> None:
        """Keeps when the heartbeat had been sent."""
        self.answers.append(sent)

    def closed(self, session: Session, reason: str) -> None:
        """Keeps ``closed`` and the reason."""
        self.events.append(f"closed {reason}")

    @property
    def milestones(self) -> list[str]:
        """What was opened and closed, without the heartbeats."""
        return [each for each in self.events if each != "heard"]


@attrs.define(eq=False)
class Member:
    """One side of a wire."""

    identity: Identity
    door: RecordingDoor
    hello: Self

    @classmethod
    def of(cls, organisation: Organisation, identity: Identity, boot: int = 1) -> Member:
        """Whoever holds ``identity``, saying in its hello what is true."""
        name = (
            guest_name(identity.chain[0])
            if _is_guest(identity)
            else identify(identity.chain, identity.root).name
        )
        cluster = cluster_id(organisation)
        return cls(identity, RecordingDoor(), Self(name.uri(), cluster, f"{boot:032x}", boot, "1.0"))

    @property
    def role(self) -> Role:
        """What its certificate may call."""
        return identify(self.identity.chain, self.identity.root).name.role


class Wire:
    """Two sessions over one wire. ``dialled`` and ``accepted`` are the sessions of who dials and who is dialled,
    ``dialled_end`` and ``accepted_end`` their machines' ends of the wire."""

    def __init__(
        self,
        organisation: Organisation,
        caller: Role | Identity = Role.LUS,
        called: Role | Identity = Role.WS,
    ) -> None:
        self.clock = Clock()
        self.now = organisation.now
        self.ahead = dt.timedelta()
        """How far the dialled side's clock is ahead of the dialling side's. Before connecting."""
        self.caller = Member.of(organisation, _identity(organisation, caller))
        self.called = Member.of(organisation, _identity(organisation, called))

    def wall(self) -> dt.datetime:
        """Wall time: it goes with the clock."""
        return self.now + dt.timedelta(seconds=self.clock.seconds())

    def route(self, kind: type[m.Message], handler: Handler) -> None:
        """Let the dialled side do ``handler`` when the dialling side says a ``kind``. Before connecting."""
        self.called.door.routes = {**self.called.door.routes, kind: handler}

    def connect(self) -> None:
        """Put TLS and sessions on the wire, and deliver nothing yet."""
        self.dialled = Session(self.clock, self.caller.hello, self.caller.door, 1, self.wall)
        self.accepted = Session(
            self.clock, self.called.hello, self.called.door, 0, lambda: self.wall() + self.ahead
        )
        self.endings: list[str] = []
        for session in (self.dialled, self.accepted):
            session.ready.addErrback(lambda failure: self.endings.append(failure.getErrorMessage()))
        self.dialled_end, self.accepted_end = join(
            self.clock,
            dialling(self.clock, self.caller.identity, self.called.role, self.dialled.protocol),
            accepting(self.clock, self.called.identity, self.accepted.protocol),
        )

    def open(self) -> None:
        """Connect, and exchange hellos."""
        self.connect()
        self.turn()

    def turn(self) -> None:
        """Deliver until nothing moves any more. Time stands still."""
        turn(self.clock, (self.dialled_end, self.accepted_end))

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, delivering after every step."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)
            self.turn()

    def ask(self, session: Session, message: m.Message, kind: type[Reply]) -> Deferred[Reply]:
        """A request of ``session``, delivered and answered as far as it can be."""
        asked = Deferred.fromCoroutine(session.request(message, kind))
        self.turn()
        return asked


def turn(clock: Clock, ends: Iterable[MemoryEnd]) -> None:
    """Deliver between ``ends`` until nothing moves any more. Time stands still."""
    ends = tuple(ends)
    for _ in range(_TURNS):
        due = [call for call in clock.getDelayedCalls() if call.getTime() <= clock.seconds()]
        clock.advance(0)
        moved = [end.deliver() for end in ends]
        if not any(moved) and not due:
            return
    raise AssertionError("the wire never becomes quiet: two sides answer each other for ever")


def dialling(clock: Clock, identity: Identity, role: Role, inner: Protocol) -> Protocol:
    """``inner`` under TLS as ``identity``, dialling somebody of ``role``."""
    factory = TLSMemoryBIOFactory(client_context(identity, role), True, _factory(inner), clock)
    return _built(factory)


def accepting(clock: Clock, identity: Identity, inner: Protocol) -> Protocol:
    """``inner`` under TLS as ``identity``, accepting any role, as every listener of ours does."""
    context = server_context(identity, Role)
    context.guests = lambda path, now: guest(path)  # every other CA is accepted
    return _built(TlsDoor(context, False, _factory(inner), clock))


def cluster_id(organisation: Organisation) -> ClusterId:
    """The cluster that an organisation stands for."""
    return cluster_of(organisation.root)


def _identity(organisation: Organisation, who: Role | Identity) -> Identity:
    if isinstance(who, Identity):
        return who
    if who is Role.GUEST:
        stranger = ForeignCa(organisation.now).issue()
        assert isinstance(stranger.key, PrivateKey)
        return Identity(stranger.key, (*stranger.chain, organisation.root))
    if who is Role.JOB:
        return organisation.job(AttemptId("ab" * 32, 7, Fence(1, 42, 3)))
    if who is Role.EXPIRED:
        return organisation.expired(Role.CS)
    return organisation.invitation(Role.CS).identity if who is Role.INVITATION else organisation.member(who)


def _is_guest(identity: Identity) -> bool:
    """Whether it shows a certificate of another CA and believes our root."""
    return identity.chain[-2].issuer != identity.root.subject


def _factory(inner: Protocol) -> FrameFactory:
    return FrameFactory(lambda _: cast(FrameProtocol, inner))


def _built(factory: TLSMemoryBIOFactory) -> Protocol:
    built = factory.buildProtocol(None)
    assert built is not None
    return built
