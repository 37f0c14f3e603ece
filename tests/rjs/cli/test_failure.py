"""How failures reach a person: one sentence, the right exit status, and nothing that acts on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from rjs.cli.failure import explain
from rjs.cli.group import root
from rjs.errors import ConfigError, RefusedError, UnreachableError, UsageError

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (RefusedError("zip-end", "bytes follow the end"), 1, "refused: zip-end: bytes follow the end\n"),
        (ConfigError("config.toml: port: too large"), 1, "rjs: config.toml: port: too large\n"),
        (UsageError("that cannot work"), 2, "rjs: that cannot work\n"),
        (UnreachableError("no web server at h:9000"), 3, "rjs: no web server at h:9000\n"),
        (ConnectionRefusedError(111, "Connection refused"), 3, "rjs: Connection refused\n"),
        (FileNotFoundError(2, "No such file", "x.jar"), 1, "rjs: x.jar: No such file\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_each_failure_has_its_status_and_sentence(
    capsys: pytest.CaptureFixture[str], error: BaseException, status: int, sentence: str
) -> None:
    """0 done, 1 refused or failed, 2 wrong usage, 3 cannot reach a server; Ctrl-C is quiet."""
    assert explain(error) == status
    assert capsys.readouterr() == ("", sentence)


def test_a_hostile_message_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes and bidirectional marks become visible, and a second line cannot pass for a message of ours."""
    explain(RefusedError("name", "'a\x1b[2Kb\u202ec'\naccepted: all is well"))
    assert capsys.readouterr().err == "refused: name: 'a\\x1b[2Kb\\u202ec'\n  accepted: all is well\n"


def test_a_defect_says_so_and_shows_where_only_when_asked(rjs: Rjs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other exception is our own fault; RJS_DEBUG=1 adds the traceback."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(root, "get_command", broken)
    said = rjs("pack")
    assert said.status == 1
    assert "defect in rjs" in said.err
    assert "ZeroDivisionError: oops" in said.err
    assert "Traceback" not in said.err
    monkeypatch.setenv("RJS_DEBUG", "1")
    assert "Traceback" in rjs("pack").err


def test_a_reader_that_leaves_is_no_defect(jar: Path) -> None:
    """Output into a closed pipe ends without a word, in help and in data."""
    for arguments in (["--help"], ["inspect", str(jar)]):
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "rjs", *arguments]
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")


def test_a_name_that_the_locale_cannot_spell_still_prints(rjs: Rjs, home: Path, job: Path) -> None:
    """Data is never lost to the terminal's encoding."""
    jar = job.with_name("x.jar")
    assert rjs("--home", home, "pack", job / "run.py", "--name", "日本", "-o", jar).status == 0
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "rjs", "inspect", str(jar)]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert b"\\u65e5\\u672c" in done.stdout
