"""The compute server's checkpoints on disk: the newest of each task, whole or not at all, bounded."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import A, B, attempt

from cs import limits
from cs.checkpoint_store import CheckpointName, CheckpointStore, parse_file
from rjs.attempts import AttemptId, Fence

NOW = 1_800_000_000.0
FIRST = CheckpointName(attempt(1), 1)
LATER = CheckpointName(attempt(2), 1)
OTHER = CheckpointName(attempt(1, task=1), 7)


def ten(out: BinaryIO) -> None:
    out.write(bytes(10))


def keep(store: CheckpointStore, *names: CheckpointName, age: float = 0.0) -> None:
    """Keep these, each a second younger than the one before; all of them as old as ``age``."""
    for number, name in enumerate(names):
        store.keep(name, ten, NOW - age + number)


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path)


NUMBERS = st.integers(0, 2**63 - 1)


@given(st.integers(0, 2**31 - 1), NUMBERS, NUMBERS, NUMBERS, st.integers(1, 2**31 - 1))
def test_a_name_says_which_it_is(task: int, generation: int, lease: int, fenced: int, sequence: int) -> None:
    """Its file's name can be read back; nothing else can."""
    name = CheckpointName(AttemptId(A, task, Fence(generation, lease, fenced)), sequence)
    assert parse_file(name.file()) == name
    assert (
        parse_file(f"0{name.file()}") is parse_file(name.file()[:-1]) is parse_file(f"x{name.file()}") is None
    )


@pytest.mark.parametrize("order", [(FIRST, LATER), (LATER, FIRST)])
def test_the_newest_of_a_task_is_kept(
    store: CheckpointStore, tmp_path: Path, order: tuple[CheckpointName, ...]
) -> None:
    """In whatever order they come, and whatever a process before left."""
    keep(store, *order, OTHER)
    assert store.newest(A, 0) == LATER
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([LATER.file(), OTHER.file()])
    (tmp_path / FIRST.file()).write_bytes(b"left by a crash")
    (tmp_path / f"{FIRST.file()}.part").write_bytes(b"half")
    again = CheckpointStore(tmp_path)
    assert again.recover(NOW) == [LATER, OTHER]
    assert len(list(tmp_path.iterdir())) == 2


def test_whole_or_not_at_all(store: CheckpointStore, tmp_path: Path) -> None:
    """What could not be written leaves nothing, and the one before stays."""

    def fails(out: BinaryIO) -> None:
        out.write(b"half")
        raise OSError("no space")

    keep(store, FIRST)
    with pytest.raises(OSError, match="no space"):
        store.keep(LATER, fails, NOW)
    assert store.newest(A, 0) == FIRST
    assert [path.name for path in tmp_path.iterdir()] == [FIRST.file()]


def test_the_oldest_go_first(tmp_path: Path) -> None:
    """Where there is no room, other tasks' oldest make some; the one that was just made stays."""
    store = CheckpointStore(tmp_path, cap=25)
    names = [CheckpointName(attempt(1, task=task), 1) for task in range(4)]
    keep(store, *names[:3])
    assert [store.newest(A, task) for task in range(3)] == [None, names[1], names[2]]
    small = CheckpointStore(tmp_path, cap=5)
    small.recover(NOW)
    keep(small, names[3])
    assert [path.name for path in tmp_path.iterdir()] == [names[3].file()]


def test_the_old_expire(store: CheckpointStore, tmp_path: Path) -> None:
    """Nobody came for them; also when nothing but the time has changed."""
    keep(store, FIRST, age=limits.CHECKPOINT_LIFE + 10)
    assert store.newest(A, 0) == FIRST
    keep(store, CheckpointName(attempt(1, job=B), 1))
    assert store.newest(A, 0) is None
    keep(store, OTHER, age=limits.CHECKPOINT_LIFE + 10)
    assert [each.attempt.job for each in CheckpointStore(tmp_path).recover(NOW)] == [B]


def test_forgetting(store: CheckpointStore, tmp_path: Path) -> None:
    """What was spoken of goes, and what was before it; not what is newer."""
    keep(store, LATER)
    store.forget(FIRST)
    assert store.newest(A, 0) == LATER
    assert store.load(LATER).size == 10
    store.forget(LATER)
    store.forget(LATER)
    store.forget_task(A, 5)
    assert store.newest(A, 0) is None
    assert list(tmp_path.iterdir()) == []
