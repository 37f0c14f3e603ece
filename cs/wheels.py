"""The third-party packages of Python jobs: each wheel unpacked once, for all jobs whose bundles hold it.

What is unpacked comes out of a verified bundle, whose lock (``pylock.toml``) chooses the wheels of this server's
interpreter. A wheel's folder is named by its SHA-256, and a bundle is given it only where it holds that wheel itself,
signed: a lock alone proves nothing. What a folder must look like is known in memory alone: a folder that changed, or
that an earlier run of this server left, is unpacked again.
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
from typing import Final, Self

import attrs

from cs import limits
from cs.workplace import remove_tree
from rjs.attempts import AttemptId
from rjs.bundle.manifest import Digest
from rjs.bundle.names import shown
from rjs.bundle.unpack import unpack_files
from rjs.bundle.verify import OpenedBundle
from rjs.errors import RefusedError
from rjs.limits import KIB, MAX_LOCK_BYTES
from rjs.wheels import LOCK_NAME, Target, Wheel, choose, open_wheel, read_lock, this_interpreter

_FILE_MODE = 0o444
_FOLDER_MODE = 0o555
_BLOCK: Final = 4 * KIB
"""Bytes in which the file systems of desktops give out space."""
_INODE: Final = 512
"""Bytes of a file's or folder's own record there, and of its name in its folder."""


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
class Space:
    """What unpacked wheels take of a disk: bytes, and files with folders."""

    size: int = 0
    files: int = 0

    @classmethod
    def of(cls, wheel: Wheel) -> Self:
        """That of one wheel, each of its files and folders in whole blocks and with an inode."""
        folders = {""}
        for name in wheel.files:
            parent = name.rpartition("/")[0]
            while parent not in folders:
                folders.add(parent)
                parent = parent.rpartition("/")[0]
        blocks = len(folders) + sum(-(-member.size // _BLOCK) for member in wheel.files.values())
        files = len(folders) + len(wheel.files)
        return cls(blocks * _BLOCK + files * _INODE, files)

    def __add__(self, other: Space) -> Space:
        return Space(self.size + other.size, self.files + other.files)

    def __sub__(self, other: Space) -> Space:
        return Space(self.size - other.size, self.files - other.files)

    def fits(self, most: Space) -> bool:
        """Whether it is within ``most``."""
        return self.size <= most.size and self.files <= most.files


MOST = Space(limits.WHEELS, limits.WHEEL_FILES)


@attrs.frozen
class _Kept:
    """An unpacked wheel: what it takes, how its folder looked then, and every digest known to be of its bytes."""

    space: Space
    look: Look = attrs.field(repr=False)
    digests: set[Digest]


class Wheels:
    """Unpacked wheels below one folder, which take at most ``most``; the least recently used go first.

    ``chosen`` and ``folders`` are called beside the reactor, one attempt at a time.
    """

    def __init__(self, folder: Path, target: Target | None = None, most: Space = MOST) -> None:
        self._folder = folder
        self._target = target or this_interpreter()
        self._most = most
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
        signed = bundle.entries[wanted.file].digest
        kept = self._kept.get(wanted.sha256)
        if kept is not None and kept.look == _look_of(folder):
            if signed not in kept.digests:
                for _ in _checked_chunks(bundle, wanted):
                    pass
                kept.digests.add(signed)
            self._kept.move_to_end(wanted.sha256)
            return folder
        self._kept.pop(wanted.sha256, None)
        remove_tree(folder)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            file.writelines(_checked_chunks(bundle, wanted))
            wheel = open_wheel(file, wanted.name)
            space = Space.of(wheel)
            self._make_room(space)
            self._unpack(wheel, folder)
        digests = {signed, Digest("sha256", bytes.fromhex(wanted.sha256))}
        self._kept[wanted.sha256] = _Kept(space, _look_of(folder), digests)
        return folder

    def _unpack(self, wheel: Wheel, folder: Path) -> None:
        unpack_files(wheel.unpacked(), folder)
        for path, found in _below(folder):
            Path(path).chmod(_FOLDER_MODE if stat.S_ISDIR(found.st_mode) else _FILE_MODE)
        folder.chmod(_FOLDER_MODE)

    def _make_room(self, space: Space) -> None:
        """Remove what was used least recently until there is room for ``space``."""
        in_use = frozenset[str]().union(*self._in_use.values())
        total = sum((each.space for each in self._kept.values()), space)
        for digest in [each for each in self._kept if each not in in_use]:
            if total.fits(self._most):
                break
            total -= self._kept.pop(digest).space
            remove_tree(self._folder / digest)
        if not total.fits(self._most):
            raise RefusedError(
                "wheels-size",
                f"the packages of its tasks take more than {self._most.size} bytes or {self._most.files} files "
                "and folders, unpacked",
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


def _checked_chunks(bundle: OpenedBundle, wanted: WantedWheel) -> Iterator[bytes]:
    """The bundle's own wheel; raises at its end unless it is what was signed and what the lock states."""
    digest = hashlib.sha256()
    for chunk in bundle.chunks(wanted.file):
        digest.update(chunk)
        yield chunk
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
