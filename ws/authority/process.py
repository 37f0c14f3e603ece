"""The token authority's process as the web server's holds it: started, written to and read from, seen off.

It knows messages, not what they ask or answer: that is ``ws.authority.child``'s, which starts it anew when it ends.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from typing import Final

from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from rjs.child_python import module_argv
from rjs.errors import ProtocolError
from ws.authority import limits
from ws.authority.messages import ANSWERS, Answer, Inbox, Question, frame

_LOOK: Final = 0.02
"""Seconds between looks whether it has ended: nothing in the reactor tells."""


class AuthorityProcess:
    """One authority process and the connection to it. ``gone`` is told how long it lived, and why it ended."""

    def __init__(
        self,
        reactor: PosixReactorBase,
        received: Callable[[Answer], None],
        gone: Callable[[float, str], None],
    ) -> None:
        self._reactor = reactor
        self._received = received
        self._gone = gone
        self._began = reactor.seconds()
        self._why = ""
        self._inbox = Inbox(ANSWERS)
        self._link = _Link(self._bytes, self._lost)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                module_argv("ws.authority.main", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
            reactor.adoptStreamConnection(
                ours.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: self._link)
            )

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    def send(self, question: Question) -> None:
        """Ask, unless the connection is closed: then ``gone`` will be told."""
        if self._link.transport is not None:
            self._link.transport.write(frame(question))

    def end(self, patience: float) -> None:
        """Let it end: it does when its connection closes."""
        self._why = "it was told to"
        if self._link.transport is not None:
            self._link.transport.loseConnection()
        self._kill_at = self._reactor.seconds() + patience

    def _bytes(self, data: bytes) -> None:
        try:
            for answer in self._inbox.messages(data):
                self._received(answer)
        except ProtocolError as error:
            self._why = str(error)
            self._process.kill()

    def _lost(self) -> None:
        self._kill_at = self._reactor.seconds() + limits.FAREWELL
        self._bury()

    def _bury(self) -> None:
        """Wait for its end without blocking."""
        status = self._process.poll()
        if status is None:
            if self._reactor.seconds() > self._kill_at:
                self._process.kill()
            self._reactor.callLater(_LOOK, self._bury)
            return
        why = self._why or (f"signal {-status}" if status < 0 else f"exit status {status}")
        self._gone(self._reactor.seconds() - self._began, why)


class _Link(Protocol):
    """Bytes to and from the authority."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost

    def dataReceived(self, data: bytes) -> None:
        self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.transport = None
        self._lost()
