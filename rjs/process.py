"""What every server process does around its own business: the reactor and its clock, the log, signals.

    def run(folder: Path) -> int:
        with StateFolder.enter(folder) as state:
            return run_server(lambda reactor: App(reactor, state))

It knows no role.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from typing import Protocol, TextIO, cast

from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from rjs.bounded_log import BoundedLog
from rjs.clock import use_steady_clock
from rjs.errors import RjsError
from rjs.limits import STOPPING
from rjs.log_file import LogFile

_log = Logger("rjs.process")


class App(Protocol):
    """A server, built and not yet started."""

    async def start(self) -> None:
        """Open everything; when it returns, the server serves."""

    async def stop(self) -> None:
        """Say goodbye, make durable what is not, and end every child."""


def log_observer(out: TextIO | LogFile) -> ILogObserver:
    """The server's log as text lines: from ``info`` up and bounded, or all of it with RJS_DEBUG=1."""
    written = textFileLogObserver(cast(TextIO, out))  # all that it needs is there: write and flush
    if os.environ.get("RJS_DEBUG") == "1":
        return FilteringLogObserver(written, [LogLevelFilterPredicate(LogLevel.debug)])
    return FilteringLogObserver(BoundedLog(written), [LogLevelFilterPredicate(LogLevel.info)])


def log_observers(log: LogFile | None) -> list[ILogObserver]:
    """The log goes to ``log`` where there is one, and errors to standard error too; else all of it there."""
    if log is None:
        return [log_observer(sys.stderr)]
    errors = BoundedLog(textFileLogObserver(sys.stderr))
    return [log_observer(log), FilteringLogObserver(errors, [LogLevelFilterPredicate(LogLevel.error)])]


def run_server(build: Callable[[ReactorBase], App], log: LogFile | None = None) -> int:
    """Run a server until SIGTERM or SIGINT; the exit status. The reactor gets its clock before all else."""
    from twisted.internet import reactor as global_reactor  # noqa: PLC0415 - installs the reactor

    assert isinstance(global_reactor, ReactorBase)
    allow_open_files()
    use_steady_clock(global_reactor)
    globalLogBeginner.beginLoggingTo(log_observers(log), redirectStandardIO=False)
    return _Run(global_reactor, build(global_reactor)).status()


def allow_open_files() -> None:
    """Have as many open files as this process may have: a thousand sessions are more than the usual limit.

    What was started before, such as a compute server's spawner, keeps the limit that it had.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Run:
    """One run of the reactor around one server."""

    def __init__(self, reactor: ReactorBase, app: App) -> None:
        self._reactor = reactor
        self._app = app
        self._status = 0
        self._starting: Deferred[None] | None = None

    def status(self) -> int:
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._reactor.callWhenRunning(self._start)
        self._reactor.run()
        return self._status

    def _start(self) -> None:
        self._starting = Deferred.fromCoroutine(self._app.start())
        self._starting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return  # told to stop while it started
        if failure.check(RjsError):
            _log.error("cannot start: {error}", error=failure.value)
        else:
            _log.failure("cannot start", failure)
        self._status = getattr(failure.value, "exit_status", 1)
        self._reactor.stop()

    def _stop(self) -> Deferred[None]:
        if self._starting is not None:
            self._starting.cancel()  # nothing may be opened any more while it is being closed
        stopping = Deferred.fromCoroutine(self._app.stop())
        stopping.addTimeout(STOPPING, self._reactor)
        return stopping.addErrback(self._unclean)

    def _unclean(self, failure: Failure) -> None:
        _log.failure("could not stop cleanly", failure)
        self._status = self._status or 1
