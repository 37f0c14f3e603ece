"""What the journal gives back is what was written; `test_queue_sequences` restarts queues from it in any state."""

from __future__ import annotations

import msgspec
import pytest
from samples import CS1, A, B, attempt, job
from simulated_cluster import disk

from rjs.jobs import TaskState
from rjs.storage import Connection, ConstraintError
from ws import store
from ws.instructions import (
    Answer,
    AttemptLogged,
    Entry,
    JobAdded,
    JobClosed,
    LeaseClosed,
    LeaseGranted,
    PlacementKnown,
    TaskEnded,
)
from ws.store import Ended, Undelivered

ANSWER = Answer(attempt(1), CS1, "cs1", "d" * 64, 2, b"{}", "")
STAGED = Answer(attempt(2, task=1), CS1, "cs1", "e" * 64, 1 << 20, b"", "staged.jar")


@pytest.fixture
def db() -> Connection:
    return disk(store.MIGRATIONS)


def write(db: Connection, *entries: Entry) -> None:
    store.persist(db, entries)


def test_a_job_comes_back_whole(db: Connection) -> None:
    """Jobs keep their order, their brief, their owner and how they were closed."""
    write(db, JobAdded(job(B, 3, "bob")), JobAdded(job(A)), JobClosed(B, TaskState.CANCELLED, "by bob"))
    queue = store.load_queue(db, 0.0)
    assert [state.job for state in queue.jobs.values()] == [job(B, 3, "bob"), job(A)]
    assert queue.jobs[B].line().reason == "by bob"
    assert (queue.jobs[B].summary(), queue.jobs[A].summary()) == ("cancelled", "waiting")


def test_the_number_of_attempts_survives(db: Connection) -> None:
    """A task that failed before the process was killed has one attempt less after it, and no more than its job
    allows."""
    write(
        db,
        JobAdded(job(A, attempts=2)),
        AttemptLogged(A, 0, "failed", CS1, "cs1", "exit status 1"),
        LeaseGranted(7, A, 0, "l", "b1"),
        PlacementKnown(attempt(7), CS1, "cs1"),
    )
    queue = store.load_queue(db, 0.0)
    assert queue.jobs[A].job.attempts == 2
    _, ended, *_ = queue.attempt_ended("l", attempt(7), CS1, "failed", "exit status 2", 1.0)
    assert ended == TaskEnded(
        A, 0, TaskState.FAILED, "failed 2 times (on cs1, cs1); the last time: exit status 2"
    )


def test_jobs_of_older_journals_have_three_attempts() -> None:
    """What was journalled before jobs said how many attempts they allow is tried as often as it was then."""
    db = disk(store.MIGRATIONS[:1])
    brief = msgspec.msgpack.encode(job(A).brief)
    db.execute(
        "INSERT INTO jobs (id, number, account, file_name, brief, accepted, not_after) VALUES (?, 1, ?, ?, ?, 1, 2)",
        (A, "ada", "a.jar", brief),
    )
    for migration in store.MIGRATIONS[1:]:
        db.executescript(migration)
    assert store.load_queue(db, 0.0).jobs[A].job.attempts == 3


def test_lease_numbers_never_come_again(db: Connection) -> None:
    """Not even those of leases that are over."""
    write(db, JobAdded(job(A)), LeaseGranted(7, A, 0, "l", "b1"), LeaseClosed(7))
    assert store.load_queue(db, 0.0).leases.next_number == 8


def test_leases_and_placements_come_back(db: Connection) -> None:
    """A lease lives for one full lease more, and its placed attempt may still answer."""
    placed = PlacementKnown(attempt(7), CS1, "cs1")
    write(db, JobAdded(job(A)), LeaseGranted(7, A, 0, "l", "b1"), placed, placed)
    queue = store.load_queue(db, 500.0)
    lease = queue.lease_of(A, 0)
    assert lease is not None
    assert (lease.number, lease.placed, lease.cs_name) == (7, attempt(7), "cs1")
    assert queue.judge(attempt(7), CS1, "d1") is None


def test_a_forgotten_placement_stays_forgotten(db: Connection) -> None:
    """The journal keeps no more of them than the queue."""
    write(
        db, JobAdded(job(A)), PlacementKnown(attempt(7), CS1, "cs1"),
        PlacementKnown(attempt(7, sequence=2), CS1, "cs1", forgotten=attempt(7)),
    )  # fmt: skip
    queue = store.load_queue(db, 0.0)
    assert queue.judge(attempt(7), CS1, "d1") is not None
    assert queue.judge(attempt(7, sequence=2), CS1, "d1") is None


def test_attempts_that_count_for_nothing_are_not_gathered(db: Connection) -> None:
    """A CS that gives a task back without end fills no disk; what counts is all kept, in order."""
    for detail in ("one", "two", "three"):
        write(
            db, AttemptLogged(A, 0, "", CS1, "cs1", detail), AttemptLogged(A, 0, "failed", CS1, "cs1", detail)
        )
    write(db, AttemptLogged(A, 0, "", CS1, "cs1", "four"))
    rows = db.execute("SELECT counted, detail FROM attempts ORDER BY rowid").fetchall()
    assert rows == [("failed", "one"), ("failed", "two"), ("failed", "three"), ("", "four")]


def test_answers_wait_for_delivery(db: Connection) -> None:
    """Inline or staged, they are there until delivered; then only what status needs is."""
    write(db, JobAdded(job(A)))
    write(
        db,
        TaskEnded(A, 0, TaskState.COMMITTED, answer=ANSWER),
        TaskEnded(A, 1, TaskState.COMMITTED, answer=STAGED),
    )
    inline = Undelivered(A, "ada", 0, "d" * 64, b"{}", "")
    staged = Undelivered(A, "ada", 1, "e" * 64, None, "staged.jar")
    assert store.undelivered(db, 10) == [inline, staged]
    assert store.undelivered(db, 10, frozenset({"ada"})) == []
    assert store.staged_files(db) == {"staged.jar"}
    store.delivered(db, [staged])
    assert (store.undelivered(db, 10), store.staged_files(db)) == ([inline], frozenset())
    assert store.ended_tasks(db, A, 0, 5) == {
        0: Ended(TaskState.COMMITTED, "cs1", "", delivered=False),
        1: Ended(TaskState.COMMITTED, "cs1", "", delivered=True),
    }
    assert (store.count_undelivered(db, A), store.count_undelivered(db, B)) == (1, 0)
    assert store.load_queue(db, 0.0).judge(attempt(9), CS1, "d" * 64) is not None


def test_a_task_ends_once_on_the_disk_too(db: Connection) -> None:
    """Should the rules ever err, the journal refuses the second end."""
    write(db, JobAdded(job(A)), TaskEnded(A, 0, TaskState.COMMITTED, answer=ANSWER))
    with pytest.raises(ConstraintError):
        write(db, TaskEnded(A, 0, TaskState.FAILED, "why"))
