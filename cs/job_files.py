"""The files that a job may read and write by its token: its bundle's as they were signed, outputs, checkpoints.

Every name comes from the job, and so does everything in its folders: links, pipes, folders where files should be. One
function turns a name into an open folder and a last part, and follows no link on the way. A file that is written is
made outside of the job's folders, and appears in its place whole. All of it is disk work, for a worker.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs

from cs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import parts_of, shown
from rjs.bundle.verify import OpenedBundle
from rjs.bundle.window import AbsentError
from rjs.errors import RefusedError
from rjs.files import open_nofollow
from rjs.limits import BLOB_CHUNK

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.define
class _Unfinished:
    """A file of which some parts came."""

    path: Path
    size: int = 0


@attrs.define
class Budget:
    """Bytes that one attempt may still write through its door."""

    left: int = limits.DOOR_BYTES

    def take(self, count: int) -> None:
        """Count them. Raises RefusedError when they are too many."""
        if count > self.left:
            raise RefusedError(
                "too-large", f"one task writes at most {limits.DOOR_BYTES} bytes through its door"
            )
        self.left -= count


@attrs.define
class JobFolder:
    """A folder that a job reads and writes through the door: ``path``, inside ``anchor``, which is ours.

    ``staging`` is a folder of ours on the same file system. A ``flat`` one has no folders, and caps of its own.
    """

    anchor: Path
    path: Path
    staging: Path
    budget: Budget
    flat: bool = False
    _unfinished: dict[str, _Unfinished] = attrs.field(factory=dict)
    _count: int = 0

    def write(self, name: str, offset: int, data: bytes, last: bool) -> None:
        """The next part of the file ``name``. Raises RefusedError, and OSError; then the file is begun anew."""
        parts = self._parts(name)
        try:
            unfinished = self._part(name, offset, data)
            if last:
                self._finish(parts, unfinished)
                del self._unfinished[name]
        except BaseException:
            self._give_up(name)
            raise

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file that was finished. Raises RefusedError when there is no such plain file."""
        *folders, last = self._parts(name)
        with self._folder(folders, make=False) as folder:
            try:
                file = open_nofollow(folder, last)
            except FileNotFoundError:
                raise RefusedError("no-file", f"there is no file {shown(name)}") from None
            except RefusedError:
                raise _not_plain(name) from None
            try:
                if os.fstat(file).st_nlink != 1:
                    raise _not_plain(name)
                return os.pread(file, min(length, BLOB_CHUNK), offset)
            finally:
                os.close(file)

    def _parts(self, name: str) -> tuple[str, ...]:
        try:
            parts = parts_of(name)
        except BundleRefusedError as error:
            raise RefusedError(
                "file-name", f"{shown(name)} is no name of a file here: {error.sentence}"
            ) from None
        if self.flat and len(parts) > 1:
            raise RefusedError("file-name", f"{shown(name)}: there are no folders in this one")
        return parts

    def _part(self, name: str, offset: int, data: bytes) -> _Unfinished:
        if offset == 0:
            self._give_up(name)
            if len(self._unfinished) >= limits.DOOR_UNFINISHED:
                raise RefusedError(
                    "too-many-files", f"{limits.DOOR_UNFINISHED} files are unfinished; finish one first"
                )
            self._count += 1
            self.staging.mkdir(mode=0o700, exist_ok=True)
            self._unfinished[name] = _Unfinished(self.staging / f"{self.path.name}-{self._count}")
            os.close(os.open(self._unfinished[name].path, _NEW, 0o600))
        unfinished = self._unfinished.get(name)
        if unfinished is None or unfinished.size != offset:
            raise RefusedError("file-offset", f"the parts of {shown(name)} come in order, from 0 on")
        if offset + len(data) > limits.DOOR_FILE:
            raise RefusedError("too-large", f"a file has at most {limits.DOOR_FILE} bytes here")
        self.budget.take(len(data))
        with unfinished.path.open("ab") as file:
            file.write(data)
        unfinished.size += len(data)
        return unfinished

    def _finish(self, parts: tuple[str, ...], unfinished: _Unfinished) -> None:
        *folders, last = parts
        with self._folder(folders, make=True) as folder:
            if self.flat:
                _check_room(folder, last, unfinished.size)
            with suppress(FileNotFoundError):
                if stat.S_ISDIR(os.stat(last, dir_fd=folder, follow_symlinks=False).st_mode):
                    raise RefusedError("file-kind", f"{shown(last)} is a folder")
            os.rename(unfinished.path, last, dst_dir_fd=folder)  # in the place of a link, never through it

    def _give_up(self, name: str) -> None:
        unfinished = self._unfinished.pop(name, None)
        if unfinished is not None:
            unfinished.path.unlink(missing_ok=True)

    @contextmanager
    def _folder(self, folders: list[str], *, make: bool) -> Iterator[int]:
        """The open folder that these parts lead to from ours, no link followed; missing ones are made, or refused."""
        here = os.open(self.anchor, _FOLDER)
        try:
            for number, part in enumerate([*self.path.relative_to(self.anchor).parts, *folders]):
                if make and number:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=here)
                here = _entered(here, part)
            yield here
        finally:
            os.close(here)


def _entered(here: int, part: str) -> int:
    """The open folder ``part`` of ``here``, which is closed if there is one. Raises RefusedError where it is none."""
    try:
        there = os.open(part, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        raise RefusedError("no-file", f"there is no folder {shown(part)}") from None
    except OSError:
        raise RefusedError("file-kind", f"{shown(part)} is not a plain folder") from None
    os.close(here)
    return there


def _check_room(folder: int, name: str, size: int) -> None:
    """Raises RefusedError where a file of ``size`` bytes would be too many or too much for a checkpoint folder."""
    count, total = 0, size
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name != name:
                count += 1
                total += entry.stat(follow_symlinks=False).st_size
    if count >= limits.CHECKPOINT_FILES or total > limits.CHECKPOINT_BYTES:
        raise RefusedError(
            "too-large",
            f"a checkpoint has at most {limits.CHECKPOINT_FILES} files and {limits.CHECKPOINT_BYTES} bytes",
        )


def _not_plain(name: str) -> RefusedError:
    return RefusedError("file-kind", f"{shown(name)} is not a plain file of its own")


@attrs.define
class JobInputs:
    """The files of a job's bundle. A file is copied, checked, to ``staging`` when it is first read."""

    bundle: OpenedBundle
    staging: Path
    _copies: dict[str, Path] = attrs.field(factory=dict)
    _names: list[str] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._names = sorted(self.bundle.entries)

    def files(self, first: int, count: int) -> tuple[list[tuple[str, int]], int]:
        """Names and sizes from the one numbered ``first`` on, and how many come after them."""
        names = self._names[first : first + count]
        sizes = [(name, self.bundle.entries[name].size) for name in names]
        return sizes, max(0, len(self._names) - first - len(names))

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file as they were signed. Raises RefusedError for what is no file of the bundle, or not here."""
        if name not in self.bundle.entries:
            raise RefusedError("no-file", f"the bundle has no file {shown(name)}")
        copy = self._copies.get(name)
        if copy is None:
            copy = self._copies[name] = self._checked_copy(name)
        file = os.open(copy, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(file, min(length, BLOB_CHUNK), offset)
        finally:
            os.close(file)

    def _checked_copy(self, name: str) -> Path:
        self.staging.mkdir(mode=0o700, exist_ok=True)
        path = self.staging / f"input-{len(self._copies)}"
        try:
            with path.open("xb") as file:
                for chunk in self.bundle.chunks(name):
                    file.write(chunk)
        except AbsentError:
            path.unlink()
            raise RefusedError("no-file", f"{shown(name)} is for another platform, and not here") from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path
