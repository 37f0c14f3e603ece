"""Tables, JSON, progress and terminal-safe text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.cli.console import print_json, print_table, progress, safe_text


@given(st.text())
def test_safe_text_holds_nothing_that_a_terminal_acts_on(text: str) -> None:
    """No control, format, surrogate or separator character is left; safe text does not change again."""
    shown = safe_text(text)
    assert not re.search(
        "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", shown
    )
    assert safe_text(shown) == shown


def test_safe_text_leaves_words_alone() -> None:
    """Letters of every script stay."""
    assert safe_text("Grüße, 日本語, مرحبا") == "Grüße, 日本語, مرحبا"


def test_a_table_lines_up_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers stand on the right, wide letters count as two columns, and there is no colour and no trailing blank."""
    print_table(["name", "MFLOPS", "state"], [["日本", 1234.5, "idle"], ["b\x1b[31m", 7.0, None]])
    assert capsys.readouterr().out.splitlines() == [
        "name        MFLOPS  state",
        "日本       1234.50  idle",
        "b\\x1b[31m     7.00  -",
    ]


def test_a_table_on_a_terminal_takes_cells_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Square brackets are no markup there."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    print_table(["name"], [["[bold]x[/bold]"]])
    assert "[bold]x[/bold]" in capsys.readouterr().out


def test_an_empty_table_is_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    """No row is no error."""
    print_table(["name", "size"], [])
    assert capsys.readouterr().out == "name  size\n"


def test_json_is_ascii_and_knows_times_and_paths(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed parses back, and holds no character that a terminal acts on."""
    print_json({"at": datetime(2026, 5, 1, tzinfo=UTC), "file": Path("a"), "name": "\x1b\u202e"})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed
    assert json.loads(printed) == {"at": "2026-05-01T00:00:00+00:00", "file": "a", "name": "\x1b\u202e"}


def test_progress_in_a_log_is_a_line_a_quarter(capsys: pytest.CaptureFixture[str]) -> None:
    """Each further quarter is told once, on stderr."""
    with progress("tasks", 8) as tell:
        count: Callable[[int], None] = tell
        for done in (0, 1, 2, 2, 3, 4, 8, 8):
            count(done)
    assert capsys.readouterr() == ("", "tasks: 2 of 8\ntasks: 4 of 8\ntasks: 8 of 8\n")
