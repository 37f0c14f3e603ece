"""The rows of checkpoints in the WS's database: a part of ``ws.store``, which alone calls what writes here."""

from __future__ import annotations

from rjs.attempts import Fence
from rjs.ids import BundleId
from rjs.storage import Connection
from rjs.wire.messages import CheckpointRef
from ws.instructions import CheckpointForgotten, CheckpointKept
from ws.job import Kept

TABLE = """
    CREATE TABLE checkpoints (
        job TEXT NOT NULL, task INTEGER NOT NULL,
        generation INTEGER NOT NULL, lease INTEGER NOT NULL, fence_sequence INTEGER NOT NULL,
        sequence INTEGER NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL, file TEXT NOT NULL,
        PRIMARY KEY (job, task)
    ) STRICT, WITHOUT ROWID;
"""


def keep(db: Connection, entry: CheckpointKept) -> None:
    """The newest of its task, in place of the one before."""
    ref = entry.kept.ref
    fence = (ref.fence.generation, ref.fence.lease, ref.fence.sequence)
    row = (entry.job, ref.task, *fence, ref.sequence, ref.size, ref.sha256, entry.kept.file)
    db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def forget(db: Connection, entry: CheckpointForgotten) -> None:
    """That of one task."""
    db.execute("DELETE FROM checkpoints WHERE job = ? AND task = ?", (entry.job, entry.task))


def forget_all(db: Connection, job: str) -> None:
    """Those of all tasks of a job."""
    db.execute("DELETE FROM checkpoints WHERE job = ?", (job,))


def load(db: Connection) -> list[CheckpointKept]:
    """Every checkpoint, as journalled."""
    return [
        CheckpointKept(
            BundleId(job),
            Kept(CheckpointRef(task, Fence(generation, lease, fenced), sequence, size, sha256), file),
        )
        for job, task, generation, lease, fenced, sequence, size, sha256, file in db.execute(
            "SELECT * FROM checkpoints"
        )
    ]
