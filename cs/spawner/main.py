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

from cs.spawner import limits, linux
from cs.spawner.attempt import Attempt, now
from cs.spawner.channel import Channel
from cs.spawner.launch import LaunchError
from cs.spawner.messages import Failed, Hush, Inbox, Report, Request, Run, Said, Say, Started, Stop, frame
from cs.spawner.proctree import Census, ProcessTree
from cs.spawner.sweep import Reaper, sweep_children

_TOLD_TO_GO = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SpawnerLoop:
    """Waits for requests, the end of the main process, and the next look at it. Runs one attempt at a time."""

    def __init__(self, connection: socket.socket, wakeup: int) -> None:
        self._socket = connection
        self._wakeup = wakeup
        self._inbox = Inbox()
        self._census = Census()
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
        timeout = None
        if self._attempt is not None:
            poll.register(self._attempt.pidfd, select.POLLIN)
            channel, at = self._attempt.channel, now()
            channel_due = channel.due(at)
            if channel_due <= at:
                poll.register(channel, select.POLLIN)
                channel_due = float("inf")
            timeout = max(0.0, min(self._attempt.due, self._beat_at, channel_due) - at) * 1000
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
        if self._attempt is not None or not _empty():
            sentence = "processes of an earlier attempt are still there"
            self._send(Failed("spawner.occupied", sentence))
            return
        try:
            self._attempt = Attempt(request, self._census.threads())
        except LaunchError as error:
            self._send(error.failed)
            return
        self._beat_at = now() + limits.BEAT
        self._send(Started(self._attempt.pid))

    def _watch(self) -> None:
        if self._attempt is None:
            return
        if (ended := self._attempt.step()) is not None:
            self._attempt = None
            self._send(ended)
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
