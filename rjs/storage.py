"""Durable state: one SQLite file, one thread that writes it, many operations in each commit.

The only door to sqlite3. It knows no table: a server's ``store.py`` brings the migrations and the SQL.

    storage = StorageThread(reactor, open_database(path, MIGRATIONS, application_id=0x524A5351))
    number = await storage.write(lambda db: db.execute("INSERT …").lastrowid)   # durable from here on

Operations run one after the other in the order of submission, each in a savepoint of its own, so that one
that raises takes back only its own changes. All that wait are committed together with one sync of the disk:
that makes durable operations cheap. Nobody hears of a result before the commit that contains it.

When a commit fails (disk full, damaged file, I/O error) nobody can know what a further one would do: the
whole batch fails with StorageError, and from then on every write fails with the first reason, until the
server is started again on a healthy disk. Reading goes on, so that the server can still explain itself.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from rjs import limits
from rjs.background import FromThreads
from rjs.errors import DamagedError, OverloadedError, StorageError
from rjs.files import make_private_folder, sync_folder

Connection = sqlite3.Connection
"""What an operation gets. It must not begin, commit, roll back, run scripts or keep it."""

ConstraintError = sqlite3.IntegrityError
"""A write broke a constraint of the schema; it alone was taken back."""

T = TypeVar("T")

_FATAL = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
"""The disk's or the file's faults, not an operation's own: they break the batch."""


class Storage(Protocol):
    """Durable state, as a server's store sees it. To be called from the reactor's thread only."""

    def write(self, operation: Callable[[Connection], T], *, always: bool = False) -> Deferred[T]:
        """Run ``operation``; fires with its result when that is durable, or with the error that it raised.

        Fails with StorageError when it is not durable (the disk failed the batch, or an earlier one) and
        with OverloadedError when too many operations wait, unless it must be written ``always``: memory is
        ahead of the disk, and whoever causes such writes is bounded. Cancelling stops the waiting, not the
        operation.
        """
        ...

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """As ``write``, for an operation that changes nothing: it works on when writing is broken.

        Sees every write submitted before it; what it tells is durable when it is told.
        """
        ...

    def copy(self, target: Path) -> Deferred[None]:
        """As ``copy_database``, of all that was submitted before; fails with StorageError."""
        ...

    def close(self) -> Deferred[None]:
        """Fires when everything submitted before is finished and the file is closed. To be called once."""
        ...


def open_database(path: Path, migrations: Sequence[str], *, application_id: int) -> Connection:
    """Open, or create, the database at ``path`` and bring its schema to ``len(migrations)``; blocks.

    Migration number n is a script of statements that leads from schema n to n+1, applied in a transaction; what
    the file held before is first copied beside it (``NAME.schema-n``). The folder is created private (rjs.files),
    the file 0600. Durable on return: file and schema. The file is held exclusively until closed. Raises
    DamagedError when its pages contradict themselves, and StorageError when it is another application's, newer
    than this release, or in use; its content is then what it was.
    """
    make_private_folder(path.parent)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # two servers on one file would be two truths
        _require_ours(connection, path, application_id, newest=len(migrations))
        _require_whole(connection, path)
        _make_durable(connection)
        _migrate(connection, path, migrations, application_id)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            raise _refusal(path, error) from error
        raise
    sync_folder(path.parent)
    return connection


def check_database(path: Path, seconds: float) -> str:
    """What is damaged in the database at ``path``, empty where nothing is; changes nothing, makes no file.

    For one that no process has open and whose journal is empty. Raises TimeoutError when it takes longer.
    """
    deadline = time.monotonic() + seconds
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
        ) as connection:
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        if _primary_code(error) == sqlite3.SQLITE_INTERRUPT:
            raise TimeoutError(f"the check of {path} takes more than {seconds} s") from None
        return str(error)
    return "" if found == "ok" else str(found)


def _require_ours(connection: Connection, path: Path, application_id: int, newest: int) -> None:
    """Raise StorageError for a file that this release must not touch. Changes nothing."""
    version = _number(connection, "PRAGMA user_version")
    found = _number(connection, "PRAGMA application_id")
    empty = not _number(connection, "SELECT count(*) FROM sqlite_schema")
    if found != application_id and not (empty and found == 0):
        raise StorageError(f"{path} is not this server's database (application id {found:#x}); move it away")
    if version > newest:
        raise StorageError(
            f"{path} has schema {version} and this release knows schemas up to {newest}; use a newer release"
        )


def _make_durable(connection: Connection) -> None:
    """A commit returns after its bytes are on the disk (WAL, one sync each), and damage shows early."""
    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {setting}")


def _require_whole(connection: Connection, path: Path) -> None:
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise DamagedError(f"the database {path} is damaged: {found.splitlines()[-1]}; restore a backup")


def _migrate(connection: Connection, path: Path, migrations: Sequence[str], application_id: int) -> None:
    found = _number(connection, "PRAGMA user_version")
    for number in range(found, len(migrations)):
        if found:
            copy_database(connection, path.with_name(f"{path.name}.schema-{number}"))
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{migrations[number]};\n"
            f"PRAGMA application_id = {application_id}; PRAGMA user_version = {number + 1}; COMMIT"
        )


def copy_database(connection: Connection, target: Path) -> None:
    """Write what the database holds to a new database at ``target``, 0600; replaces a file there. Durable on return.

    Raises sqlite3.Error, and then ``target`` is what it was. Not inside a transaction.
    """
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection.execute("VACUUM INTO ?", (str(unfinished),))
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def _refusal(path: Path, error: sqlite3.Error) -> StorageError:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_BUSY:
        return StorageError(f"the database {path} is in use by another process; stop that one first")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedError(f"the database {path} is damaged: {error}; restore a backup")
    return StorageError(f"the database {path} cannot be opened: {error}; repair the disk or restore a backup")


def _number(connection: Connection, sql: str) -> int:
    (value,) = connection.execute(sql).fetchone()
    return int(value)


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension; 0 for an error that the Python binding raised itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


class GroupCommit:
    """Runs batches of operations, each batch in one transaction. Synchronous; owns the connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.broken: str | None = None
        """Why nothing can be written any more."""

    def run(self, operations: Sequence[Callable[[Connection], object]]) -> list[object]:
        """The result of each operation, or a Failure in its place; durable on return. Never raises."""
        try:
            self._connection.execute("BEGIN")
            outcomes = [self._attempt(operation) for operation in operations]
            self._connection.execute("COMMIT")
        except Exception as error:
            reason = self._break(error)
            return [Failure(StorageError(reason)) for _ in operations]
        return outcomes

    def _attempt(self, operation: Callable[[Connection], object]) -> object:
        """Run one operation in its savepoint. Raises when the whole batch is lost."""
        execute = self._connection.execute
        execute("SAVEPOINT operation")
        outcome: object
        try:
            outcome = operation(self._connection)
        except BaseException as error:
            if isinstance(error, sqlite3.Error) and _primary_code(error) in _FATAL:
                raise
            outcome = Failure()
            execute("ROLLBACK TO operation")
        execute("RELEASE operation")  # fails when the operation ended the transaction: see Connection
        return outcome

    def _break(self, error: Exception) -> str:
        """Keep the first reason, take back what was not committed, and allow only reading from now on."""
        if self.broken is None:
            self.broken = f"the database failed and takes no changes until the next start: {error}"
        with contextlib.suppress(sqlite3.Error):  # it failed already, and says so; nothing more can be lost
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._connection.execute("PRAGMA query_only = ON")
        return self.broken

    def copy(self, target: Path) -> list[object]:
        """None, or a Failure, as the one outcome of copying the database to ``target``. Never raises."""
        try:
            copy_database(self._connection, target)
        except (sqlite3.Error, OSError) as error:
            return [Failure(StorageError(f"the database cannot be copied to {target}: {error}"))]
        return [None]

    def close(self) -> None:
        """Close the file. What was committed is durable whether or not the disk lets us tidy up."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


class StorageThread:
    """The Storage of a running server: one thread owns the connection, many operations share a commit."""

    def __init__(self, reactor: FromThreads, connection: Connection) -> None:
        self._reactor = reactor
        self._commit = GroupCommit(connection)
        self._queue: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        self._waiting = 0
        self._closing = False
        self._closed: Deferred[None] = Deferred()
        self._held: list[_Submitted | None] = []
        self._thread = threading.Thread(target=self._work, name="storage", daemon=True)
        self._thread.start()

    @property
    def broken(self) -> str:
        """Why nothing can be written any more, until the next start; empty while all is well."""
        return self._commit.broken or ""

    def write(self, operation: Callable[[Connection], T], *, always: bool = False) -> Deferred[T]:
        """See Storage."""
        if self._commit.broken is not None:
            return fail(StorageError(self._commit.broken))
        return self._submit(operation, always)

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """See Storage."""
        return self._submit(operation, always=False)

    def copy(self, target: Path) -> Deferred[None]:
        """See Storage."""
        return self._submit(_nothing, always=False, target=target)

    def _submit(
        self, operation: Callable[[Connection], T], always: bool, target: Path | None = None
    ) -> Deferred[T]:
        if self._closing:
            return fail(StorageError("the database is closed: the server is stopping"))
        if self._waiting >= limits.STORAGE_QUEUE and not always:
            return fail(OverloadedError("storage", f"{self._waiting} changes wait for the disk; try later"))
        self._waiting += 1
        submitted = _Submitted(operation, target)
        self._queue.put(submitted)
        return submitted.deferred

    def close(self) -> Deferred[None]:
        """See Storage."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)
        return self._closed

    def _work(self) -> None:
        """The thread: batch after batch until the None of close. Results cross over once a batch."""
        while batch := self._next_batch():
            outcomes = self._outcomes(batch)
            self._reactor.callFromThread(self._deliver, batch, outcomes)
        self._commit.close()
        self._reactor.callFromThread(self._finish)

    def _outcomes(self, batch: list[_Submitted]) -> list[object]:
        if batch[0].target is not None:
            return self._commit.copy(batch[0].target)
        return self._commit.run([submitted.operation for submitted in batch])

    def _next_batch(self) -> list[_Submitted]:
        """What waits now, at least one, in order; empty at the end. One by one when broken: reads survive. A copy
        comes alone: it cannot be made inside a transaction."""
        most = 1 if self._commit.broken is not None else limits.STORAGE_BATCH
        batch: list[_Submitted] = []
        while not batch or (len(batch) < most and not self._queue.empty()):
            submitted = self._held.pop() if self._held else self._queue.get()
            if submitted is None or submitted.target is not None:
                if batch:
                    self._held.append(submitted)  # it comes again, as a batch of its own
                    return batch
                return [] if submitted is None else [submitted]
            batch.append(submitted)
        return batch

    def _deliver(self, batch: list[_Submitted], outcomes: list[object]) -> None:
        self._waiting -= len(batch)
        for submitted, outcome in zip(batch, outcomes, strict=True):
            submitted.deferred.callback(outcome)  # a Failure starts the errback chain

    def _finish(self) -> None:
        self._thread.join()
        self._closed.callback(None)


class _Submitted:
    """An operation on its way: what to run, or where to copy everything, and who waits for it."""

    __slots__ = ("deferred", "operation", "target")

    def __init__(self, operation: Callable[[Connection], Any], target: Path | None) -> None:
        self.operation = operation
        self.target = target
        self.deferred: Deferred[Any] = Deferred()


def _nothing(connection: Connection) -> None:
    """What is run for a copy."""


class ImmediateStorage:
    """A whole Storage without a thread, for tests: every operation is committed before the call returns."""

    def __init__(self, connection: Connection) -> None:
        self._commit = GroupCommit(connection)

    @property
    def broken(self) -> str:
        """See StorageThread."""
        return self._commit.broken or ""

    def write(self, operation: Callable[[Connection], T], *, always: bool = False) -> Deferred[T]:
        """See Storage."""
        if self._commit.broken is not None:
            return fail(StorageError(self._commit.broken))
        return self.read(operation)

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """See Storage."""
        outcome: Any = self._commit.run([operation])[0]
        result: Deferred[T] = Deferred()
        result.callback(outcome)
        return result

    def copy(self, target: Path) -> Deferred[None]:
        """See Storage."""
        outcome: Any = self._commit.copy(target)[0]
        return fail(outcome) if outcome else succeed(None)

    def close(self) -> Deferred[None]:
        """See Storage."""
        self._commit.close()
        return succeed(None)
