"""Resolves requirements to a lock, by asking ``uv``, and writes the lock of what was vendored.

``uv`` resolves for all platforms and later Pythons at once and evaluates markers for the platform that is meant;
pip evaluates them for the machine that it runs on. It never builds here: a build runs code of the package.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
from packaging.pylock import Package, Pylock

from rjs import limits
from rjs.errors import RefusedError
from rjs.toml_text import toml_table
from rjs.wheels import lock_from

_SOURCES: Final = frozenset({"wheels", "sdist", "archive", "directory", "vcs"})
_ALONE: Final = ("--no-index", "--offline")


@attrs.frozen
class LockedFile:
    """One wheel as the lock of a bundle names it: its ``path`` there, and its size in bytes."""

    package: Package
    path: str
    size: int
    sha256: str


@attrs.frozen
class Resolved:
    """A lock that holds on every platform, or only where one of the markers is true that were asked for."""

    lock: Pylock
    everywhere: bool


def resolve(
    specs: Sequence[str],
    python: str,
    markers: Sequence[str],
    *,
    find_links: Path | None = None,
    index_url: str | None = None,
) -> Resolved:
    """Give the lock of ``specs`` for ``python`` (such as ``3.11``) and later: on every platform, or else where one of
    the environment ``markers`` is true, since what others require may not be there.

    With ``find_links``, a folder of wheels, and no ``index_url`` there is nothing else to take from. Raises
    RefusedError ``pack``: without ``uv``, or with its words where it finds no answer.
    """
    options = [
        "--universal",
        "--no-build",
        "--no-header",
        "--format",
        "pylock.toml",
        "--python-version",
        python,
    ]
    options += ["--python", sys.executable, "--no-python-downloads", "--quiet", "--color", "never"]
    if find_links is not None:
        options += ["--find-links", str(find_links.resolve()), *(() if index_url else _ALONE)]
    if index_url is not None:
        options += ["--default-index", index_url]
    everywhere = _compiled(options, specs, ())
    done = _compiled(options, specs, markers) if everywhere.returncode else everywhere
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip()
        raise RefusedError("pack", f"the requirements cannot be resolved to wheels: {words}")
    return Resolved(_lock_of(done.stdout), done is everywhere)


def _lock_of(toml: bytes) -> Pylock:
    """Read what ``uv`` wrote. A package of which no wheel fits these Pythons is left with nothing by it, which is no
    lock: it is given a folder, from which nothing is taken."""
    fields = tomllib.loads(toml.decode())
    for package in fields.get("packages", ()):
        if not _SOURCES & package.keys():
            package["directory"] = {"path": "."}
    return lock_from(fields)


def _compiled(
    options: Sequence[str], specs: Sequence[str], markers: Sequence[str]
) -> subprocess.CompletedProcess[bytes]:
    """What ``uv pip compile`` says; in a folder of its own, where no other project's settings lie."""
    with tempfile.TemporaryDirectory(prefix="rjs-lock-") as folder:
        if markers:
            settings = toml_table("[tool.uv]", {"environments": markers})
            Path(folder, "pyproject.toml").write_text(settings, "utf-8")
        try:
            return subprocess.run(
                [_uv(), "pip", "compile", "-", *options],
                input="\n".join(specs).encode(),
                capture_output=True,
                cwd=folder,
                timeout=limits.RESOLVING,
            )
        except subprocess.TimeoutExpired:
            raise RefusedError("pack", f"no lock was found within {limits.RESOLVING:.0f} s") from None


def _uv() -> str:
    beside = Path(sysconfig.get_path("scripts")) / f"uv{'.exe' if os.name == 'nt' else ''}"
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise RefusedError(
            "pack",
            "requirements are resolved by uv, which is not here; install it with: "
            f"{shlex.quote(sys.executable)} -m pip install uv",
        )
    return found


def written_lock(files: Iterable[LockedFile], *, python: str, environments: Sequence[str]) -> bytes:
    """Spell the lock (PEP 751) of these wheels: the same bytes for the same wheels.

    ``python`` is a version specifier; ``environments`` are markers, one of which must be true; none: anywhere.
    """
    head: dict[str, str | Sequence[str]] = {
        "lock-version": "1.0",
        "created-by": "rjs",
        "requires-python": python,
    }
    if environments:
        head["environments"] = environments
    packages: dict[tuple[str, str, str], list[LockedFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        package = file.package
        packages.setdefault((package.name, str(package.version), str(package.marker or "")), []).append(file)
    tables = [toml_table("", head).lstrip()]
    for key in sorted(packages):
        tables += [toml_table("\n[[packages]]", _package(packages[key][0].package)), *_wheels(packages[key])]
    return "".join(tables).encode()


def _package(package: Package) -> Mapping[str, str]:
    fields = {
        "name": package.name,
        "version": package.version,
        "marker": package.marker,
        "requires-python": package.requires_python,
    }
    return {field: str(value) for field, value in fields.items() if value is not None}


def _wheels(files: Iterable[LockedFile]) -> Iterator[str]:
    for file in files:
        yield toml_table("\n[[packages.wheels]]", {"path": file.path, "size": file.size})
        yield toml_table("[packages.wheels.hashes]", {"sha256": file.sha256})
