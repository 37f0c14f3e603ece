"""Finding this machine's Java virtual machine: once at start, bounded in time, and believing nothing but its word.

A machine that does not answer, answers nonsense or claims a version that no Java has is no Java, and the log says
why. Everything that is found runs as the owner, who put it on the path.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs
from twisted.logger import Logger

from cs import limits

_log = Logger("cs.java")

MACHINE_OPTIONS: Final = (
    "-XX:-UsePerfData",  # else a file in the machine's /tmp, outside of the task's folders
    "-XX:+DisableAttachMechanism",  # else a socket there
)
"""Options of every virtual machine that is started here."""

_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""Nothing is inherited: JAVA_TOOL_OPTIONS and its like would speak in the machine's place."""
_VERSION: Final = re.compile(rb"^ *java\.specification\.version *= *(?:1\.)?([0-9]{1,3}) *\r?$", re.MULTILINE)
_MAJORS: Final = range(8, 200)
"""Java 8 is the oldest that is kept up; the newest has a number of two digits."""


class NoJavaError(Exception):
    """What was run there is no Java that works."""


@attrs.frozen
class Java:
    """A virtual machine that answered: the absolute path of its program, and its version, such as 8 or 17."""

    path: Path
    major: int

    @property
    def version(self) -> str:
        """As an offer and a descriptor state it."""
        return str(self.major)


def find_java(
    configured: str = "", environment: Mapping[str, str] | None = None, *, seconds: float = limits.JAVA_ANSWER
) -> Java | None:
    """The first that works of: what the owner ``configured``, ``JAVA_HOME``, ``PATH``; None when there is none.

    ``configured`` is the program or the folder of a Java; when it is given, nothing else is tried, and ``none``
    means that this machine runs no Java jobs. Blocks for at most ``seconds`` for each candidate: call it before the
    reactor runs.
    """
    if configured == "none":
        return None
    for program in _candidates(configured, os.environ if environment is None else environment):
        try:
            java = Java(program, ask_version(program, seconds))
        except NoJavaError as error:
            _log.warn("{path} is not used: {error}", path=str(program), error=error)
        else:
            _log.info("Java {version} is at {path}", version=java.version, path=str(java.path))
            return java
    return None


def ask_version(program: Path, seconds: float) -> int:
    """Its java.specification.version as a whole number, 8 for ``1.8``. Raises NoJavaError.

    It is asked with the options that every job gets: one that does not know them could run none.
    """
    argv = [
        str(program),
        *MACHINE_OPTIONS,
        "-XX:ActiveProcessorCount=1",
        "-XshowSettings:properties",
        "-version",
    ]
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=_ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise NoJavaError(f"it cannot be run: {error.strerror}") from None
    try:
        return _version_in(_answer(process, time.monotonic() + seconds))
    finally:
        if process.returncode is None:  # not waited for yet, so that the group's number is still its own
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _answer(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """All that it says, once it has ended well. Raises NoJavaError."""
    assert process.stdout is not None
    said = b""
    while part := _part(process.stdout.fileno(), deadline):
        said += part
        if len(said) > limits.JAVA_WORDS:
            raise NoJavaError(f"it says more than {limits.JAVA_WORDS} bytes")
    try:
        status = process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise NoJavaError("it does not end") from None
    if status != 0:
        raise NoJavaError(f"it ended with status {status}")
    return said


def _part(descriptor: int, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0 or not select.select([descriptor], [], [], left)[0]:
        raise NoJavaError("it does not answer in time")
    return os.read(descriptor, limits.JAVA_WORDS)


def _version_in(said: bytes) -> int:
    stated = {int(each) for each in _VERSION.findall(said)}
    if len(stated) != 1 or not all(each in _MAJORS for each in stated):
        raise NoJavaError("it does not state one java.specification.version that a Java can have")
    return stated.pop()


def _candidates(configured: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """Absolute paths to try, each once. The current folder is never searched."""
    if configured:
        given = Path(configured).expanduser()
        found = [given / "bin" / "java" if given.is_dir() else given]
    else:
        home, path = environment.get("JAVA_HOME", ""), environment.get("PATH", "")
        found = [Path(home, "bin", "java")] if home else []
        found += [Path(folder, "java") for folder in path.split(os.pathsep) if folder]
    usable = [each for each in found if each.is_absolute() and (configured or os.access(each, os.X_OK))]
    yield from dict.fromkeys(usable)
    if configured and not usable:
        _log.warn("{path} is not an absolute path: this machine runs no Java jobs", path=configured)
