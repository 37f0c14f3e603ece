"""A way out through an HTTP proxy: CONNECT, then TLS end to end inside, of which the proxy sees nothing.

    proxy = read_proxy("http://user:password@proxy.example:3128")
    endpoint = ProxiedEndpoint(reactor, proxy, endpoint_of_the_proxy, "ws.example", 9000)

The proxy is an untrusted peer: its head is bounded in size and, by whoever dials, in time. What it says of itself is
shown to people as one short line. User and password are never shown.
"""

from __future__ import annotations

import base64
import re
from typing import cast
from urllib.parse import unquote, urlsplit

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, DNSLookupError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs.errors import ConfigError, UnreachableError
from rjs.limits import PROXY_HEAD

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([\x20-\x7e]{0,80}))?")

_REMEDIES = {
    400: "it does not understand CONNECT; is it an HTTP proxy?",
    401: "it wants another kind of permission; ask whoever runs it",
    403: "it does not let this machine, or this port, through: ask whoever runs it to allow CONNECT there",
    404: "it does not know that address; is it an HTTP proxy?",
    405: "it does not allow CONNECT; ask whoever runs it",
    407: 'it wants a user and password, or others: write proxy = "http://user:password@host:port"',
    502: "it could not reach the web server; is that running, at that address?",
    503: "it could not reach the web server, or has too much to do",
    504: "it got no answer from the web server in time; is that running, at that address?",
}


class ProxyError(UnreachableError):
    """The proxy did not connect us; its sentence says what it answered and what would help."""


@attrs.frozen
class Proxy:
    """An HTTP proxy. ``authorization`` is the value of its header, or empty."""

    host: str
    port: int
    authorization: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def read_proxy(url: str) -> Proxy | None:
    """The proxy of a setting ``http://[user:password@]host:port``; None where it is empty. Raises ConfigError, which
    does not repeat what may hold a password."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if (
        not host
        or not port
        or parts.scheme != "http"
        or parts.path.strip("/")
        or parts.query
        or parts.fragment
    ):
        raise ConfigError(
            'proxy: must have the form "http://host:port" or "http://user:password@host:port"; write a character '
            "such as @ or / of a password as %40 or %2F"
        )
    if parts.username is None:
        return Proxy(host, port)
    credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, "Basic " + base64.b64encode(credentials).decode())


def connect_head(proxy: Proxy, target: str) -> bytes:
    """What is said to the proxy first: that it shall connect us to ``target``, HOST:PORT."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode()


def connect_fault(head: bytes) -> str:
    """What is wrong with the head of the proxy's answer; empty if we are through."""
    status = _STATUS.match(head.partition(b"\r\n")[0])
    if status is None:
        return "it did not answer in HTTP; is it an HTTP proxy?"
    code, words = int(status[1]), (status[2] or b"").decode()
    if 200 <= code < 300:
        return ""
    return f"it answered {code} {words}".rstrip() + f": {_REMEDIES.get(code, 'ask whoever runs it')}"


@implementer(IStreamClientEndpoint)
class ProxiedEndpoint:
    """``host``:``port`` as reached through ``proxy``, which itself is reached by ``way``."""

    def __init__(self, proxy: Proxy, way: IStreamClientEndpoint, host: str, port: int) -> None:
        self._proxy = proxy
        self._way = way
        self._target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803 - Twisted's name
        """Connect. Fails with ProxyError where the proxy does not; cancelling it drops the connection."""
        outcome: Deferred[IProtocol] = Deferred(
            lambda _: asking.drop() if asking.transport else to_proxy.cancel()
        )
        asking = _Asking(self._proxy, self._target, protocolFactory, outcome)
        to_proxy = self._way.connect(Factory.forProtocol(lambda: asking))
        to_proxy.addErrback(
            lambda failure: None if outcome.called else outcome.errback(self._unreached(failure))
        )
        return outcome

    def _unreached(self, failure: Failure) -> Failure:
        if failure.check(ConnectError, DNSLookupError, OSError) is None:
            return failure
        return Failure(ProxyError(f"the proxy {self._proxy} cannot be reached: {failure.getErrorMessage()}"))


class _Asking(Protocol):
    """Says CONNECT, reads the answer, and puts the real protocol in its own place."""

    def __init__(
        self, proxy: Proxy, target: str, factory: IProtocolFactory, outcome: Deferred[IProtocol]
    ) -> None:
        self._proxy = proxy
        self._target = target
        self._factory = factory
        self._outcome = outcome
        self._head = bytearray()
        self._inner: IProtocol | None = None

    def connectionMade(self) -> None:
        """Twisted's door: the proxy is there."""
        assert self.transport is not None
        self.transport.write(connect_head(self._proxy, self._target))

    def dataReceived(self, data: bytes) -> None:
        """Twisted's door: the head of its answer, and from then on what the peer says."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._head += data
        head, end, rest = bytes(self._head).partition(b"\r\n\r\n")
        if not end and len(self._head) <= PROXY_HEAD:
            return
        fault = (
            connect_fault(head) if end and len(head) <= PROXY_HEAD else "it answered with no end of a head"
        )
        if fault:
            self.drop()
            self._fail(fault)
        else:
            self._hand_over(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's door."""
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            done = reason.check(ConnectionDone) is not None
            self._fail("it closed the connection without an answer" if done else reason.getErrorMessage())

    def drop(self) -> None:
        """Nobody waits any more."""
        cast(ITCPTransport, self.transport).abortConnection()

    def _fail(self, fault: str) -> None:
        if not self._outcome.called:
            self._outcome.errback(
                ProxyError(f"the proxy {self._proxy} did not connect us to {self._target}: {fault}")
            )

    def _hand_over(self, rest: bytes) -> None:
        assert self.transport is not None
        inner = self._factory.buildProtocol(self.transport.getPeer())
        assert inner is not None
        self._inner = inner
        self._head.clear()
        inner.makeConnection(self.transport)
        if rest:
            inner.dataReceived(rest)
        self._outcome.callback(inner)
