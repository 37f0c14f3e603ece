"""The newest checkpoint of each task that this machine knows to be the WS's: what is older is a replay.

In the ledger's database, beside the attempts, and kept as long as these. Functions here run on the storage thread
inside a transaction.
"""

from __future__ import annotations

from cs.checkpoint_store import CheckpointName
from rjs.errors import RefusedError
from rjs.storage import Connection

TABLE = """
    CREATE TABLE checkpoints (
        job TEXT NOT NULL, task INTEGER NOT NULL,
        generation INTEGER NOT NULL, lease INTEGER NOT NULL, fence_sequence INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (job, task)
    ) STRICT, WITHOUT ROWID;
"""


def note(db: Connection, name: CheckpointName) -> None:
    """The WS keeps this, or gave it. Raises RefusedError ``older-checkpoint`` when a newer one is known."""
    fence = name.attempt.fence
    order = (fence.generation, fence.lease, fence.sequence, name.sequence)
    row = db.execute(
        "SELECT generation, lease, fence_sequence, sequence FROM checkpoints WHERE (job, task) = (?, ?)",
        name.task,
    ).fetchone()
    if row is not None and tuple(row) > order:
        raise RefusedError("older-checkpoint", "this machine knows a newer checkpoint of the task")
    db.execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?, ?, ?, ?, ?)", (*name.task, *order))


def forget_expired(db: Connection) -> None:
    """What the ledger has no attempt of any more is past its bundle's end."""
    db.execute(
        "DELETE FROM checkpoints WHERE NOT EXISTS"
        " (SELECT 1 FROM attempts WHERE attempts.job = checkpoints.job AND attempts.task = checkpoints.task)"
    )
