"""The table of commands, how commands are found, and what a wrong call gets."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from rjs import __version__
from rjs.cli.commands import COMMANDS, Branch, Leaf
from rjs.cli.group import LazyGroup, role_entry, root
from rjs.errors import RjsError

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

HELP_ALLOWANCE = 0.120
"""Seconds that ``rjs --help`` may take beyond a bare start of Python."""


def rows(table: Mapping[str, Leaf | Branch], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, row in table.items():
        yield (*path, name)
        if isinstance(row, Branch):
            yield from rows(row.table, (*path, name))


def found(path: tuple[str, ...]) -> tuple[click.Command, Leaf | Branch]:
    command: click.Command = root
    row: Leaf | Branch | None = None
    for name in path:
        assert isinstance(command, LazyGroup)
        row, below = command.table[name], command.get_command(click.Context(command), name)
        assert below is not None
        command = below
    assert row is not None
    return command, row


@pytest.mark.parametrize("path", list(rows(COMMANDS)), ids=" ".join)
def test_every_row_is_a_command_with_its_summary_and_an_example(path: tuple[str, ...]) -> None:
    """A command's help begins with the table's summary; a command that does something shows an example."""
    command, row = found(path)
    assert command.help is not None
    text = inspect.cleandoc(command.help)
    assert text.splitlines()[0] == row.summary
    if isinstance(row, Leaf):
        assert "\b\nExample:\n  rjs " + " ".join(path) in text


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def test_help_starts_quickly() -> None:
    """``rjs --help`` costs less than its allowance beyond a bare Python: the best of each, measured in turns,
    because whatever else the machine does can only add."""
    pairs = [(seconds(["-c", "pass"]), seconds(["-m", "rjs", "--help"])) for _ in range(7)]
    floor, start = (min(column) for column in zip(*pairs, strict=True))
    assert start < floor + HELP_ALLOWANCE


def test_help_imports_no_command_and_no_library_but_click() -> None:
    """What makes start-up slow is not even loaded."""
    script = "import sys; from rjs.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded = set(done.stderr.split())
    modules = {row.location.partition(":")[0] for row in COMMANDS.values() if isinstance(row, Leaf)}
    assert not loaded & (
        modules | {"rich", "twisted", "cryptography", "msgspec", "numpy", "attrs", "asyncio"}
    )


def test_a_slip_is_answered_with_what_was_meant(rjs: Rjs) -> None:
    """A wrong command is a wrong use (2), and the nearest name is suggested."""
    said = rjs("verfy")
    assert said.status == 2
    assert "Did you mean verify?" in said.err


def test_version_and_home_belong_to_the_root(rjs: Rjs, tmp_path: Path, job: Path) -> None:
    """``--version`` prints the package's; ``--home`` reaches the command, and RJS_HOME does as well."""
    assert rjs("--version").out == f"rjs {__version__}\n"
    by_option = rjs("--home", tmp_path / "nobody", "pack", job, "-o", tmp_path / "x.jar")
    assert by_option.status == 1
    assert str(tmp_path / "nobody") in by_option.err


def test_home_may_come_from_the_environment(
    rjs: Rjs, tmp_path: Path, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RJS_HOME names the person's folder."""
    monkeypatch.setenv("RJS_HOME", str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") in rjs("pack", job, "-o", tmp_path / "x.jar").err


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_prints_the_shell_script(rjs: Rjs, shell: str) -> None:
    """The script asks ``rjs`` itself for completions."""
    said = rjs("completion", shell)
    assert said.status == 0
    assert "_RJS_COMPLETE" in said.out


def test_completion_reads_the_table() -> None:
    """The shell gets commands and their summaries, groups' too."""
    words = {"COMP_WORDS": "rjs ca in", "COMP_CWORD": "2", "_RJS_COMPLETE": "bash_complete"}
    script = "import sys; from rjs.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **words},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["plain,init", "plain,invite"]


def test_a_role_is_reached_through_the_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``role_entry`` loads what the installed distribution offers, and names what it does not."""
    folder = tmp_path / "rjs_cluster-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: rjs-cluster\nVersion: 9\n")
    (folder / "entry_points.txt").write_text("[rjs.roles]\ncs.sum = builtins:sum\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert role_entry("cs.sum") is sum
    with pytest.raises(RjsError, match=r"no part ws\.run"):
        role_entry("ws.run")
