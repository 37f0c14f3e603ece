"""Frames: what delimits messages on a TLS connection. Four bytes of length, big endian, then one message.

Knows nothing of messages; refuses a frame that is longer than the peer has earned (see ``limits``). Costs time
in proportion to the bytes received, however small the pieces in which a peer sends them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IAddress, IConsumer, IProtocolFactory, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs import limits

HEADER = 4
"""Bytes of the length in front of each frame."""


class FrameProtocol(Protocol):
    """Turns the byte stream into frames; a session listens through three callbacks."""

    def __init__(
        self,
        made: Callable[[FrameProtocol], None],
        received: Callable[[bytes], None],
        lost: Callable[[Failure], None],
    ) -> None:
        self._made = made
        self._received = received
        self._lost = lost
        self._buffer = bytearray()
        self._most = limits.HELLO_FRAME
        self._deaf = False
        self.too_long = 0
        self.gate: Callable[[Callable[[], None]], None] = lambda begin: begin()
        """Where the connection was accepted: calls ``begin`` when its handshake may begin."""

    # --- what the session uses ----------------------------------------------------------------------

    def send(self, frame: bytes) -> None:
        """Write one frame."""
        assert self.transport is not None
        self.transport.write(len(frame).to_bytes(HEADER, "big") + frame)

    def finish(self) -> None:
        """Close after what was sent; what comes in meanwhile is still received."""
        if self.transport is not None:
            cast(IConsumer, self.transport).unregisterProducer()  # TLS does not close while there is one
            self.transport.loseConnection()

    def abort(self) -> None:
        """Drop the connection without flushing, and hear nothing more."""
        self._deaf = True
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    def watch_buffer(self, producer: object) -> None:
        """Let ``producer`` be paused when our unsent bytes pile up, and resumed when they have gone."""
        assert self.transport is not None
        cast(IConsumer, self.transport).registerProducer(producer, True)  # type: ignore[arg-type]  # IPushProducer

    def trust_longer_frames(self) -> None:
        """Both hellos are in: the peer is known, so its frames may carry data."""
        self._most = limits.FRAME

    # --- Twisted's doors ----------------------------------------------------------------------------

    def connectionMade(self) -> None:
        self._made(self)

    def dataReceived(self, data: bytes) -> None:
        buffer, start = self._buffer, 0
        buffer += data
        while not self._deaf and len(buffer) - start >= HEADER:
            length = int.from_bytes(buffer[start : start + HEADER], "big")
            if length > self._most:
                self.too_long = length
                self.abort()  # whatever follows cannot be told from garbage
                break
            end = start + HEADER + length
            if end > len(buffer):
                break
            frame, start = bytes(buffer[start + HEADER : end]), end
            self._received(frame)
        if self._deaf:
            buffer.clear()
        else:
            del buffer[:start]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._deaf = True
        self._lost(reason)


@implementer(IProtocolFactory)
class FrameFactory:
    """Builds one protocol a connection through the given function; None refuses the connection."""

    def __init__(self, build: Callable[[IAddress | None], FrameProtocol | None]) -> None:
        self._build = build

    def buildProtocol(self, addr: IAddress | None) -> FrameProtocol | None:
        """Twisted's door: the protocol of a new connection."""
        return self._build(addr)

    def doStart(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing to prepare."""

    def doStop(self) -> None:  # noqa: N802 - Twisted's name
        """Nothing to end."""


class _GatedTls(TLSMemoryBIOProtocol):
    """TLS that reads no more than a first piece before ``FrameProtocol.gate`` lets it."""

    _first = b""
    _begun = _paused = False

    def dataReceived(self, data: bytes) -> None:
        """Twisted's door."""
        if self._begun:
            super().dataReceived(data)
            return
        asked, self._first = bool(self._first), self._first + data
        if not asked:
            cast(FrameProtocol, self.wrappedProtocol).gate(self._begin)
        if not self._begun:
            self._paused = True
            cast(IPushProducer, self.transport).pauseProducing()

    def _begin(self) -> None:
        first, self._first, self._begun = self._first, b"", True
        if self._paused:
            cast(IPushProducer, self.transport).resumeProducing()
        super().dataReceived(first)


class TlsDoor(TLSMemoryBIOFactory):
    """TLS for accepted connections. Twisted's own would put TLS around a refused connection's None, fail, and
    leave the socket open for as long as the stranger likes."""

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]  # None refuses
        """Twisted's door: the protocol of a new connection, or None to close it at once."""
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else _GatedTls(self, inner)
