"""The compute server's end of the spawner: starts it, hands it one attempt at a time, outlives its death.

``start_spawner()`` comes before the reactor and before any thread; ``attach(reactor)`` when the reactor is there.
A job runs as the owner in this release and may stop or kill its spawner. So the server is a subreaper as well:
what a dead spawner leaves becomes the server's child, is told from the server's own children by its session
(a session cannot be joined from outside), and is killed before ``run`` fails. Therefore no other child of
the server may leave the server's session.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress

from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from cs.spawner import limits, linux
from cs.spawner.errors import NotStartedError, SpawnerDiedError
from cs.spawner.messages import (
    Beat,
    Ended,
    Failed,
    Hush,
    Inbox,
    Listening,
    Report,
    Run,
    Said,
    Say,
    Started,
    Stop,
    frame,
)
from cs.spawner.proctree import Process, ProcessTree
from cs.spawner.sweep import Sweep
from rjs.child_python import module_argv
from rjs.errors import ProtocolError

_LIVING: set[int] = set()
"""The spawners of this server, as the kernel's list of its children is one for the whole process too."""


def start_spawner() -> Spawner:
    """Start a spawner process. Call from the main thread: its life is bound to the thread that starts it.

    Raises OSError.
    """
    linux.adopt_orphans()
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(
                module_argv("cs.spawner.main", str(theirs.fileno()), str(os.getpid())),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={},
                start_new_session=True,
            )
        except OSError:
            ours.close()
            raise
    _LIVING.add(process.pid)
    return Spawner(process, ours)


class Spawner:
    """One spawner process and the connection to it. When it died, ask ``start_spawner`` for another."""

    def __init__(self, process: subprocess.Popen[bytes], connection: socket.socket) -> None:
        self._process = process
        self._connection = connection
        self._reactor: PosixReactorBase | None = None
        self._link: _Link | None = None
        self._running: Deferred[Ended] | None = None
        self._farewell = "it is not attached to a reactor"
        self._gone = False
        self._waiting: list[Deferred[None]] = []
        self._silent = 0
        self._watch: DelayedCall | None = None
        self.started: Started | None = None
        self.beat: Beat | None = None
        """What the running attempt last reported; None between attempts."""
        self.heard: Callable[[bytes], object] = lambda data: None
        """Is told what the running attempt writes to its control channel."""
        self.listened: Callable[[int], object] = os.close
        """Is given, before ``started``, the socket that a sandbox with a network listens with; closes it."""

    @property
    def pid(self) -> int:
        """The spawner's process number."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Attempts can be run: nothing says that the spawner ended or is about to."""
        return self._link is not None

    @property
    def idle(self) -> bool:
        """No attempt is running, a cancelled one included."""
        return self._running is None

    def attach(self, reactor: PosixReactorBase) -> None:
        """Hand the connection to the reactor. Once, in the reactor's thread, before ``run``."""
        self._reactor = reactor
        self._farewell = "it ended by itself, or something killed it"
        self._link = _Link(self._received, self._kill, self._lost)
        with self._connection as connection:
            reactor.adoptStreamConnection(
                connection.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: self._link)
            )

    async def run(self, request: Run) -> Ended:
        """Run one attempt to its end. One at a time; cancelling stops it at once.

        Raises NotStartedError when the program could not be started; SpawnerDiedError when the spawner died or
        was closed, after what it left was killed, or was not ``alive`` to begin with; ProtocolError when the
        request is longer than the cap.
        """
        if self._running is not None:
            raise RuntimeError("a spawner runs one attempt at a time")
        if self._link is None or self._link.transport is None:
            raise SpawnerDiedError(f"the spawner cannot run anything: {self._farewell}")
        message = frame(request)
        self._running = Deferred(lambda _: self.stop())
        self._link.transport.write(message)
        self._silent = 0
        self._listen_for_beats()
        return await self._running

    def stop(self, grace: float = 0.0) -> None:
        """End the running attempt: SIGTERM, and SIGKILL to all of it after ``grace`` seconds. ``run`` returns.

        Nothing happens when nothing runs.
        """
        if self._running is not None and self._link is not None and self._link.transport is not None:
            self._link.transport.write(frame(Stop(grace)))

    def say(self, data: bytes) -> None:
        """Write to the control channel of the running attempt; what it does not take is lost."""
        self._tell(Say(data))

    def hush(self) -> None:
        """Close the control channel of the running attempt."""
        self._tell(Hush())

    def _tell(self, request: Say | Hush) -> None:
        if self._running is not None and self._link is not None and self._link.transport is not None:
            self._link.transport.write(frame(request))

    async def close(self) -> None:
        """End the spawner and everything below it; returns when all is gone. May be called again."""
        if self._reactor is None:
            self._connection.close()
            self._process.wait()
            _LIVING.discard(self.pid)
            return
        if self._link is not None and self._link.transport is not None:
            self._farewell = "it was closed"
            self._link.transport.loseConnection()
        if not self._gone:
            gone: Deferred[None] = Deferred()
            self._waiting.append(gone)
            await gone

    def _listen_for_beats(self) -> None:
        """Count the wakes, a BEAT apart, without a word from a spawner that should speak; end one that is wedged."""
        if self._reactor is None or self._link is None:  # it is being buried: nobody speaks any more
            return
        if self._silent >= limits.SILENCE:
            self._kill(f"it was silent for {limits.SILENCE} seconds and was killed")
            return
        self._silent += 1
        self._watch = self._reactor.callLater(limits.BEAT, self._listen_for_beats)

    def _kill(self, why: str) -> None:
        self._farewell = why
        self._process.kill()

    def _received(self, report: Report) -> None:
        self._silent = 0
        match report:
            case Listening():
                if self._link is not None and (came := self._link.take()) is not None:
                    self.listened(came)
            case Started():
                self.started = report
            case Beat():
                self.beat = report
            case Said(data):
                self.heard(data)
            case Ended():
                self._finish(report)
            case Failed(code, sentence):
                self._finish(Failure(NotStartedError(code, sentence)))

    def _finish(self, outcome: Ended | Failure) -> None:
        """The attempt is over: tell the caller of ``run``, unless it was cancelled."""
        running, self._running = self._running, None
        self.started = self.beat = None
        if self._watch is not None and self._watch.active():
            self._watch.cancel()
        if running is not None and not running.called:
            running.callback(outcome)

    def _lost(self) -> None:
        """The connection closed. The spawner cleans up and ends, or is dead: then its orphans are ours."""
        assert self._reactor is not None
        self._link = None
        _Burial(self._reactor, self._process, self._buried)

    def _buried(self, left: int) -> None:
        self._gone = True
        _LIVING.discard(self.pid)
        rest = f"; {left} of its processes could not be killed" if left else ""
        self._finish(Failure(SpawnerDiedError(f"the spawner died: {self._farewell}{rest}")))
        waiting, self._waiting = self._waiting, []
        for gone in waiting:
            gone.callback(None)


@implementer(IFileDescriptorReceiver)
class _Link(Protocol):
    """Bytes from the socket to messages; a spawner that cannot be understood is given up."""

    def __init__(
        self, received: Callable[[Report], None], give_up: Callable[[str], None], lost: Callable[[], None]
    ) -> None:
        self._received = received
        self._give_up = give_up
        self._lost = lost
        self._inbox = Inbox()
        self._came: list[int] = []

    def fileDescriptorReceived(self, descriptor: int) -> None:  # noqa: N802 - Twisted's name
        """It comes with the bytes that tell of it."""
        os.set_inheritable(descriptor, False)
        self._came.append(descriptor)

    def take(self) -> int | None:
        """The descriptor that came first."""
        return self._came.pop(0) if self._came else None

    def dataReceived(self, data: bytes) -> None:
        try:
            for report in self._inbox.reports(data):
                self._received(report)
        except ProtocolError as error:
            self._give_up(str(error))

    def connectionLost(self, reason: Failure = Failure(ConnectionError("closed"))) -> None:  # noqa: B008
        self.transport = None
        while (came := self.take()) is not None:
            os.close(came)
        self._lost()


class _Burial:
    """Waits for a spawner's end, and kills what it left to us, without blocking the reactor."""

    def __init__(
        self, reactor: PosixReactorBase, process: subprocess.Popen[bytes], done: Callable[[int], None]
    ):
        self._reactor = reactor
        self._process = process
        self._done = done
        self._kill_at = reactor.seconds() + limits.SWEEP + limits.GOODBYE
        self._give_up_at = self._kill_at + limits.SWEEP
        self._tree = ProcessTree(os.getpid(), _is_orphan)
        self._sweep = Sweep(self._tree)
        self._turn()

    def _turn(self) -> None:
        """One step: first the spawner's own end, then passes over its orphans until none is left."""
        left = 1
        if self._process.poll() is not None:
            _LIVING.discard(self._process.pid)
            left = self._sweep.strike()
            self._reap()
        elif self._reactor.seconds() > self._kill_at:
            self._process.kill()
        if left and self._reactor.seconds() < self._give_up_at:
            self._reactor.callLater(limits.BURIAL_PAUSE, self._turn)
        else:
            self._done(left)

    def _reap(self) -> None:
        for process in self._tree.below():
            if process.parent == os.getpid():
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)


def _is_orphan(child: Process) -> bool:
    """A child of this server that came from a dead spawner: it has a session of its own and is no spawner."""
    return child.session != os.getsid(0) and child.pid not in _LIVING
