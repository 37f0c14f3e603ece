"""The log in files: whole lines, bounded, its owner's alone, and never in the server's way."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rjs.errors import ConfigError
from rjs.log_file import LogFile, opened_log


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_it_goes_on_where_it_was(path: Path) -> None:
    """A restart appends; odd characters of odd file names are written as they can be."""
    for text in ("one\n", "tw\udce9\n", "größe\n"):
        log = LogFile(path)
        assert log.write(text) == len(text)
        log.flush()
        log.close()
    assert lines(path) == ["one", "tw?", "größe"]


def test_the_oldest_goes(path: Path) -> None:
    """Never more than so many files of so many bytes, and no line is torn between two."""
    log = LogFile(path, most=100, files=3)
    for number in range(40):
        log.write(f"{number:09}\n")
    log.close()
    found = {each.name: lines(each) for each in path.parent.iterdir()}
    assert sorted(found) == ["server.log", "server.log.1", "server.log.2"]
    kept = found["server.log.2"] + found["server.log.1"] + found["server.log"]
    assert [int(each) for each in kept] == list(range(10, 40))


def test_a_restart_counts_what_is_there(path: Path) -> None:
    """A file that was almost full before is full now."""
    path.write_text("x" * 95 + "\n")
    LogFile(path, most=100).write("more\n")
    assert path.with_name("server.log.1").stat().st_size == 96 and lines(path) == ["more"]


def test_a_line_longer_than_a_file(path: Path) -> None:
    """It is written whole, in a file of its own."""
    log = LogFile(path, most=10, files=2)
    for text in ("a\n", "b" * 50 + "\n", "c\n"):
        log.write(text)
    assert lines(path) == ["c"] and lines(path.with_name("server.log.1")) == ["b" * 50]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_nobody_else_reads_it(path: Path, mask: int) -> None:
    """Whatever the mask is, and whatever a person made of the file before."""
    path.touch(mode=0o666)
    path.chmod(0o666)
    before = os.umask(mask)
    try:
        log = LogFile(path, most=4)
        for _ in range(3):
            log.write("line\n")
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir()} == {0o600}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Lines are lost, nothing is raised, and afterwards it says how many."""
    log, write = LogFile(path), os.write
    log.write("before\n")

    def fails(descriptor: int, data: bytes) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", fails)
    for _ in range(3):
        log.write("lost\n")
    monkeypatch.setattr(os, "write", write)
    log.write("after\n")
    assert lines(path) == ["before", "(3 pieces of the log could not be written here)", "after"]


def test_its_folder_goes_and_comes(path: Path) -> None:
    """A log on a disk that was unmounted costs lines only."""
    folder = path.parent / "logs"
    log = LogFile(folder / "x.log", most=8)
    log.write("lost\n")
    folder.mkdir()
    log.write("found\n")
    assert lines(folder / "x.log")[-1] == "found"


def test_without_a_name_there_is_none(tmp_path: Path) -> None:
    """Standard error is what everybody has."""
    assert opened_log(tmp_path, "") is None


@pytest.mark.parametrize("name", ["nowhere/server.log", "folder", "link", "pipe", "a\0b"])
def test_what_can_be_no_log(tmp_path: Path, name: str) -> None:
    """A missing folder, a folder, a link and a pipe are refused when the server starts, by the setting's name."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"^log: "):
        opened_log(tmp_path, name)
    assert not (tmp_path / "elsewhere").exists()
