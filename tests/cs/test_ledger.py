"""The ledger of attempts: nothing begins twice, whoever says so and whenever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import A, B, attempt

from cs import ledger
from rjs.errors import RefusedError
from rjs.storage import Connection, open_database


def opened(folder: Path) -> Connection:
    return open_database(folder / "ledger.sqlite", ledger.MIGRATIONS, application_id=ledger.APPLICATION_ID)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Connection]:
    connection = opened(tmp_path / "state")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    "again",
    [
        attempt(5, sequence=3), attempt(5, sequence=2), attempt(4, sequence=9), attempt(9, sequence=9, generation=0)
    ],
    ids=["the same", "an older sequence", "an older lease", "an older generation"],
)  # fmt: skip
def test_a_replay_is_refused(db: Connection, again: object) -> None:
    """A fence that is not above the last one of its task was begun before, or overtaken."""
    ledger.record(db, attempt(5, sequence=3), 1e9)
    with pytest.raises(RefusedError, match="replayed"):
        ledger.record(db, again, 1e9)  # type: ignore[arg-type]  # parametrized


@pytest.mark.parametrize(
    "later",
    [
        attempt(5, sequence=4),
        attempt(6, sequence=1),
        attempt(1, sequence=1, generation=2),
        attempt(1, task=1),
        attempt(1, job=B),
    ],
)
def test_a_later_fence_or_another_task_may_begin(db: Connection, later: object) -> None:
    """Each task has a line of fences of its own."""
    ledger.record(db, attempt(5, sequence=3), 1e9)
    ledger.record(db, later, 1e9)  # type: ignore[arg-type]  # parametrized


def test_a_replay_is_refused_after_a_restart(tmp_path: Path) -> None:
    """The ledger is on the disk."""
    connection = opened(tmp_path / "state")
    ledger.record(connection, attempt(5), 1e9)
    connection.close()
    connection = opened(tmp_path / "state")
    with pytest.raises(RefusedError, match="replayed"):
        ledger.record(connection, attempt(5), 1e9)
    connection.close()


def test_only_expired_bundles_are_forgotten(db: Connection) -> None:
    """Until its not-after a bundle's attempts are known; after it the verifier refuses the bundle itself."""
    ledger.record(db, attempt(5, A), 100.0)
    ledger.record(db, attempt(5, B), 200.0)
    ledger.forget_expired(db, 150.0)
    ledger.record(db, attempt(5, A), 100.0)
    with pytest.raises(RefusedError, match="replayed"):
        ledger.record(db, attempt(5, B), 200.0)
