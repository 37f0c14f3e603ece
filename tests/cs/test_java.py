"""Finding Java: what answers as a Java is one, and nothing else is, however it behaves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cs.java import Java, find_java

Fake = Callable[[str, str], Path]
SAYS = "echo '    java.specification.version = {}' >&2"


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Makes the folder NAME with a Java in it that does what the script says."""

    def make(name: str, script: str) -> Path:
        program = tmp_path / name / "bin" / "java"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return program

    return make


@pytest.mark.parametrize(("stated", "version"), [("17", "17"), ("1.8", "8"), ("9", "9"), ("25", "25")])
def test_a_java_states_its_version(fake: Fake, stated: str, version: str) -> None:
    """Whatever else it says before and after, on either stream."""
    program = fake("jdk", f"echo Picked up; {SAYS.format(stated)}; echo openjdk")
    java = find_java(str(program), {})
    assert java is not None
    assert (java.path, java.version) == (program, version)


@pytest.mark.parametrize(
    "script",
    [
        "exit 0",
        "echo 'java version \"17\"'",
        f"{SAYS.format(17)}; exit 1",
        f"{SAYS.format(17)}; kill -9 $$",
        SAYS.format("17; rm -rf"),
        SAYS.format("1.4"),
        SAYS.format("7"),
        SAYS.format("0"),
        SAYS.format("999"),
        SAYS.format("99999999999999999999"),
        SAYS.format(""),
        f"{SAYS.format(17)}; {SAYS.format(21)}",
        "head -c 70000 /dev/zero",
        f"{SAYS.format(17)}; head -c 70000 /dev/zero",
    ],
)
def test_what_is_broken_or_lies_is_no_java(fake: Fake, script: str) -> None:
    """No version, two versions, impossible ones, a bad end, too many words."""
    assert find_java(str(fake("jdk", script)), {}) is None


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 98.75",
        "yes java",
        f"{SAYS.format(17)}; exec sleep 98.75",
        f"{SAYS.format(17)}; exec >/dev/null 2>&1; exec sleep 98.75",
        f"{SAYS.format(17)}; sleep 98.75 & exit 0",
        "trap '' TERM INT HUP; while :; do sleep 98.75; done",
    ],
)
def test_what_hangs_is_no_java_and_is_gone(fake: Fake, script: str) -> None:
    """It is given its time, once, and no process of it is left in its group."""
    before = time.monotonic()
    program = fake("jdk", script)
    assert find_java(str(program), {}, seconds=0.5) is None
    assert time.monotonic() - before < 5
    while any("98.75" in (each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])):
        assert time.monotonic() - before < 10
        time.sleep(0.01)


def test_where_it_is_looked_for(fake: Fake, tmp_path: Path) -> None:
    """What the owner named, and nothing else then; else JAVA_HOME, then PATH, the first that works."""
    broken, eleven, seventeen = (
        fake("broken", "exit 1"),
        fake("11", SAYS.format(11)),
        fake("17", SAYS.format(17)),
    )
    named = {"JAVA_HOME": str(tmp_path / "11"), "PATH": str(seventeen.parent)}
    assert find_java("", named) == Java(eleven, 11)
    assert find_java("", {**named, "JAVA_HOME": str(tmp_path / "broken")}) == Java(seventeen, 17)
    assert find_java("", {"PATH": f"{broken.parent}{os.pathsep}{seventeen.parent}"}) == Java(seventeen, 17)
    assert find_java(str(tmp_path / "17"), named) == Java(seventeen, 17), "a folder"
    assert find_java(str(seventeen), named) == Java(seventeen, 17), "a program"
    assert find_java(str(broken), named) is None
    assert find_java(str(tmp_path / "nothing"), named) is None
    assert find_java("none", named) is None
    assert find_java("", {}) is None


def test_the_current_folder_is_not_searched(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by an empty or relative part of PATH, nor by a relative name."""
    program = fake("jdk", SAYS.format(17))
    monkeypatch.chdir(program.parent)
    assert find_java("", {"PATH": f"{os.pathsep}.{os.pathsep}", "JAVA_HOME": ".."}) is None
    assert find_java("java", {}) is None


def test_nothing_is_inherited(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_TOOL_OPTIONS would make every Java say what its owner's shell says."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Dx")
    script = f'[ -z "$JAVA_TOOL_OPTIONS" ] && {SAYS.format(17)}'
    assert find_java(str(fake("jdk", script)), {}) is not None


def test_a_file_that_cannot_run_is_no_java(tmp_path: Path) -> None:
    """No permission, no program, a folder."""
    for number, content in enumerate([b"", b"\x7fELF", b"#!/nowhere\n"]):
        program = tmp_path / str(number)
        program.write_bytes(content)
        assert find_java(str(program), {}) is None
        program.chmod(0o755)
        assert find_java(str(program), {}) is None
    assert find_java(str(tmp_path), {}) is None
