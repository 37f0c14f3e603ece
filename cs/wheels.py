"""The third-party packages of Python jobs: each wheel unpacked once, for all jobs whose bundles hold it.

What is unpacked comes out of a verified bundle, whose lock (``pylock.toml``) chooses the wheels of this server's
interpreter. A wheel's folder is named by its SHA-256. What a folder must look like is known in memory alone: a folder
that changed, or that an earlier run of this server left, is unpacked again.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections import OrderedDict
from collections.abc import Collection, Iterator
from pathlib import Path
from threading import Lock
from typing import BinaryIO

import attrs

from cs import limits
from cs.workplace import remove_tree
from rjs.attempts import AttemptId
from rjs.bundle.names import shown
from rjs.bundle.unpack import unpack_files
from rjs.bundle.verify import OpenedBundle
from rjs.errors import RefusedError
from rjs.limits import MAX_LOCK_BYTES
from rjs.wheels import LOCK_NAME, Target, Wheel, choose, open_wheel, read_lock, this_interpreter

_FILE_MODE = 0o444
_FOLDER_MODE = 0o555


Look = list[tuple[str, int, int, int, int]]
"""Path, inode, mode, size and ctime of all that is in a folder: nobody who changes anything can set the ctime."""


@attrs.frozen
class WantedWheel:
    """One wheel of a job: the file of the bundle, the name that says what it is, and its SHA-256 (hex)."""

    file: str
    name: str
    sha256: str


@attrs.frozen
class JobWheels:
    """The wheels that a job needs here, in the lock's order, and all files of its bundle that are wheels."""

    wanted: tuple[WantedWheel, ...] = ()
    files: frozenset[str] = frozenset()


@attrs.frozen
class _Kept:
    """An unpacked wheel: its size in bytes, and how its folder looked then."""

    size: int
    look: Look = attrs.field(repr=False)


class Wheels:
    """Unpacked wheels below one folder, of at most ``cap`` bytes together; the least recently used go first.

    ``chosen`` and ``folders`` are called beside the reactor, one attempt at a time.
    """

    def __init__(self, folder: Path, target: Target | None = None, cap: int = limits.WHEELS) -> None:
        self._folder = folder
        self._target = target or this_interpreter()
        self._cap = cap
        self._chosen: OrderedDict[str, JobWheels] = OrderedDict()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._in_use: dict[AttemptId, frozenset[str]] = {}
        self._turn = Lock()

    def sweep(self) -> None:
        """At start: remove what an earlier run unpacked, for nobody knows what became of it since."""
        for path in self._folder.iterdir():
            remove_tree(path)

    def chosen(self, bundle: OpenedBundle, lock: str, unneeded: Collection[str]) -> JobWheels:
        """The wheels that a Python job with this lock needs here; ``unneeded`` files are for other platforms.

        Raises RefusedError: ``no-wheel`` where a package has none for this interpreter, ``bad-lock``.
        """
        known = self._chosen.get(bundle.bundle_id)
        if known is None:
            known = self._chosen[bundle.bundle_id] = _choose(bundle, lock, unneeded, self._target)
            while len(self._chosen) > limits.OPEN_BUNDLES:
                self._chosen.popitem(last=False)
        return known

    def folders(self, attempt: AttemptId, bundle: OpenedBundle, wheels: JobWheels) -> tuple[Path, ...]:
        """Folders for ``sys.path``, unpacked and read-only, which stay until ``release``.

        Raises RefusedError: ``bad-wheel``, ``wheels-size``, or like ``OpenedBundle.chunks``; and OSError.
        """
        with self._turn:
            self._in_use[attempt] = frozenset(each.sha256 for each in wheels.wanted)
            return tuple(self._ready(bundle, each) for each in wheels.wanted)

    def release(self, attempt: AttemptId) -> None:
        """The attempt's processes are gone, or never were."""
        self._in_use.pop(attempt, None)

    def _ready(self, bundle: OpenedBundle, wanted: WantedWheel) -> Path:
        folder = self._folder / wanted.sha256
        kept = self._kept.get(wanted.sha256)
        if kept is not None and kept.look == _look_of(folder):
            self._kept.move_to_end(wanted.sha256)
            return folder
        self._kept.pop(wanted.sha256, None)
        remove_tree(folder)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            _copy(bundle, wanted, file)
            wheel = open_wheel(file, wanted.name)
            self._make_room(wheel.size)
            self._unpack(wheel, folder)
        self._kept[wanted.sha256] = _Kept(wheel.size, _look_of(folder))
        return folder

    def _unpack(self, wheel: Wheel, folder: Path) -> None:
        unpack_files(wheel.unpacked(), folder)
        for path, found in _below(folder):
            Path(path).chmod(_FOLDER_MODE if stat.S_ISDIR(found.st_mode) else _FILE_MODE)
        folder.chmod(_FOLDER_MODE)

    def _make_room(self, size: int) -> None:
        """Remove what was used least recently until ``size`` bytes more are within the cap."""
        in_use = frozenset[str]().union(*self._in_use.values())
        total = size + sum(each.size for each in self._kept.values())
        for digest in [each for each in self._kept if each not in in_use]:
            if total <= self._cap:
                break
            total -= self._kept.pop(digest).size
            remove_tree(self._folder / digest)
        if total > self._cap:
            raise RefusedError(
                "wheels-size", f"the packages of its tasks take more than {self._cap} bytes unpacked"
            )


def _choose(bundle: OpenedBundle, name: str, unneeded: Collection[str], target: Target) -> JobWheels:
    if name in unneeded:
        raise RefusedError("no-wheel", f"its {LOCK_NAME} is for other platforms")
    lock = read_lock(bundle.read(name, MAX_LOCK_BYTES))
    named = {wheel.path for package in lock.packages for wheel in package.wheels or () if wheel.path}
    files = frozenset(named & bundle.entries.keys())
    choice = choose(lock, target, lambda wheel: wheel.path in files and wheel.path not in unneeded)
    if choice.without:
        packages = ", ".join(f"{package.name} {package.version}" for package in choice.without)
        version = target.environment["python_full_version"]
        raise RefusedError("no-wheel", f"it has no wheel of {packages} for Python {version} here")
    wanted = [
        WantedWheel(wheel.path or "", wheel.filename, wheel.hashes.get("sha256", ""))
        for _, wheel in choice.wheels
    ]
    return JobWheels(tuple(map(_checked, wanted)), files)


def _checked(wanted: WantedWheel) -> WantedWheel:
    """A digest becomes a folder's name."""
    if len(wanted.sha256) != 64 or not set(wanted.sha256) <= set("0123456789abcdef"):
        raise RefusedError("bad-lock", f"{LOCK_NAME} states no SHA-256 of {shown(wanted.name)}")
    return wanted


def _copy(bundle: OpenedBundle, wanted: WantedWheel, file: BinaryIO) -> None:
    digest = hashlib.sha256()
    for chunk in bundle.chunks(wanted.file):
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest() != wanted.sha256:
        raise RefusedError("bad-lock", f"{LOCK_NAME} states another SHA-256 of {shown(wanted.file)}")


def _look_of(folder: Path) -> Look:
    return [
        (path, found.st_ino, found.st_mode, found.st_size, found.st_ctime_ns)
        for path, found in _below(folder)
    ]


def _below(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below ``folder`` in its file system's order, no link followed; nothing where there is no folder."""
    waiting = [str(folder)]
    while waiting:
        try:
            entries = os.scandir(waiting.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                found = entry.stat(follow_symlinks=False)
                yield entry.path, found
                if stat.S_ISDIR(found.st_mode):
                    waiting.append(entry.path)
