"""The WS's database: the journal of the queue, the accounts, the members. The only SQL of the WS.

Functions here run on the storage thread inside a transaction. The queue's entries (``ws.instructions``) are
written by ``persist`` and read back by ``load_queue``; nothing else writes those tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
import msgspec

from rjs.attempts import AttemptId, Fence
from rjs.identity.names import RjsName, Role
from rjs.ids import BundleId, SpkiDigest
from rjs.jobs import TaskState
from rjs.limits import FOREIGN_SIGNERS
from rjs.storage import Connection
from rjs.wire.messages import JobBrief
from ws import checkpoint_rows
from ws.instructions import (
    AttemptLogged,
    CheckpointForgotten,
    CheckpointKept,
    Entry,
    JobAdded,
    JobClosed,
    LeaseAdopted,
    LeaseClosed,
    LeaseGranted,
    PlacementKnown,
    TaskEnded,
)
from ws.job import Job
from ws.queue import Queue

APPLICATION_ID = 0x524A5301
"""Marks the file as a WS's database ("RJS", 1)."""

MIGRATIONS = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('generation', 1);

    CREATE TABLE members (
        serial TEXT PRIMARY KEY,          -- of the invitation, used once
        role TEXT NOT NULL, id TEXT NOT NULL, common_name TEXT NOT NULL,
        token_spki TEXT NOT NULL, answer_spki TEXT, signing_spki TEXT, joined REAL NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX member_answers ON members (id) WHERE answer_spki IS NOT NULL;

    CREATE TABLE signers (account TEXT NOT NULL, spki TEXT NOT NULL, PRIMARY KEY (account, spki))
        STRICT, WITHOUT ROWID;

    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, account TEXT NOT NULL, file_name TEXT NOT NULL,
        brief BLOB NOT NULL, accepted REAL NOT NULL, not_after REAL NOT NULL,
        closed_state INTEGER, closed_reason TEXT NOT NULL DEFAULT ''
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE leases (
        number INTEGER PRIMARY KEY, job TEXT NOT NULL, task INTEGER NOT NULL, lus TEXT NOT NULL, boot TEXT NOT NULL
    ) STRICT;

    CREATE TABLE placements (
        job TEXT NOT NULL, task INTEGER NOT NULL,
        generation INTEGER NOT NULL, lease INTEGER NOT NULL, sequence INTEGER NOT NULL,
        cs TEXT NOT NULL, cs_name TEXT NOT NULL,
        PRIMARY KEY (job, task, generation, lease, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE attempts (
        job TEXT NOT NULL, task INTEGER NOT NULL, counted TEXT NOT NULL,
        cs TEXT NOT NULL, cs_name TEXT NOT NULL, detail TEXT NOT NULL
    ) STRICT;
    CREATE INDEX attempts_of ON attempts (job, task);

    CREATE TABLE ends (
        job TEXT NOT NULL, task INTEGER NOT NULL, state INTEGER NOT NULL, reason TEXT NOT NULL,
        cs_name TEXT NOT NULL DEFAULT '', sha256 TEXT NOT NULL DEFAULT '', size INTEGER NOT NULL DEFAULT 0,
        data BLOB, staged TEXT NOT NULL DEFAULT '', delivered INTEGER NOT NULL,
        PRIMARY KEY (job, task)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX undelivered ON ends (job, task) WHERE NOT delivered;

    CREATE TABLE uploads (
        account TEXT NOT NULL, file_name TEXT NOT NULL, stamp TEXT NOT NULL, refusal TEXT NOT NULL,
        PRIMARY KEY (account, file_name)
    ) STRICT, WITHOUT ROWID;
    """,
    "ALTER TABLE jobs ADD COLUMN attempts INTEGER NOT NULL DEFAULT 3;",
    checkpoint_rows.TABLE,
)


# --- the queue's journal --------------------------------------------------------------------------------


def persist(db: Connection, entries: Iterable[Entry]) -> None:
    """Write the queue's entries, in order."""
    for entry in entries:
        _WRITERS[type(entry)](db, entry)


def _job_added(db: Connection, entry: JobAdded) -> None:
    job = entry.job
    db.execute(
        "INSERT INTO jobs (id, number, account, file_name, brief, accepted, not_after, attempts)"
        " VALUES (?, (SELECT ifnull(max(number), 0) + 1 FROM jobs), ?, ?, ?, ?, ?, ?)",
        (
            job.id,
            job.user,
            job.file_name,
            msgspec.msgpack.encode(job.brief),
            job.accepted,
            job.not_after,
            job.attempts,
        ),
    )


def _job_closed(db: Connection, entry: JobClosed) -> None:
    db.execute(
        "UPDATE jobs SET closed_state = ?, closed_reason = ? WHERE id = ?",
        (entry.state, entry.reason, entry.job),
    )
    db.execute("DELETE FROM placements WHERE job = ?", (entry.job,))
    checkpoint_rows.forget_all(db, entry.job)


def _lease_granted(db: Connection, entry: LeaseGranted) -> None:
    row = (entry.number, entry.job, entry.task, entry.lus, entry.boot)
    db.execute("INSERT INTO leases VALUES (?, ?, ?, ?, ?)", row)
    db.execute("INSERT OR REPLACE INTO meta VALUES ('last_lease', ?)", (entry.number,))


def _lease_adopted(db: Connection, entry: LeaseAdopted) -> None:
    row = (entry.number, entry.job, entry.task, entry.lus, entry.boot)
    db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", row)


def _lease_closed(db: Connection, entry: LeaseClosed) -> None:
    db.execute("DELETE FROM leases WHERE number = ?", (entry.number,))


def _placement_known(db: Connection, entry: PlacementKnown) -> None:
    fence = entry.attempt.fence
    row = (entry.attempt.job, entry.attempt.task, fence.generation, fence.lease, fence.sequence)
    db.execute(
        "INSERT OR IGNORE INTO placements VALUES (?, ?, ?, ?, ?, ?, ?)", (*row, entry.cs, entry.cs_name)
    )
    if entry.forgotten is not None:
        old = entry.forgotten.fence
        db.execute(
            "DELETE FROM placements WHERE (job, task, generation, lease, sequence) = (?, ?, ?, ?, ?)",
            (entry.forgotten.job, entry.forgotten.task, old.generation, old.lease, old.sequence),
        )


def _attempt_logged(db: Connection, entry: AttemptLogged) -> None:
    row = (entry.job, entry.task, entry.counted, entry.cs, entry.cs_name, entry.detail)
    # Only what counts is a cause of failure, and is bounded by that; of the rest the last tells enough.
    db.execute("DELETE FROM attempts WHERE job = ? AND task = ? AND counted = ''", row[:2])
    db.execute("INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?)", row)


def _task_ended(db: Connection, entry: TaskEnded) -> None:
    answer = entry.answer
    db.execute(
        "INSERT INTO ends (job, task, state, reason, delivered) VALUES (?, ?, ?, ?, ?)",
        (entry.job, entry.task, entry.state, entry.reason, answer is None),
    )
    if answer is not None:
        db.execute(
            "UPDATE ends SET cs_name = ?, sha256 = ?, size = ?, data = ?, staged = ? WHERE job = ? AND task = ?",
            (
                answer.cs_name, answer.sha256, answer.size, None if answer.staged else answer.data, answer.staged,
                entry.job, entry.task,
            ),
        )  # fmt: skip
    db.execute("DELETE FROM placements WHERE job = ? AND task = ?", (entry.job, entry.task))
    checkpoint_rows.forget(db, CheckpointForgotten(entry.job, entry.task))


_WRITERS: dict[type[Entry], Callable[[Connection, Any], None]] = {
    JobAdded: _job_added,
    JobClosed: _job_closed,
    LeaseGranted: _lease_granted,
    LeaseAdopted: _lease_adopted,
    LeaseClosed: _lease_closed,
    PlacementKnown: _placement_known,
    AttemptLogged: _attempt_logged,
    TaskEnded: _task_ended,
    CheckpointKept: checkpoint_rows.keep,
    CheckpointForgotten: checkpoint_rows.forget,
}


def load_queue(db: Connection, now: float) -> Queue:
    """The queue as journalled. Lease numbers go on above every one ever granted."""
    meta = dict(db.execute("SELECT name, value FROM meta"))
    queue = Queue(meta["generation"], meta.get("last_lease", 0) + 1)
    for job, closed in _jobs(db):
        ends = db.execute("SELECT task, state FROM ends WHERE job = ?", (job.id,))
        queue.restore_job(job, ((task, TaskState(state)) for task, state in ends), closed)
    for row in db.execute("SELECT number, job, task, lus, boot FROM leases ORDER BY number").fetchall():
        queue.restore_lease(LeaseGranted(*row), now)
    for job_id, task, generation, lease, sequence, cs, cs_name in db.execute("SELECT * FROM placements"):
        attempt = AttemptId(job_id, task, Fence(generation, lease, sequence))
        queue.restore_placement(PlacementKnown(attempt, cs, cs_name), now)
    for row in db.execute("SELECT job, task, counted, cs, cs_name, detail FROM attempts ORDER BY rowid"):
        queue.restore_attempt(AttemptLogged(*row))
    for job_id, task, sha256 in db.execute("SELECT job, task, sha256 FROM ends WHERE sha256 != ''"):
        queue.restore_answer(BundleId(job_id), task, sha256)
    for kept in checkpoint_rows.load(db):
        queue.checkpoints.know(kept)
    return queue


def _jobs(db: Connection) -> list[tuple[Job, JobClosed | None]]:
    rows = db.execute(
        "SELECT id, account, file_name, brief, accepted, not_after, attempts, closed_state, closed_reason"
        " FROM jobs ORDER BY number"
    )
    jobs = []
    for job_id, account, file_name, brief, accepted, not_after, attempts, state, reason in rows:
        known = msgspec.msgpack.decode(brief, type=JobBrief)
        job = Job(known, account, file_name, accepted, not_after, attempts)
        closed = None if state is None else JobClosed(BundleId(job_id), TaskState(state), reason)
        jobs.append((job, closed))
    return jobs


# --- answers --------------------------------------------------------------------------------------------


@attrs.frozen
class Undelivered:
    """A committed answer that ``ans/`` does not have yet."""

    job: BundleId
    account: str
    task: int
    sha256: str
    data: bytes | None = attrs.field(repr=False)
    staged: str


def undelivered(db: Connection, limit: int, leave_out: frozenset[str] = frozenset()) -> list[Undelivered]:
    """Committed answers that are not yet in ``ans/``, but those of the accounts in ``leave_out``."""
    marks = ", ".join("?" * len(leave_out))
    query = (
        "SELECT ends.job, account, task, sha256, data, staged FROM ends JOIN jobs ON jobs.id = ends.job"  # noqa: S608
        f" WHERE NOT delivered AND account NOT IN ({marks}) LIMIT ?"
    )
    rows = db.execute(query, (*leave_out, limit))
    return [Undelivered(*row) for row in rows]


def delivered(db: Connection, answers: Iterable[Undelivered]) -> None:
    """``ans/`` has these, durably: the database need not keep their bytes."""
    db.executemany(
        "UPDATE ends SET delivered = 1, data = NULL, staged = '' WHERE job = ? AND task = ?",
        [(each.job, each.task) for each in answers],
    )


@attrs.frozen
class Ended:
    """How a task ended, for status. ``delivered``: whether ``ans/`` has its answer, if there is one."""

    state: TaskState
    cs_name: str
    reason: str
    delivered: bool


def staged_files(db: Connection) -> frozenset[str]:
    """Names of the staged files that committed answers still need."""
    return frozenset(name for (name,) in db.execute("SELECT staged FROM ends WHERE staged != ''"))


def ended_tasks(db: Connection, job: BundleId, first: int, count: int) -> dict[int, Ended]:
    """The tasks of a job in [first, first + count) that ended one by one."""
    rows = db.execute(
        "SELECT task, state, cs_name, reason, delivered FROM ends WHERE job = ? AND task >= ? AND task < ?",
        (job, first, first + count),
    )
    return {
        task: Ended(TaskState(state), cs_name, reason, bool(delivered))
        for task, state, cs_name, reason, delivered in rows
    }


def count_undelivered(db: Connection, job: BundleId) -> int:
    """How many committed answers of a job are not yet in ``ans/``."""
    (count,) = db.execute("SELECT count(*) FROM ends WHERE job = ? AND NOT delivered", (job,)).fetchone()
    return int(count)


def refusal_of(db: Connection, account: str, file_name: str) -> str:
    """Why the last version of this file in ``jobs/`` that was judged was refused; empty when it was not."""
    query = "SELECT refusal FROM uploads WHERE account = ? AND file_name = ?"
    row = db.execute(query, (account, file_name)).fetchone()
    return "" if row is None else str(row[0])


# --- a restored backup ----------------------------------------------------------------------------------


def set_generation(db: Connection, generation: int) -> None:
    """Fences of this generation are above all that were given before; no lease of an earlier one holds."""
    db.execute("UPDATE meta SET value = ? WHERE name = 'generation'", (generation,))
    db.execute("DELETE FROM leases")


def generation(db: Connection) -> int:
    """The generation of fences."""
    (value,) = db.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()
    return int(value)


def commit_delivered(db: Connection, ended: TaskEnded) -> None:
    """A task whose answer ``ans/`` has though the journal does not know of it."""
    persist(db, [ended])
    db.execute(
        "UPDATE ends SET delivered = 1, data = NULL, staged = '' WHERE job = ? AND task = ?",
        (ended.job, ended.task),
    )


def reopen(db: Connection, answer: Undelivered) -> None:
    """A task whose answer is nowhere any more: it is computed again."""
    db.execute("DELETE FROM ends WHERE job = ? AND task = ?", (answer.job, answer.task))


# --- members and accounts -------------------------------------------------------------------------------


@attrs.frozen
class Joining:
    """A checked enrolment as recorded. ``serial`` is its invitation's."""

    serial: str
    role: str
    id: str
    common_name: str
    token_spki: SpkiDigest
    answer_spki: SpkiDigest | None
    signing_spki: SpkiDigest | None


def record_member(db: Connection, joining: Joining, wall: float) -> bool:
    """Use the invitation. True when it is now used by exactly this key (first time or repeated), False when
    another key used it before."""
    row = db.execute("SELECT token_spki FROM members WHERE serial = ?", (joining.serial,)).fetchone()
    if row is not None:
        return bool(row[0] == joining.token_spki)
    db.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*attrs.astuple(joining), wall))
    if joining.signing_spki is not None:
        db.execute("INSERT OR IGNORE INTO signers VALUES (?, ?)", (joining.id, joining.signing_spki))
    return True


_GUEST = "guest:"  # before the account, where the serial number of an invitation would be


def is_invited(db: Connection, account: str) -> bool:
    """Whether somebody joined as this account by an invitation."""
    query = "SELECT 1 FROM members WHERE role = 'user' AND id = ? AND serial != ?"
    return db.execute(query, (account, _GUEST + account)).fetchone() is not None


def record_guest(db: Connection, account: str, signing_spki: SpkiDigest | None, wall: float) -> bool:
    """Have the account of somebody who presented a certificate of another CA, and list the signing key. False when it
    lists too many."""
    if signing_spki is not None and not list_signer(db, account, signing_spki):
        return False
    row = (_GUEST + account, "user", account, account, "", None, signing_spki, wall)
    db.execute("INSERT OR IGNORE INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return True


def list_signer(db: Connection, account: str, spki: SpkiDigest) -> bool:
    """Have the account list this signing key; again is no matter. False when it lists too many."""
    listed = {each for (each,) in db.execute("SELECT spki FROM signers WHERE account = ?", (account,))}
    if spki not in listed and len(listed) >= FOREIGN_SIGNERS:
        return False
    db.execute("INSERT OR IGNORE INTO signers VALUES (?, ?)", (account, spki))
    return True


def accounts(db: Connection) -> dict[str, frozenset[str]]:
    """Every account with the signing keys that it lists."""
    found: dict[str, set[str]] = {}
    for (account,) in db.execute("SELECT DISTINCT id FROM members WHERE role = 'user'"):
        found[account] = set()
    for account, spki in db.execute("SELECT account, spki FROM signers"):
        found.setdefault(account, set()).add(spki)
    return {account: frozenset(spkis) for account, spkis in found.items()}


def joined(db: Connection) -> dict[str, float]:
    """When each account was last joined, in Unix time: by an invitation that was good then."""
    return dict(db.execute("SELECT id, max(joined) FROM members WHERE role = 'user' GROUP BY id"))


def members_called(db: Connection, text: str) -> list[RjsName]:
    """Who has this id, or is called so."""
    rows = db.execute(
        "SELECT DISTINCT role, id FROM members WHERE id = ? OR common_name = ? ORDER BY role, id",
        (text, text),
    )
    return [RjsName(Role(role), member) for role, member in rows]


def lus_names(db: Connection) -> dict[str, str]:
    """What every LUS that joined is called, by id."""
    return dict(db.execute("SELECT id, common_name FROM members WHERE role = 'lus'"))


def answer_keys(db: Connection) -> dict[str, str]:
    """Every enrolled CS with its answer key."""
    return dict(db.execute("SELECT id, answer_spki FROM members WHERE answer_spki IS NOT NULL"))


# --- uploads --------------------------------------------------------------------------------------------


def record_upload(db: Connection, account: str, file_name: str, stamp: str, refusal: str) -> None:
    """What became of the file with this stamp (size and times) in ``jobs/``; empty refusal: it was accepted."""
    db.execute("INSERT OR REPLACE INTO uploads VALUES (?, ?, ?, ?)", (account, file_name, stamp, refusal))


def known_uploads(db: Connection) -> dict[tuple[str, str], str]:
    """Stamps of the files that were judged."""
    rows = db.execute("SELECT account, file_name, stamp FROM uploads")
    return {(account, file_name): stamp for account, file_name, stamp in rows}
