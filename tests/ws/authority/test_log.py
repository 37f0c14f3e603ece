"""The log: whatever a crash leaves, every line that was durable is there, and nothing else is believed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from rjs.errors import ConfigError
from ws.authority.log import LOG, IssuedToken, IssueLog, history, issued_to, read_log, token_end

NOW = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)


def line(number: int, kind: str = "enrolment") -> IssuedToken:
    return IssuedToken(
        when=NOW, kind=kind, name=f"rjs://user/u{number}", serial=f"{number:x}", spki=f"{number:064x}",
        until=NOW, evidence=f"i{number}",
    )  # fmt: skip


def test_it_is_only_added_to(tmp_path: Path) -> None:
    """What one process wrote, the next one reads, in order; the file is its owner's only."""
    for number in range(3):
        log = IssueLog(tmp_path)
        log.append([line(number), line(number + 10, "renewal")])
        log.close()
    assert [each.serial for each in read_log(tmp_path)] == ["0", "a", "1", "b", "2", "c"]
    assert history(tmp_path, NOW).used == {f"i{number}": f"{number:064x}" for number in range(3)}
    assert (tmp_path / LOG).stat().st_mode & 0o777 == 0o600


def test_cut_off_anywhere_it_loses_one_line_at_most(tmp_path: Path) -> None:
    """A crash in the middle of a line leaves the ones before it, and writing goes on after those."""
    log = IssueLog(tmp_path)
    log.append(line(number) for number in range(50))
    log.close()
    whole = (tmp_path / LOG).read_bytes()
    for cut in [*range(len(whole) - 250, len(whole)), 5, 0]:
        (tmp_path / LOG).write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert len(list(read_log(tmp_path))) == kept
        log = IssueLog(tmp_path)
        log.append([line(99)])
        log.close()
        assert [each.serial for each in read_log(tmp_path)][kept:] == ["63"]


def test_a_torn_line_longer_than_any(tmp_path: Path) -> None:
    """The end of the last whole line is found however far back it is."""
    log = IssueLog(tmp_path)
    log.append([line(1)])
    log.close()
    with (tmp_path / LOG).open("ab") as file:
        file.write(b"x" * 10_000)
    IssueLog(tmp_path).close()
    assert [each.serial for each in read_log(tmp_path)] == ["1"]


def test_damage_is_named(tmp_path: Path) -> None:
    """A line that is none, with others after it, is not the trace of a crash: somebody must look."""
    log = IssueLog(tmp_path)
    log.append([line(1), line(2)])
    log.close()
    path = tmp_path / LOG
    path.write_bytes(path.read_bytes().replace(b'"serial":"1"', b'"serial":1'))
    with pytest.raises(ConfigError, match=r"issued\.jsonl, line 1: .*restore"):
        history(tmp_path, NOW)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nobody makes the authority write elsewhere."""
    (tmp_path / LOG).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        IssueLog(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_certificates_end_is_found(tmp_path: Path) -> None:
    """By its whole serial number, and by that alone."""
    log = IssueLog(tmp_path)
    log.append(line(number) for number in range(0xA0, 0xB0))
    log.close()
    assert token_end(tmp_path, "a7") == NOW.timestamp()
    assert [token_end(tmp_path, serial) for serial in ("a", "ia7", "b0", "serial")] == [0.0] * 4
    (found,) = issued_to(tmp_path, f"rjs://user/u{0xA7}")
    assert found.serial == "a7"
    assert issued_to(tmp_path, "rjs://user/u") == issued_to(tmp_path, "ia7") == []
