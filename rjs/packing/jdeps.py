"""The only door to ``jdeps``, the JDK's own reader of what classes use.

It is given a private folder of numbered files: no name out of a JAR becomes a path, a class on two places of the
class path is one class, and modules and classes for newer Java do not lead it astray.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.errors import RefusedError

_OPTIONS: Final = (
    "-J-XX:+UseSerialGC",
    "-J-XX:TieredStopAtLevel=1",  # it runs for a second or two
    "-J-Duser.language=en",  # "not found" is translated
    "-verbose:class",
    "-filter:none",
)
_LINE: Final = re.compile(r" {3}(\S+) +-> (\S+) +(.+)")
_NOT_FOUND: Final = "not found"


@attrs.frozen
class ClassGraph:
    """Which class uses which, by dotted name; ``missing`` are those that neither the classes nor Java answers."""

    uses: Mapping[str, frozenset[str]]
    missing: frozenset[str]


def find_jdeps(environment: Mapping[str, str]) -> Path:
    """Find the tool in JAVA_HOME, else on PATH. Raises RefusedError ``no-jdeps`` saying what to install."""
    home = environment.get("JAVA_HOME")
    found = shutil.which("jdeps", path=str(Path(home, "bin"))) if home else None
    found = found or shutil.which("jdeps", path=environment.get("PATH"))
    if found is None:
        raise RefusedError(
            "no-jdeps",
            "packing Java needs jdeps, which comes with a JDK and not with a Java runtime alone; install one "
            "(Debian: openjdk-17-jdk-headless) or set JAVA_HOME",
        )
    return Path(found)


def class_graph(jdeps: Path, classes: Iterable[bytes]) -> ClassGraph:
    """Let ``jdeps`` read these class files. Raises RefusedError ``jdeps`` when it fails or does not end."""
    with tempfile.TemporaryDirectory(prefix="rjs-") as folder:
        for number, content in enumerate(classes):
            Path(folder, f"{number}.class").write_bytes(content)
        return _graph(_said(jdeps, folder))


def _said(jdeps: Path, folder: str) -> str:
    try:
        done = subprocess.run(
            [jdeps, *_OPTIONS, folder],
            capture_output=True,
            timeout=limits.JDEPS_TIME,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RefusedError(
            "jdeps", f"{jdeps} did not end within {limits.JDEPS_TIME} s; pack fewer classes"
        ) from None
    fault = next((line for line in done.stderr.splitlines() if line.startswith(("Exception", "Error"))), "")
    if done.returncode or fault:
        raise RefusedError(
            "jdeps", f"{jdeps} could not read the classes: {fault or done.stdout.strip()[:500]}"
        )
    return done.stdout


def _graph(text: str) -> ClassGraph:
    uses: dict[str, set[str]] = {}
    missing = set[str]()
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            uses.setdefault(match[1], set()).add(match[2])
            if match[3] == _NOT_FOUND:
                missing.add(match[2])
    return ClassGraph({name: frozenset(used) for name, used in uses.items()}, frozenset(missing))
