"""The spawner process: ``main([descriptor of the socket, number of the parent])``.

Single-threaded, keyless, in a session of its own. It is the child subreaper of whatever it starts, so all that a
job leaves behind is below it. When the server goes (end of file on the socket, or SIGTERM as the parent-death
signal, should another process hold the socket), it kills everything below itself and ends.
"""

from __future__ import annotations

import os
import select
import signal
import socket
from contextlib import suppress

from cs.sandbox.cells import Cells
from cs.spawner import limits, linux
from cs.spawner.attempt import Attempt, UnconfinedAttempt
from cs.spawner.channel import Channel
from cs.spawner.confined import ConfinedAttempt
from cs.spawner.errors import LaunchError
from cs.spawner.messages import (
    Hush,
    Inbox,
    Listening,
    Report,
    Request,
    Run,
    Said,
    Sandbox,
    Say,
    Started,
    Stop,
    frame,
)
from cs.spawner.proctree import Census, ProcessTree
from cs.spawner.sweep import Reaper, sweep_children
from cs.spawner.usage import now

_TOLD_TO_GO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SpawnerLoop:
    """Waits for requests, the end of the main process, and the next look at it. Runs one attempt at a time."""

    def __init__(self, connection: socket.socket, wakeup: int) -> None:
        self._socket = connection
        self._wakeup = wakeup
        self._inbox = Inbox()
        self._census = Census()
        self._cells = Cells()
        self._attempt: Attempt | None = None
        self._beat_at = 0.0

    def serve(self) -> None:
        """Until the server or a signal says that it is over. Nothing is cleaned up here."""
        while True:
            ready = self._wait()
            if self._wakeup in ready:
                return
            if self._socket.fileno() in ready:
                data = self._socket.recv(65536)
                if not data:
                    return
                for request in self._inbox.requests(data):
                    self._perform(request)
            if self._attempt is not None and self._attempt.channel.fileno() in ready:
                self._pass_on(self._attempt.channel)
            self._watch()

    def _wait(self) -> set[int]:
        """The descriptors that are ready; empty when the next look at the attempt is due."""
        poll = select.poll()
        for descriptor in (self._wakeup, self._socket.fileno()):
            poll.register(descriptor, select.POLLIN)
        at, due = now(), self._cells.due
        if self._attempt is not None:
            for descriptor in self._attempt.waits:
                poll.register(descriptor, select.POLLIN)
            channel = self._attempt.channel
            channel_due = channel.due(at)
            if channel_due <= at:
                poll.register(channel, select.POLLIN)
                channel_due = float("inf")
            due = min(due, self._attempt.due, self._beat_at, channel_due)
        timeout = None if due == float("inf") else max(0.0, due - at) * 1000
        return {descriptor for descriptor, _ in poll.poll(timeout)}

    def _perform(self, request: Request) -> None:
        match request:
            case Run():
                self._run(request)
            case Stop() if self._attempt is not None:
                self._attempt.stop(request.grace)
            case Say() if self._attempt is not None and self._attempt.channel.open:
                self._attempt.channel.say(request.data)
            case Hush() if self._attempt is not None:
                self._attempt.channel.close()
            case Stop() | Say() | Hush():
                pass  # it crossed the Ended of the attempt that it meant

    def _pass_on(self, channel: Channel) -> None:
        """Hand on what the job said where the server has room: one that does not read must not stop the watch."""
        if not select.select([], [self._socket], [], 0)[1]:
            channel.pause(now())
        elif data := channel.read():
            self._send(Said(data))

    def _run(self, request: Run) -> None:
        try:
            if self._attempt is not None or self._cells.occupied:
                raise LaunchError("spawner.occupied", "processes of an earlier attempt are still there")
            if request.sandbox is not None:
                self._attempt = self._confined(request, request.sandbox)
            else:
                self._attempt = self._unconfined(request)
        except LaunchError as error:
            self._send(error.failed)
            return
        self._beat_at = now() + limits.BEAT

    def _confined(self, request: Run, sandbox: Sandbox) -> Attempt:
        attempt = ConfinedAttempt(request, sandbox, self._cells)
        if attempt.listener is not None:
            socket.send_fds(self._socket, [frame(Listening())], [attempt.listener])
        return attempt

    def _unconfined(self, request: Run) -> Attempt:
        """It could reach a zygote and whatever else is below this process: so nothing is."""
        self._cells.close()
        if not _empty():
            raise LaunchError("spawner.occupied", "processes of an earlier attempt are still there")
        attempt = UnconfinedAttempt(request, self._census.threads())
        self._send(Started(attempt.pid))
        return attempt

    def _watch(self) -> None:
        self._cells.retire(now())
        if self._attempt is None:
            return
        report = self._attempt.step()
        if report is not None:
            self._attempt = self._attempt if isinstance(report, Started) else None
            self._send(report)
        elif now() >= self._beat_at:
            self._beat_at = now() + limits.BEAT
            with suppress(BlockingIOError):  # a server that does not read must not stop the watch
                self._socket.send(frame(self._attempt.beat), socket.MSG_DONTWAIT)

    def _send(self, report: Report) -> None:
        self._socket.sendall(frame(report))


def main(arguments: list[str]) -> int:
    """Serve the socket until it closes; then leave nothing behind. Returns the exit status."""
    descriptor, parent = map(int, arguments)
    os.set_inheritable(descriptor, False)
    os.umask(0o077)
    wakeup = _arrange_signals()
    linux.die_with_parent(signal.SIGTERM, parent)
    linux.adopt_orphans()
    linux.hide_memory()
    with socket.socket(fileno=descriptor) as connection:
        try:
            SpawnerLoop(connection, wakeup).serve()
        except ConnectionError:
            pass  # the server went while we spoke
        finally:
            _empty()
    return 0


def _empty() -> bool:
    """Kill whatever lives below this process. False when something does not die."""
    _, left = sweep_children(ProcessTree(os.getpid()), Reaper())
    return not left


def _arrange_signals() -> int:
    """A descriptor that becomes readable when we are told to go; no other signal setting is inherited."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _TOLD_TO_GO:
        signal.signal(number, lambda *_: None)
    return reader
