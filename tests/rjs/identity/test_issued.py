"""The operator's record of what was issued."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from rjs.errors import ConfigError
from rjs.identity.issued import ISSUED_NAME, Issued, read_issued, record_issued

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def entry(number: int) -> Issued:
    return Issued(NOW, "invitation", f"rjs://user/u{number}", format(number, "x"), NOW + dt.timedelta(days=7))


def test_the_record_grows_and_is_private(tmp_path: Path) -> None:
    """Everything recorded is read back in order; no other account reads it."""
    assert read_issued(tmp_path) == []
    record_issued(tmp_path, [entry(1), entry(2)])
    record_issued(tmp_path, [entry(3)])
    assert read_issued(tmp_path) == [entry(1), entry(2), entry(3)]
    assert (tmp_path / ISSUED_NAME).stat().st_mode & 0o777 == 0o600


def test_a_crash_at_any_byte_of_an_append_harms_no_other_line(tmp_path: Path) -> None:
    """Cut anywhere, the whole lines still read, and the next append goes on cleanly."""
    path = tmp_path / ISSUED_NAME
    record_issued(tmp_path, [entry(1)])
    first = path.read_bytes()
    record_issued(tmp_path, [entry(2)])
    both = path.read_bytes()
    for length in range(len(first), len(both)):
        path.write_bytes(both[:length])
        assert read_issued(tmp_path) == [entry(1)]
        record_issued(tmp_path, [entry(3)])
        assert read_issued(tmp_path) == [entry(1), entry(3)]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """Damage in the middle is no crash of ours: it is said, not skipped."""
    record_issued(tmp_path, [entry(1), entry(2)])
    path = tmp_path / ISSUED_NAME
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(ConfigError, match="line 1"):
        read_issued(tmp_path)
