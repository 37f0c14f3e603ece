"""Making sessions: an acceptor listens at a door, a dialler keeps one session to an address alive.

Both put TLS under a ``Session``. Neither decides who is welcome (the door does) nor what happens to work when
a session ends (the servers' rules do).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTCP
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from rjs import limits
from rjs.background import sleep
from rjs.errors import UnreachableError
from rjs.wire.frames import FrameFactory, FrameProtocol
from rjs.wire.session import Door, Self, Session

_log = Logger("rjs.dial")


class RefusedConnectionError(UnreachableError):
    """The host answered that nobody listens there: the process is not running."""


class Acceptor:
    """Listens on one TCP port and opens a session for each connection, up to ``most`` at once."""

    def __init__(self, reactor: ReactorBase, me: Self, door: Door, creator: Any, most: int) -> None:
        self._reactor = reactor
        self._me = me
        self._door = door
        self._most = most
        self._creator = creator
        self._port: IListeningPort | None = None
        self.sessions: set[Session] = set()

    def listen(self, port: int, interface: str) -> int:
        """Bind (0: any port) and return the port number. Raises UnreachableError when it cannot."""
        factory = TLSMemoryBIOFactory(self._creator, False, FrameFactory(self._accept))
        try:
            self._port = IReactorTCP(self._reactor).listenTCP(
                port,
                factory,  # type: ignore[arg-type]  # TLSMemoryBIOFactory is one
                interface=interface,
            )
        except OSError as error:
            raise UnreachableError(f"cannot listen on {interface or '*'}:{port}: {error}") from error
        host = self._port.getHost()
        assert isinstance(host, IPv4Address | IPv6Address)
        return host.port

    def renew(self, creator: Any) -> None:
        """New connections get a new certificate; old ones stay."""
        self._creator = creator

    async def close(self, sentence: str) -> None:
        """Stop listening and say goodbye to everyone."""
        if self._port is not None:
            await _maybe(self._port.stopListening())
        for session in list(self.sessions):
            session.close("closing", sentence)

    def _accept(self, address: IAddress | None) -> FrameProtocol | None:
        if len(self.sessions) >= self._most:
            _log.warn(
                "refused a connection from {address}: {most} are open", address=address, most=self._most
            )
            return None
        session = Session(self._reactor, self._me, self._door)
        self.sessions.add(session)
        session.gone.addCallback(lambda _: self.sessions.discard(session))
        session.ready.addErrback(
            lambda failure: _log.warn(
                "a connection from {address} became no session: {why}",
                address=getattr(address, "host", address),
                why=failure.getErrorMessage(),
            )
        )
        return session.protocol


async def dial(
    reactor: ReactorBase, host: str, port: int, me: Self, door: Door, creator: Any, number: int = 0
) -> Session:
    """Connect and exchange hellos.

    Raises RefusedConnectionError when nobody listens there, UnreachableError with the reason otherwise
    (the peer's certificate was refused, the peer said bye, it did not answer).
    """
    session = Session(reactor, me, door, number)
    factory = TLSMemoryBIOFactory(creator, True, FrameFactory(lambda _: session.protocol))
    endpoint = HostnameEndpoint(reactor, host, port, timeout=limits.HANDSHAKE)
    try:
        await endpoint.connect(factory)
    except ConnectionRefusedError as error:
        session.ready.addErrback(lambda _: None)
        raise RefusedConnectionError(f"nobody listens at {host}:{port}") from error
    except ConnectingCancelledError as error:  # Twisted's name for it; its holder knows only one
        raise CancelledError from error
    except (ConnectError, DNSLookupError, OSError) as error:
        session.ready.addErrback(lambda _: None)
        raise UnreachableError(f"cannot reach {host}:{port}: {error}") from error
    return await session.ready


class Dialler:
    """Keeps one session to the first of ``addresses`` that answers: dials, waits for its end, dials again
    with jittered back-off."""

    def __init__(
        self,
        reactor: ReactorBase,
        addresses: Sequence[tuple[str, int]],
        me: Self,
        door: Door,
        creator: Callable[[], Any],
    ) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self._me = me
        self._door = door
        self._creator = creator
        self._numbers = 0
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self.session: Session | None = None
        self.trouble = "not dialled yet"

    async def run(self) -> None:
        """Never returns; cancel it to stop."""
        pause = limits.DIAL_BACKOFF_FIRST
        while True:
            try:
                self._numbers += 1
                host, port = self._addresses[self._numbers % len(self._addresses)]
                session = await dial(
                    self._reactor, host, port, self._me, self._door, self._creator(), self._numbers
                )
            except UnreachableError as error:
                if str(error) != self.trouble:
                    _log.info("{host}:{port}: {error}", host=host, port=port, error=error)
                self.trouble = str(error)
            else:
                pause = limits.DIAL_BACKOFF_FIRST
                self.session, self.trouble = session, ""
                try:
                    self.trouble = await session.gone
                finally:
                    self.session = None
                    session.close("closing", "this side stops")
            await sleep(self._reactor, pause * (0.5 + self._random.random()))
            pause = min(limits.DIAL_BACKOFF_MOST, 2 * pause)


def host_and_port(address: str) -> tuple[str, int]:
    """HOST:PORT taken apart; an IPv6 host stands in brackets. The form was checked where it came in."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _maybe(result: object) -> None:
    if isinstance(result, Deferred):
        await result
