"""What every server process does before and after its own business: state folder, boot id, log, signals.

    def run(folder: Path) -> int:
        with StateFolder.enter(folder) as state:
            return run_server(lambda reactor: App(reactor, state))

It knows no role. Exactly one process may hold a state folder; a second one is told which process does.
"""

from __future__ import annotations

import fcntl
import os
import sys
import uuid
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver

from rjs.clock import use_steady_clock
from rjs.errors import ConfigError, RjsError
from rjs.files import make_private_folder, read_small, write_atomically
from rjs.identity.folder import IdentityFolder
from rjs.ids import BootId

_log = Logger("rjs.process")

CLUSTERS = "clusters"
"""Below a state folder: one folder for each cluster that the machine serves."""


@attrs.frozen
class Boot:
    """This start of a server process: a fresh id, and the count of starts, which only rises."""

    id: BootId
    count: int


class StateFolder:
    """A server's state folder, held by this process alone until ``leave``."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def enter(cls, path: Path) -> Self:
        """Take the folder. Raises ConfigError when it is not there or another process holds it."""
        if not path.is_dir():
            raise ConfigError(f"{path} is not a server's state folder; make one with rjs join or rjs ws init")
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            raise ConfigError(f"{path} is in use by process {holder}; stop that first") from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        return cls(path, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def cluster(self) -> Path:
        """The folder of the one cluster that this release serves from a state folder."""
        return sole_cluster(self.path)

    def identity(self) -> IdentityFolder:
        """This server's keys and certificates."""
        return IdentityFolder(self.cluster() / "identity")

    def next_boot(self) -> Boot:
        """Count this start, durably."""
        path = self.path / "boots"
        try:
            count = int(read_small(path, 32)) + 1
        except FileNotFoundError:
            count = 1
        except ValueError:
            raise ConfigError(f"{path} is damaged; remove it and start again") from None
        write_atomically(path, b"%d\n" % count)
        return Boot(BootId(uuid.uuid4().hex), count)


def cluster_folder(path: Path, cluster: str) -> Path:
    """Where the state of one cluster lies below a state folder (or a person's folder)."""
    return path / CLUSTERS / cluster


def sole_cluster(path: Path) -> Path:
    """The one cluster's folder below ``path``. Raises ConfigError when there is none, or more than one."""
    found = sorted((path / CLUSTERS).glob("*")) if (path / CLUSTERS).is_dir() else []
    joined = [each for each in found if IdentityFolder(each / "identity").is_joined]
    if not joined:
        raise ConfigError(f"{path} has joined no cluster yet; use an invitation: rjs join INVITATION {path}")
    if len(joined) > 1:
        names = ", ".join(each.name for each in joined)
        raise ConfigError(f"{path} has joined several clusters ({names}); this release serves one a folder")
    return joined[0]


def private_folder(path: Path) -> Path:
    """``path``, made private if it was not there."""
    make_private_folder(path)
    return path


class App(Protocol):
    """A server, built and not yet started."""

    async def start(self) -> None:
        """Open everything; when it returns, the server serves."""

    async def stop(self) -> None:
        """Say goodbye, make durable what is not, and end every child."""


def run_server(build: Callable[[ReactorBase], App]) -> int:
    """Run a server until SIGTERM or SIGINT; the exit status. The reactor gets its clock before all else."""
    from twisted.internet import reactor as global_reactor  # noqa: PLC0415 - installs the reactor

    assert isinstance(global_reactor, ReactorBase)
    use_steady_clock(global_reactor)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    return _Run(global_reactor, build(global_reactor)).status()


class _Run:
    """One run of the reactor around one server."""

    def __init__(self, reactor: ReactorBase, app: App) -> None:
        self._reactor = reactor
        self._app = app
        self._status = 0

    def status(self) -> int:
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._reactor.callWhenRunning(lambda: self._hold(self._app.start()))
        self._reactor.run()
        return self._status

    def _hold(self, coroutine: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(self._failed)

    def _failed(self, failure: Any) -> None:
        if failure.check(RjsError):
            _log.error("cannot start: {error}", error=failure.value)
        else:
            _log.failure("cannot start", failure)
        self._status = getattr(failure.value, "exit_status", 1)
        self._reactor.stop()

    def _stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._app.stop()).addErrback(self._unclean)

    def _unclean(self, failure: Any) -> None:
        _log.failure("could not stop cleanly", failure)
        self._status = self._status or 1


def fail_stop(reactor: ReactorBase, why: str) -> None:
    """State could not be made durable: what memory says is ahead of the disk, so this process must end."""
    _log.critical("stopping at once: {why}", why=why)
    sys.stderr.flush()
    os._exit(70)
