"""The group-committing writer: durable before told, in order, one failure alone, fail-stop on a bad disk."""

from __future__ import annotations

import errno
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rjs import limits
from rjs.errors import ConfigError, DamagedError, OverloadedError, StorageError
from rjs.storage import Connection, ConstraintError, ImmediateStorage, StorageThread, open_database

T = TypeVar("T")
APPLICATION = 0x524A5354
MIGRATIONS = ["CREATE TABLE entry (number INTEGER PRIMARY KEY, text TEXT NOT NULL)"]


class Crossing:
    """The reactor's side of a thread crossing, turned by the test itself; counts the crossings."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self.crossings = 0

    def callFromThread(self, f: Callable[..., Any], /, *args: object) -> None:
        self._calls.put(lambda: f(*args))

    def wait(self, deferred: Deferred[T]) -> T:
        """The deferred's result, or its error raised; at most ten seconds for each crossing."""
        got: list[Any] = []
        deferred.addBoth(got.append)
        while not got:
            self._calls.get(timeout=10)()
            self.crossings += 1
        if isinstance(got[0], Failure):
            got[0].raiseException()
        result: T = got[0]
        return result


def put(number: int) -> Callable[[Connection], int]:
    """An operation that stores one entry and counts it."""
    return lambda db: db.execute("INSERT INTO entry VALUES (?, ?)", (number, f"entry {number}")).rowcount


def numbers(db: Connection) -> list[int]:
    """An operation that lists the entries."""
    return [number for (number,) in db.execute("SELECT number FROM entry ORDER BY number")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "queue.db"


@pytest.fixture
def crossing() -> Crossing:
    return Crossing()


@pytest.fixture
def storage(path: Path, crossing: Crossing) -> Iterator[StorageThread]:
    thread = StorageThread(crossing, open_database(path, MIGRATIONS, application_id=APPLICATION))
    yield thread
    crossing.wait(thread.close())


@pytest.fixture
def held(storage: StorageThread) -> Iterator[threading.Event]:
    """The writer is busy until the event is set, so that what a test submits waits in one batch."""
    event = threading.Event()
    storage.read(lambda db: event.wait(10))
    yield event
    event.set()


def test_a_result_comes_after_its_commit(path: Path, crossing: Crossing, storage: StorageThread) -> None:
    """What was acknowledged is in the file, as another process would find it after a crash."""
    assert (
        crossing.wait(storage.write(lambda db: db.execute("INSERT INTO entry VALUES (7, 'x')").rowcount)) == 1
    )
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    with sqlite3.connect(copy) as crashed:
        assert numbers(crashed) == [7]
    crashed.close()


def test_file_and_folder_are_private(path: Path, crossing: Crossing, storage: StorageThread) -> None:
    """Nobody but the server's account can read the state, its log included."""
    crossing.wait(storage.write(put(1)))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}


def test_every_commit_is_synced(crossing: Crossing, storage: StorageThread) -> None:
    """The connection runs with a write-ahead log, a sync at each commit and foreign keys."""

    def settings(db: Connection) -> list[object]:
        return [
            db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]

    assert crossing.wait(storage.read(settings)) == ["wal", 2, 1]


def test_order_is_the_order_of_submission(crossing: Crossing, storage: StorageThread) -> None:
    """Operations, reads among them, see exactly what was submitted before them."""
    seen: list[Deferred[list[int]]] = []
    for number in range(500):
        storage.write(put(number))
        seen.append(storage.read(numbers))
    for number, deferred in enumerate(seen):
        assert crossing.wait(deferred) == list(range(number + 1))


def test_operations_that_wait_share_a_commit(
    crossing: Crossing, storage: StorageThread, held: threading.Event
) -> None:
    """A batch crosses to the reactor once, however many operations are in it."""
    results = [storage.write(put(number)) for number in range(limits.STORAGE_BATCH)]
    held.set()
    crossing.wait(results[-1])
    assert crossing.crossings == 2  # the read that held the writer, then all the rest
    assert all(result.called for result in results)


def test_a_failing_operation_fails_alone(
    crossing: Crossing, storage: StorageThread, held: threading.Event
) -> None:
    """Its own changes are taken back, its neighbours' in the same batch are kept."""

    def half(db: Connection) -> None:
        put(100)(db)
        put(1)(db)

    def mistaken(db: Connection) -> None:
        put(200)(db)
        raise ZeroDivisionError

    first, second, third, last = (storage.write(f) for f in (put(1), half, mistaken, put(2)))
    held.set()
    crossing.wait(first)
    with pytest.raises(ConstraintError):
        crossing.wait(second)
    with pytest.raises(ZeroDivisionError):
        crossing.wait(third)
    crossing.wait(last)
    assert crossing.wait(storage.read(numbers)) == [1, 2]


def test_a_full_disk_fails_the_batch_and_stops_the_writer(
    crossing: Crossing, storage: StorageThread, held: threading.Event
) -> None:
    """Nothing of the batch is kept or acknowledged, later writes fail at once, reading still explains."""
    stored = storage.write(put(1))
    limit = storage.read(lambda db: len(db.execute("PRAGMA max_page_count = 8").fetchall()))
    held.set()
    crossing.wait(stored)
    crossing.wait(limit)
    held.clear()
    storage.read(lambda db: held.wait(10))
    neighbour = storage.write(put(2))
    big = storage.write(lambda db: db.execute("INSERT INTO entry VALUES (3, ?)", ("x" * 100_000,)).rowcount)
    held.set()
    for lost in (big, neighbour):
        with pytest.raises(StorageError, match="full"):
            crossing.wait(lost)
    late = storage.write(put(4))
    assert late.called
    with pytest.raises(StorageError, match="full"):
        crossing.wait(late)
    assert crossing.wait(storage.read(numbers)) == [1]


def test_a_broken_writer_is_read_only(tmp_path: Path) -> None:
    """A write that was submitted before the failure became known cannot slip in after it."""
    storage = ImmediateStorage(open_database(tmp_path / "s" / "db", MIGRATIONS, application_id=APPLICATION))
    crossing = Crossing()
    with pytest.raises(StorageError):
        crossing.wait(storage.write(lambda db: db.execute("COMMIT")))
    with pytest.raises(StorageError):
        crossing.wait(storage.read(put(1)))
    assert crossing.wait(storage.read(numbers)) == []
    crossing.wait(storage.close())


def test_a_flood_is_refused(crossing: Crossing, storage: StorageThread, held: threading.Event) -> None:
    """What waits for the disk is bounded, but for what must be written; and there is room again in time."""
    waiting = [storage.read(lambda db: None) for _ in range(limits.STORAGE_QUEUE - 1)]
    with pytest.raises(OverloadedError):
        crossing.wait(storage.write(put(1)))
    due = storage.write(put(2), always=True)
    held.set()
    crossing.wait(waiting[-1])
    crossing.wait(storage.write(put(1)))
    crossing.wait(due)
    assert crossing.wait(storage.read(numbers)) == [1, 2]


def test_closing_finishes_what_waits(path: Path, crossing: Crossing) -> None:
    """Close drains, later operations are refused, and the file can be opened again."""
    storage = StorageThread(crossing, open_database(path, MIGRATIONS, application_id=APPLICATION))
    results = [storage.write(put(number)) for number in range(1000)]
    crossing.wait(storage.close())
    assert all(result.called for result in results)
    with pytest.raises(StorageError, match="closed"):
        crossing.wait(storage.write(put(1000)))
    again = open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert numbers(again) == list(range(1000))
    again.close()


def test_cancelling_stops_the_waiting_only(
    crossing: Crossing, storage: StorageThread, held: threading.Event
) -> None:
    """An operation whose caller went away happens all the same, and disturbs nobody."""
    gone = storage.write(put(1))
    gone.addErrback(lambda failure: None)
    gone.cancel()
    held.set()
    assert crossing.wait(storage.read(numbers)) == [1]


def test_a_copy_holds_what_was_submitted_before_it(
    path: Path, crossing: Crossing, storage: StorageThread, held: threading.Event
) -> None:
    """And nothing that came after, though all of it waited in one batch; the copy is a database of its own."""
    for number in range(3):
        storage.write(put(number))
    copied = storage.copy(path.with_name("copy.db"))
    after = storage.write(put(3))
    held.set()
    assert crossing.wait(copied) is None and crossing.wait(after) == 1
    copy = open_database(path.with_name("copy.db"), MIGRATIONS, application_id=APPLICATION)
    assert numbers(copy) == [0, 1, 2]
    copy.close()


def test_a_copy_that_fails_breaks_nothing(path: Path, crossing: Crossing, storage: StorageThread) -> None:
    """Where it cannot be written, that is said, and the database goes on."""
    with pytest.raises(StorageError, match="cannot be copied"):
        crossing.wait(storage.copy(path.parent / "absent" / "copy.db"))
    assert crossing.wait(storage.write(put(1))) == 1


WRITER = """
import os, sys
from pathlib import Path
from twisted.internet import reactor
from rjs.storage import StorageThread, open_database

path, migration, application = sys.argv[1:]
database = open_database(Path(path), [migration], application_id=int(application))
storage = StorageThread(reactor, database)

def put(number):
    done = storage.write(lambda db: db.execute("INSERT INTO entry VALUES (?, 'x')", (number,)))
    done.addCallback(lambda _: os.write(1, b"%d\\n" % number))
    done.addCallback(lambda _: put(number + 20))
    done.addErrback(lambda failure: failure.printTraceback())

for number in range(20):
    reactor.callWhenRunning(put, number)
reactor.run()
"""


@pytest.mark.parametrize("acknowledged", [1, 200, 2000])
def test_what_was_acknowledged_survives_a_kill(path: Path, acknowledged: int) -> None:
    """After kill -9 at any point, every acknowledged operation is there."""
    argv = [sys.executable, "-c", WRITER, str(path), MIGRATIONS[0], str(APPLICATION)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(acknowledged)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    database = open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert set(told) <= set(numbers(database))
    database.close()


def test_a_second_process_is_refused(path: Path, storage: StorageThread) -> None:
    """Two servers on one state folder would be two truths."""
    with pytest.raises(StorageError, match="in use by another process"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)


def test_migrations_continue_where_the_file_is(path: Path) -> None:
    """A newer release adds its migrations to what is there."""
    old = open_database(path, MIGRATIONS, application_id=APPLICATION)
    put(1)(old)
    old.close()
    newer = [*MIGRATIONS, "ALTER TABLE entry ADD COLUMN note TEXT; CREATE TABLE other (x); -- comment"]
    for _ in range(2):
        new = open_database(path, newer, application_id=APPLICATION)
        assert new.execute("SELECT * FROM entry").fetchall() == [(1, "entry 1", None)]
        new.close()


def test_what_was_there_before_a_migration_is_kept(path: Path) -> None:
    """Before each step the file is copied, as a database that the release before opens; a new one needs no copy."""
    newer = [*MIGRATIONS, "ALTER TABLE entry ADD COLUMN note TEXT", "DROP TABLE entry"]
    old = open_database(path, newer[:1], application_id=APPLICATION)
    put(1)(old)
    old.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    open_database(path, newer, application_id=APPLICATION).close()
    for schema, row in ((1, (1, "entry 1")), (2, (1, "entry 1", None))):
        kept = path.with_name(f"{path.name}.schema-{schema}")
        assert kept.stat().st_mode & 0o777 == 0o600
        before = open_database(kept, newer[:schema], application_id=APPLICATION)
        assert before.execute("SELECT * FROM entry").fetchall() == [row]
        before.close()


def test_without_room_for_the_copy_nothing_migrates(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full before a migration leaves the old schema, and no half copy."""
    open_database(path, MIGRATIONS, application_id=APPLICATION).close()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            open_database(path, [*MIGRATIONS, "DROP TABLE entry"], application_id=APPLICATION)
    assert [file.name for file in path.parent.iterdir() if not file.name.endswith(("-wal", "-shm"))] == [
        path.name
    ]
    open_database(path, MIGRATIONS, application_id=APPLICATION).close()


def test_a_migration_is_whole_or_absent(path: Path) -> None:
    """A migration that fails half way leaves the schema before it."""
    with pytest.raises(StorageError, match="cannot be opened"):
        open_database(
            path, [*MIGRATIONS, "CREATE TABLE other (x); CREATE TABLE entry (x)"], application_id=APPLICATION
        )
    database = open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("entry",)]
    database.close()


def test_a_newer_schema_is_refused(path: Path) -> None:
    """An old release does not guess at a newer file, and says which release can."""
    open_database(path, [*MIGRATIONS, "CREATE TABLE other (x)"], application_id=APPLICATION).close()
    with pytest.raises(StorageError, match="schema 2 and this release knows schemas up to 1"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)


def test_another_application_is_refused(path: Path) -> None:
    """Another program's database is not touched: not one byte of it changes."""
    path.parent.mkdir(mode=0o700)
    foreign = sqlite3.connect(path)
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="not this server's database"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert path.read_bytes() == before


def test_an_open_folder_is_refused(path: Path) -> None:
    """State does not go where other accounts look."""
    path.parent.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)


def test_a_damaged_file_is_refused_and_kept(path: Path) -> None:
    """A file that is no database is refused by name, and not one byte of it changes."""
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b"garbage, " * 1000)
    with pytest.raises(DamagedError, match=r"queue\.db is damaged: file is not a database"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert path.read_bytes() == b"garbage, " * 1000


def damage(path: Path) -> bytes:
    """Have a database whose pages are rubbish but for the first and the last; its bytes."""
    database = open_database(path, MIGRATIONS, application_id=APPLICATION)
    for number in range(2000):
        put(number)(database)
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:-4096] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    return bytes(content)


def test_damaged_pages_are_seen_at_the_start(path: Path) -> None:
    """A file whose pages contradict themselves is not served from, and not one byte of it changes."""
    content = damage(path)
    with pytest.raises(DamagedError, match=r"queue\.db is damaged: .* restore a backup"):
        open_database(path, MIGRATIONS, application_id=APPLICATION)
    assert path.read_bytes() == content


def test_damage_found_later_stops_the_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was damaged meanwhile is seen when it is read; from then on nothing is written to that file."""
    content = damage(path)
    monkeypatch.setattr("rjs.storage._require_whole", lambda connection, path: None)
    storage = ImmediateStorage(open_database(path, MIGRATIONS, application_id=APPLICATION))
    crossing = Crossing()
    with pytest.raises(StorageError, match="malformed"):
        crossing.wait(storage.read(numbers))
    with pytest.raises(StorageError, match="malformed"):
        crossing.wait(storage.write(put(5000)))
    crossing.wait(storage.close())
    assert path.read_bytes() == content
