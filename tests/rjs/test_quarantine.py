"""What is damaged is set aside whole, told, bounded, and never used again."""

from __future__ import annotations

import datetime as dt
import sqlite3
from pathlib import Path

import pytest

from rjs import quarantine as module
from rjs.errors import StorageError
from rjs.quarantine import Quarantine, open_or_begin_anew

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
TABLE = ("CREATE TABLE t (n INTEGER) STRICT",)


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine")


def damaged(folder: Path, name: str = "x.jar", size: int = 9) -> Path:
    path = folder / name
    path.write_bytes(b"\xff" * size)
    path.chmod(0o644)
    return path


def test_it_is_moved_and_told(quarantine: Quarantine, tmp_path: Path) -> None:
    """The file is gone from where it was, is there for its owner alone, and the reason outlives the process."""
    quarantine.take(damaged(tmp_path), "its digest is another one", NOW, "answer of task 3")
    again = Quarantine(tmp_path / "quarantine")
    name = "20260601T120000.000000Z-x.jar"
    assert again.document() == [
        {"name": name, "what": "answer of task 3", "why": "its digest is another one"}
    ]
    assert (tmp_path / "quarantine" / name).read_bytes() == b"\xff" * 9
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "quarantine").iterdir()} == {0o600}
    assert (tmp_path / "quarantine").stat().st_mode & 0o777 == 0o700
    assert not (tmp_path / "x.jar").exists()


def test_nothing_is_made_before_it_is_needed(quarantine: Quarantine, tmp_path: Path) -> None:
    """A server in health has no such folder."""
    assert quarantine.document() == [] and list(tmp_path.iterdir()) == []


def test_the_newest_are_kept(quarantine: Quarantine, tmp_path: Path) -> None:
    """A disk that spoils everything fills itself no further."""
    for number in range(20):
        quarantine.take(damaged(tmp_path, f"{number}"), "why", NOW + number * SECOND)
    assert [each.what for each in quarantine.asides()] == [str(each) for each in range(19, 3, -1)]
    assert len(list((tmp_path / "quarantine").iterdir())) == 32


def test_bytes_are_bounded(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest stays whatever its size; older ones as far as there is room."""
    monkeypatch.setattr(module, "QUARANTINED_BYTES", 100)
    for number, size in enumerate((40, 50, 40)):
        quarantine.take(damaged(tmp_path, f"{number}", size), "why", NOW + number * SECOND)
    assert [each.what for each in quarantine.asides()] == ["2", "1"]
    quarantine.take(damaged(tmp_path, "3", 1000), "why", NOW + 3 * SECOND)
    assert [each.what for each in quarantine.asides()] == ["3"]


def test_a_full_disk(quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is moved all the same; only the reason is lost with the next start."""

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_atomically", full)
    quarantine.take(damaged(tmp_path), "why", NOW)
    (aside,) = quarantine.asides()
    assert (aside.what, aside.why) == ("x.jar", "")


@pytest.mark.parametrize("why", [b"", b"[1, 2]", b"\xff", b"x" * 100_000])
def test_a_damaged_reason(quarantine: Quarantine, tmp_path: Path, why: bytes) -> None:
    """Status is told whatever became of the words."""
    quarantine.take(damaged(tmp_path), "why", NOW)
    next((tmp_path / "quarantine").glob("*.why")).write_bytes(why)
    assert [each.what for each in quarantine.asides()] == ["x.jar"]


def opened(path: Path, quarantine: Quarantine) -> sqlite3.Connection:
    return open_or_begin_anew(path, TABLE, 7, quarantine, "A new one is begun", NOW)


def test_a_damaged_database_is_begun_anew(quarantine: Quarantine, tmp_path: Path) -> None:
    """It stands in quarantine with its journal, and the new one has nothing of either."""
    path = tmp_path / "x.sqlite"
    connection = opened(path, quarantine)
    connection.execute("INSERT INTO t VALUES (1)")
    connection.close()
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    Path(f"{path}-wal").write_bytes(b"no journal either")
    connection = opened(path, quarantine)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()
    assert {each.what for each in quarantine.asides()} >= {"x.sqlite"}
    assert all(
        "is damaged: " in each.why and each.why.endswith("A new one is begun") for each in quarantine.asides()
    )
    opened(path, quarantine).close()
    assert len(quarantine.asides()) <= 2


def test_only_damage_is_set_aside(quarantine: Quarantine, tmp_path: Path) -> None:
    """Another application's file, and one of a newer release, are refused and stay."""
    path = tmp_path / "x.sqlite"
    other = sqlite3.connect(path)
    other.executescript("PRAGMA application_id = 8; CREATE TABLE a (b)")
    other.close()
    with pytest.raises(StorageError, match="is not this server's database"):
        opened(path, quarantine)
    assert path.exists() and quarantine.asides() == []
