"""The ledger: every attempt that this machine ever began, until its bundle's not-after. It survives restarts.

A bundle is a job once: a start whose fence is not above the last one of the same task is a replay, whoever
sends it. Functions here run on the storage thread inside a transaction.
"""

from __future__ import annotations

from cs import checkpoint_ledger
from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.storage import Connection

APPLICATION_ID = 0x524A5302
"""Marks the file as a CS's ledger ("RJS", 2)."""

WITHOUT = (
    "A new ledger is begun: what was started here before could be started here again, until its bundle's end"
)
"""What it means to lose it."""

MIGRATIONS = (
    """
    CREATE TABLE attempts (
        job TEXT NOT NULL, task INTEGER NOT NULL,
        generation INTEGER NOT NULL, lease INTEGER NOT NULL, sequence INTEGER NOT NULL,
        not_after REAL NOT NULL,
        PRIMARY KEY (job, task)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX attempts_until ON attempts (not_after);
    """,
    checkpoint_ledger.TABLE,
)


def record(db: Connection, attempt: AttemptId, not_after: float) -> None:
    """Note that ``attempt`` begins. Raises RefusedError when it, or a later one of its task, began before."""
    fence = attempt.fence
    row = db.execute(
        "SELECT generation, lease, sequence FROM attempts WHERE job = ? AND task = ?",
        (attempt.job, attempt.task),
    ).fetchone()
    if row is not None and tuple(row) >= (fence.generation, fence.lease, fence.sequence):
        raise RefusedError("replayed", "this attempt, or a later one of its task, was begun here before")
    db.execute(
        "INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?, ?, ?)",
        (attempt.job, attempt.task, fence.generation, fence.lease, fence.sequence, not_after),
    )


def forget_expired(db: Connection, wall: float) -> None:
    """Bundles past their not-after are refused by the verifier: their attempts need not be kept."""
    db.execute("DELETE FROM attempts WHERE not_after < ?", (wall,))
    checkpoint_ledger.forget_expired(db)
