"""Making sessions: an acceptor listens at a door, a dialler keeps one session to an address alive.

Both put TLS under a ``Session``. Neither decides who is welcome (the door does) nor what happens to work when
a session ends (the servers' rules do).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NotConnectingError,
)
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IReactorTCP,
    IReactorUNIX,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from rjs import limits
from rjs.background import sleep
from rjs.errors import UnreachableError
from rjs.identity.lifetimes import RENEWAL_GRACE_TIME, beyond_grace
from rjs.identity.paths import if_wrong
from rjs.identity.tls import ClientContext, ServerContext
from rjs.wire.admission import Admission
from rjs.wire.frames import FrameFactory, FrameProtocol, TlsDoor
from rjs.wire.greeting import clock_facts
from rjs.wire.handover import hold
from rjs.wire.proxy import ProxiedEndpoint, Proxy
from rjs.wire.refusals import Said, same_words
from rjs.wire.session import Door, Self, Session

_log = Logger("rjs.dial")


class RefusedConnectionError(UnreachableError):
    """The host answered that nobody listens there: the process is not running."""


class OwnCertificateError(UnreachableError):
    """Our own certificate has expired: every door would be closed to us, so none is tried."""


class Acceptor:
    """Listens on one TCP port and opens a session for each connection, up to ``most`` at once.

    When there are that many, one that has not said who it is gives way: strangers cannot keep members out.
    """

    def __init__(self, reactor: ReactorBase, me: Self, door: Door, creator: ServerContext, most: int) -> None:
        self._reactor = reactor
        self._me = me
        self._door = door
        self._most = most
        self._creator = creator
        self._port: IListeningPort | None = None
        self.admission = Admission(reactor)
        self._by_name: Counter[str] = Counter()
        self._refused_clock = ""
        self._said = Said()
        self.sessions: dict[Session, None] = {}

    def listen(self, port: int, interface: str) -> int:
        """Bind (0: any port) and return the port number. Raises UnreachableError when it cannot."""
        factory = TlsDoor(self._creator, False, FrameFactory(self._accept), self._reactor)
        try:
            self._port = IReactorTCP(self._reactor).listenTCP(
                port,
                factory,  # type: ignore[arg-type]  # it may refuse a connection with None
                backlog=limits.LISTEN_BACKLOG,
                interface=interface,
            )
        except CannotListenError as error:
            raise UnreachableError(
                f"cannot listen on {interface or '*'}:{port}: {error.socketError}; set another port in config.toml"
            ) from error
        host = self._port.getHost()
        assert isinstance(host, IPv4Address | IPv6Address)
        return host.port

    def listen_at(self, path: Path) -> None:
        """Bind a Unix socket at ``path``, which only this account can connect to. Raises UnreachableError."""
        factory = TlsDoor(self._creator, False, FrameFactory(self._accept), self._reactor)
        try:
            self._port = IReactorUNIX(self._reactor).listenUNIX(
                str(path),
                factory,  # type: ignore[arg-type]  # it may refuse a connection with None
                mode=0o600,
            )
        except (CannotListenError, OSError) as error:
            raise UnreachableError(f"cannot listen at {path}: {error}") from error

    async def close(self, sentence: str) -> None:
        """Stop listening, say goodbye to everyone, and return when they are gone."""
        if self._port is not None:
            stopped = self._port.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
        sessions = list(self.sessions)
        for session in sessions:
            session.close("closing", sentence)
        await DeferredList([session.gone() for session in sessions])

    def _accept(self, address: IAddress | None) -> FrameProtocol | None:
        if len(self.sessions) >= self._most and not self._drop_a_stranger():
            _log.warn(
                "refused a connection from {address}: {most} are open", address=address, most=self._most
            )
            return None
        session = Session(self._reactor, self._me, self._door, wall=self._creator.wall)
        self.sessions[session] = None
        session.protocol.gate = partial(self.admission.enter, session.abort)
        session.gone().addCallback(lambda _: self.admission.leave(session.abort))
        session.gone().addCallback(lambda _: self.sessions.pop(session, None))
        session.ready.addCallback(self._admitted)
        session.ready.addCallbacks(self._opened, lambda failure: self._not_opened(session, address, failure))
        return session.protocol

    def clock_facts(self, sessions: Iterable[Session]) -> dict[str, Any]:
        """What status says of the clocks of the peers of these sessions, and of whoever was last refused here while
        its clock and ours disagreed."""
        return clock_facts(sessions, self._refused_clock)

    def _not_opened(self, session: Session, address: object, failure: Failure) -> None:
        host, why = str(getattr(address, "host", address)), failure.getErrorMessage()
        if self._said.is_news(host, why, self._reactor.seconds()):
            _log.warn("a connection from {address} became no session: {why}", address=host, why=why)
        if session.clocks is not None and session.clocks.disagree:
            self._refused_clock = f"whoever called from {host}: {session.clocks.words()}"

    def _admitted(self, session: Session) -> Session:
        self.admission.leave(session.abort)
        return session

    def _drop_a_stranger(self) -> bool:
        oldest = next((each for each in self.sessions if each.identity is None), None)
        if oldest is not None:
            del self.sessions[oldest]
            oldest.abort(f"{self._most} connections are open, and this one had not said who it is")
        return oldest is not None

    def _opened(self, session: Session) -> None:
        name = session.peer.name.uri()
        if session.clocks is not None and not session.clocks.disagree:
            self._refused_clock = ""  # it was the other's that was wrong, or ours has been set
        self._by_name[name] += 1
        session.gone().addCallback(lambda _: self._closed(name))
        if self._by_name[name] > limits.PEER_SESSIONS:
            session.close("too-many-sessions", f"{name} has {limits.PEER_SESSIONS} sessions here; close some")

    def _closed(self, name: str) -> None:
        self._by_name[name] -= 1
        if not self._by_name[name]:
            del self._by_name[name]


async def dial(
    reactor: ReactorBase,
    host: str,
    port: int,
    me: Self,
    door: Door,
    creator: ClientContext,
    number: int = 0,
    *,
    to_renew: bool = False,
    proxy: Proxy | None = None,
) -> Session:
    """Connect and exchange hellos, within ``limits.HANDSHAKE``. Cancelling it drops the connection.

    ``to_renew`` dials with an expired certificate too, as long as that may renew itself; it may do nothing else.
    ``proxy`` is the HTTP proxy through which it is reached; TLS ends behind it.

    Raises RefusedConnectionError when nobody listens there, OwnCertificateError before anything is sent, and
    UnreachableError with the reason otherwise (the peer's certificate was refused, or ours, the peer said
    bye, it did not answer).
    """
    _check_own(creator, me.name, to_renew)
    session = Session(reactor, me, door, number, creator.wall)
    session.shown = creator.leaf
    endpoint = _endpoint(reactor, host, port)
    if proxy is not None:
        endpoint = ProxiedEndpoint(proxy, _endpoint(reactor, proxy.host, proxy.port), host, port)
    attempt = Deferred.fromCoroutine(_connected(reactor, f"{host}:{port}", endpoint, session, creator))
    attempt.addTimeout(
        limits.HANDSHAKE, reactor
    )  # a TLS that fails to start would else be waited for for ever
    try:
        return await attempt
    except TimeoutError:
        raise UnreachableError(f"{host}:{port} said no hello within {limits.HANDSHAKE:.0f} s") from None


def _check_own(creator: ClientContext, name: str, to_renew: bool) -> None:
    now, until = creator.wall(), creator.leaf.not_valid_after_utc
    if now < until:
        return
    if now > until + RENEWAL_GRACE_TIME:
        raise OwnCertificateError(beyond_grace(creator.leaf, now))
    if not to_renew:
        raise OwnCertificateError(
            f"our own certificate, {name}, expired at {until.isoformat(' ', 'seconds')} and is not renewed yet; "
            f"{if_wrong(now)}"
        )


async def _connected(
    reactor: ReactorBase,
    where: str,
    endpoint: IStreamClientEndpoint,
    session: Session,
    creator: ClientContext,
) -> Session:
    factory = TLSMemoryBIOFactory(creator, True, FrameFactory(lambda _: session.protocol), reactor)
    try:
        await _connecting(endpoint, factory)
        return await session.ready
    except ConnectionRefusedError as error:
        raise RefusedConnectionError(f"nobody listens at {where}; is the server running there?") from error
    except (ConnectError, DNSLookupError, OSError) as error:
        raise UnreachableError(f"cannot reach {where}: {error}") from error
    except ConnectingCancelledError as error:  # Twisted's name for it; its holder knows only one
        raise CancelledError from error
    except CancelledError:
        session.abort("no longer wanted")
        raise


def _connecting(endpoint: IStreamClientEndpoint, factory: IProtocolFactory) -> Deferred[object]:
    """As the endpoint's own, but cancelling it never raises: where TLS failed to start, Twisted's does, and then the
    end of the connection is heard by nobody."""
    connecting = endpoint.connect(factory)

    def cancel(_: object) -> None:
        with suppress(NotConnectingError):
            connecting.cancel()

    outcome: Deferred[object] = Deferred(cancel)
    connecting.addCallbacks(outcome.callback, outcome.errback)
    return outcome


def _endpoint(reactor: ReactorBase, host: str, port: int) -> IStreamClientEndpoint:
    """Only a name needs looking up, in a thread; an address must not wait for one. Its patience does not end before
    ``dial``'s, or the same silence would have another sentence by chance."""
    patience = 2 * limits.HANDSHAKE
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, patience)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, patience)
    return HostnameEndpoint(reactor, host, port, timeout=patience)


def jittered(seconds: float) -> float:
    """These seconds, ± half: so that many do not do the same together."""
    return seconds * (0.5 + random.random())  # noqa: S311 - not a secret


class Backoff:
    """How long to wait before dialling again: doubling, with jitter so that many do not dial together."""

    def __init__(self) -> None:
        self._next = limits.DIAL_BACKOFF_FIRST

    def pause(self, held: float = 0.0, most: float = limits.DIAL_BACKOFF_MOST) -> float:
        """The seconds to wait now, after a session that held for ``held`` seconds (none: 0); ``most``, ± half."""
        if held >= limits.DIAL_BACKOFF_MOST:
            self._next = limits.DIAL_BACKOFF_FIRST
        pause = min(most, self._next)
        self._next = min(most, 2 * pause)
        return jittered(pause)


class Dialler:
    """Keeps one session to the first of ``addresses`` that answers: dials, waits for its end, dials again. All are
    reached through ``proxy`` where there is one."""

    def __init__(
        self,
        reactor: ReactorBase,
        addresses: Sequence[tuple[str, int]],
        me: Self,
        door: Door,
        creator: Callable[[], ClientContext],
        proxy: Proxy | None = None,
    ) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self._me = me
        self._door = door
        self._creator = creator
        self._proxy = proxy
        self._numbers = 0
        self.session: Session | None = None
        self.trouble = "not dialled yet"

    async def run(self) -> None:
        """Never returns; cancel it to stop."""
        backoff = Backoff()
        while True:
            held = 0.0
            session = await self._dialled()
            if session is not None:
                began = self._reactor.seconds()
                try:
                    self.trouble = await hold(self._reactor, session, self._dialled)
                finally:
                    self.session = None
                held = self._reactor.seconds() - began
            await sleep(self._reactor, backoff.pause(held))

    async def _dialled(self) -> Session | None:
        host, port = self._addresses[self._numbers % len(self._addresses)]
        self._numbers += 1
        try:
            self.session = await dial(
                self._reactor,
                host,
                port,
                self._me,
                self._door,
                self._creator(),
                self._numbers,
                proxy=self._proxy,
            )
            self.trouble = ""
            return self.session
        except CancelledError:
            raise
        except UnreachableError as error:
            if same_words(str(error)) != same_words(self.trouble):
                _log.info("{host}:{port}: {error}", host=host, port=port, error=error)
            self.trouble = str(error)
        except Exception as error:
            _log.failure("dialling {host}:{port} met a defect", host=host, port=port)
            self.trouble = f"a defect on this side: {error}"
        return None


def host_and_port(address: str) -> tuple[str, int]:
    """HOST:PORT taken apart; an IPv6 host stands in brackets. The form was checked where it came in."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
