"""Frames: what delimits messages on a TLS connection. Four bytes of length, big endian, then one message.

Knows nothing of messages; refuses a frame that is longer than the peer has earned (see ``limits``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IAddress, IConsumer, IProtocolFactory, ITCPTransport
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs import limits

HEADER = 4
"""Bytes of the length in front of each frame."""


class FrameProtocol(Int32StringReceiver):
    """Turns the byte stream into frames; a session (below) listens through three callbacks."""

    MAX_LENGTH = limits.HELLO_FRAME

    def __init__(
        self,
        made: Callable[[FrameProtocol], None],
        received: Callable[[bytes], None],
        lost: Callable[[Failure], None],
    ) -> None:
        self._made = made
        self._received = received
        self._lost = lost
        self.too_long = 0

    def connectionMade(self) -> None:
        self._made(self)

    def stringReceived(self, string: bytes) -> None:  # noqa: N802 - Twisted's name
        self._received(string)

    def lengthLimitExceeded(self, length: int) -> None:  # noqa: N802 - Twisted's name
        """Cut off: whatever follows cannot be told from garbage."""
        self.too_long = length
        self.abort()

    def abort(self) -> None:
        """Drop the connection without flushing."""
        if self.transport is not None:
            cast(ITCPTransport, self.transport).abortConnection()

    def finish(self) -> None:
        """Close once what we wrote is out. TLS closes only when no producer can write any more."""
        if self.transport is not None:
            cast(IConsumer, self.transport).unregisterProducer()
            self.transport.loseConnection()

    def watch_buffer(self, producer: object) -> None:
        """Let ``producer`` be paused when our unsent bytes pile up, and resumed when they have gone."""
        assert self.transport is not None
        cast(IConsumer, self.transport).registerProducer(producer, True)  # type: ignore[arg-type]  # IPushProducer

    def connectionLost(self, reason: Failure = Failure(ConnectionError("closed"))) -> None:  # noqa: B008
        self._lost(reason)

    def trust_longer_frames(self) -> None:
        """Both hellos are in: the peer is known, so its frames may carry data."""
        self.MAX_LENGTH = limits.FRAME


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
