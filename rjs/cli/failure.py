"""How a failure reaches the person: one sentence on stderr and an exit status, never a bare traceback."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import click

from rjs.cli.console import safe_text
from rjs.errors import RefusedError, RjsError

INTERRUPTED = 130
"""What a shell reports for a program that SIGINT ended."""

UNREACHABLE = 3


def explain(error: BaseException) -> int:
    """Say on stderr what went wrong and give the exit status; RJS_DEBUG=1 adds the traceback."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return _leave_pipe()
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if os.environ.get("RJS_DEBUG") == "1":
        traceback.print_exception(error, file=sys.stderr)
    sentence, status = _sentence(error)
    click.echo(sentence, err=True)
    return status


def _sentence(error: BaseException) -> tuple[str, int]:
    if isinstance(error, RefusedError):
        return f"refused: {safe_lines(f'{error.code}: {error.sentence}')}", error.exit_status
    if isinstance(error, RjsError):
        return f"rjs: {safe_lines(str(error))}", error.exit_status
    if isinstance(error, OSError) and error.strerror:
        place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        status = UNREACHABLE if isinstance(error, ConnectionError) else 1
        return f"rjs: {safe_lines(place + error.strerror)}", status
    story = safe_lines(f"{type(error).__name__}: {error}")
    return f"rjs: this is a defect in rjs, please report it (RJS_DEBUG=1 shows where): {story}", 1


def safe_lines(text: str) -> str:
    """Make a message safe for a terminal; further lines are indented: none passes for another message."""
    return "\n  ".join(safe_text(line) for line in text.split("\n"))


def _leave_pipe() -> int:
    """The reader of our output has left: let the interpreter's last flush go nowhere instead of failing again."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return 1
