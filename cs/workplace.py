"""The folder of an attempt: the unpacked job, its outputs, its streams; and how nothing of it is left behind.

Of a bundle's folder a task sees ``task/`` alone: ``task/job/`` is its working folder, ``task/job/out/`` takes its
outputs. What is ours lies beside, where a confined task cannot get: ``stdout.txt``, ``stderr.txt``, files on their
way through its door. A Java job finds ``job/rjs/`` too, which is ``rjs`` in its home: JARs that it writes there are
outputs, as they were in 2006. What a task leaves is hostile: only plain files are collected.

The attempts at one bundle's tasks have the folder one after the other: a sandbox that waits for the next task holds
``task/`` fast, so that is emptied, not removed. No two of them may be under way at a time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from cs import limits
from rjs.answers.answer_jar import STDERR_NAME, STDOUT_NAME
from rjs.attempts import AttemptId
from rjs.bundle.names import ANSWER_FOLDER, shown
from rjs.errors import RefusedError
from rjs.files import UnsafeFileError, open_nofollow
from rjs.limits import MAX_NAME_DEPTH

_NAME: Final = 32
"""Digits of a bundle's id that name its folder: more would make sockets' paths too long."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


ANSWER_JARS: Final = "rjs"
"""The folder of the task's home in which answer JARs are looked for."""


class OutputRefusedError(RefusedError):
    """What the task left in ``out/`` cannot become an answer."""


class Workplace:
    """One attempt's folder below ``root``, in which there is nothing but bundles' folders."""

    def __init__(self, root: Path, attempt: AttemptId) -> None:
        self.path = root / attempt.job[:_NAME]
        self.task = self.path / "task"
        self.job = self.task / "job"
        self.jars = self.task / "jars"
        self.out = self.job / ANSWER_FOLDER
        self.answer_jars = self.job / ANSWER_JARS
        self.temporary = self.task / "tmp"
        self.checkpoint = self.task / "checkpoint"
        self.staging = self.path / "door"
        self.stdout = self.path / STDOUT_NAME
        self.stderr = self.path / STDERR_NAME

    def create(self) -> None:
        """Make the folder, whatever an earlier task of the bundle planted there; ``job/`` is made by unpacking.

        Folders of bundles that had their turn long ago go. Raises OSError.
        """
        keep_newest(self.path.parent, self.path, limits.KEPT_FOLDERS)
        self.path.mkdir(mode=0o700, exist_ok=True)
        self.empty()
        for folder in (self.temporary, self.checkpoint):
            folder.mkdir(mode=0o700)

    def add_answer_folders(self, *, java: bool) -> None:
        """Make the folders, in the unpacked job, that outputs are expected in."""
        self.out.mkdir(mode=0o700)
        if java:
            with suppress(FileExistsError):  # it is the job's
                self.answer_jars.mkdir(mode=0o700)

    def tail(self) -> str:
        """The end of stderr; empty when the task put something else in its place. Never blocks."""
        try:
            with os.fdopen(_open_plain(self.stderr), "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limits.TAIL))
                return file.read(limits.TAIL).decode("utf-8", "replace")
        except (OSError, OutputRefusedError):
            return ""

    def outputs(self, unpacked: Collection[str] = ()) -> list[tuple[str, Path]]:
        """What becomes the answer: the streams, every plain file below ``out/`` with its name there, and, as
        ``out/NAME.jar``, each ``rjs/NAME.jar`` but those ``unpacked``, which are the bundle's own.

        Raises OutputRefusedError for a link, device, pipe or file with another name elsewhere, for too many
        files, too deep folders and too many bytes; OSError when something cannot be read.
        """
        for stream in (self.stdout, self.stderr):
            os.close(_open_plain(stream))
        if not stat.S_ISDIR(self.job.lstat().st_mode):
            raise OutputRefusedError("output-kind", "the task's folder is no folder any more")
        found = list(_plain_files(self.out)) if os.path.lexists(self.out) else []
        found += _answer_jars(self.answer_jars, unpacked)
        _check_names(name for name, _, _ in found)
        total = sum(size for _, _, size in found)
        if total > limits.OUTPUT:
            raise OutputRefusedError(
                "output-size", f"the task left {total} bytes in {ANSWER_FOLDER}/; {limits.OUTPUT} are allowed"
            )
        files = [(name, path) for name, path, _ in found]
        return [*files, (STDOUT_NAME, self.stdout), (STDERR_NAME, self.stderr)]

    def empty(self) -> None:
        """Remove every file and folder, but the bundle's folder and ``task/``, if there are any: an attempt may have
        been refused before. Raises OSError."""
        if not self.path.exists():
            return
        for left in self.path.iterdir():
            if left != self.task:
                remove_tree(left)
        empty_folder(self.task)

    def remove(self) -> None:
        """Remove all of it, whatever modes the task gave it."""
        remove_tree(self.path)


def _open_plain(path: Path) -> int:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = open_nofollow(folder, path.name)
    except UnsafeFileError as error:
        raise OutputRefusedError("output-kind", error.sentence) from None
    finally:
        os.close(folder)
    if os.fstat(descriptor).st_nlink != 1:
        os.close(descriptor)
        raise OutputRefusedError("output-kind", f"{path.name} has another name elsewhere")
    return descriptor


def _plain_files(out: Path) -> Iterator[tuple[str, Path, int]]:
    """Every file below ``out`` with its name in the answer and its size."""
    if not stat.S_ISDIR(out.lstat().st_mode):
        raise OutputRefusedError("output-kind", f"{ANSWER_FOLDER} is no folder any more")
    count = 0
    folders = [(ANSWER_FOLDER, out)]
    while folders:
        name, folder = folders.pop()
        if name.count("/") > MAX_NAME_DEPTH:
            raise OutputRefusedError(
                "output-depth", f"{ANSWER_FOLDER}/ has more than {MAX_NAME_DEPTH} levels"
            )
        for entry in _entries(folder):
            count += 1
            if count > limits.OUTPUT_FILES:
                raise OutputRefusedError(
                    "output-files", f"more than {limits.OUTPUT_FILES} files and folders in {ANSWER_FOLDER}/"
                )
            found = entry.stat(follow_symlinks=False)
            below = f"{name}/{entry.name}"
            if stat.S_ISDIR(found.st_mode):
                folders.append((below, folder / entry.name))
            elif stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                yield below, folder / entry.name, found.st_size
            else:
                refused = f"{ANSWER_FOLDER}/{shown(below.partition('/')[2])}"
                raise OutputRefusedError("output-kind", f"{refused} is not a plain file of its own")


def _answer_jars(folder: Path, unpacked: Collection[str]) -> Iterator[tuple[str, Path, int]]:
    """Each JAR in the home's answer folder, but those ``unpacked``, with its name in the answer and its size."""
    if not os.path.lexists(folder) or stat.S_ISREG(folder.lstat().st_mode):
        return
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise OutputRefusedError(
            "output-kind", f"{ANSWER_JARS} in the task's home is neither folder nor file"
        )
    for count, entry in enumerate(_entries(folder)):
        if count >= limits.OUTPUT_FILES:
            raise OutputRefusedError(
                "output-files", f"more than {limits.OUTPUT_FILES} files and folders in {ANSWER_JARS}/"
            )
        if not entry.name.lower().endswith(".jar") or f"{ANSWER_JARS}/{entry.name}" in unpacked:
            continue
        found = entry.stat(follow_symlinks=False)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise OutputRefusedError(
                "output-kind", f"{ANSWER_JARS}/{shown(entry.name)} is not a plain file of its own"
            )
        yield f"{ANSWER_FOLDER}/{entry.name}", folder / entry.name, found.st_size


def _check_names(names: Iterable[str]) -> None:
    seen = set[str]()
    for name in names:
        if name in seen:
            below = shown(name.partition("/")[2])
            raise OutputRefusedError(
                "output-name",
                f"{below} is in {ANSWER_FOLDER}/ and in {ANSWER_JARS}/; the answer has one of the name",
            )
        seen.add(name)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise OutputRefusedError(
            "output-kind", f"a folder of the task's outputs cannot be read: {error.strerror}"
        ) from None


def remove_tree(path: Path) -> None:
    """Remove what is at ``path`` and all below it: however deep, whatever its modes, following no link.

    Needs neither memory nor descriptors for depth, nor room on the disk. Nothing may change the tree meanwhile.
    Raises OSError.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode):
        path.unlink()
        return
    path.chmod(0o700)
    _remove_below(path)
    path.rmdir()


def empty_folder(path: Path) -> None:
    """Make ``path`` an empty folder of mode 0700, the same one as before unless it was marked in another way: by an
    access list or other attributes, which would outlive what is in it. Raises OSError."""
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode) and not _attributes(path):
            path.chmod(0o700)
            _remove_below(path)
            return
        remove_tree(path)
    path.mkdir(mode=0o700)


def _attributes(path: Path) -> bool:
    """Whether it has attributes that its owner may set."""
    names = os.listxattr(path, follow_symlinks=False) if hasattr(os, "listxattr") else []
    return any(name.startswith(("user.", "system.posix_acl")) for name in names)


def keep_newest(folder: Path, kept: Path, count: int) -> None:
    """Remove what is in ``folder`` but ``kept`` and the ``count`` others that changed last. Raises OSError."""
    others = [(path.lstat().st_mtime_ns, path) for path in folder.iterdir() if path != kept]
    for _, path in sorted(others, reverse=True)[count:]:
        remove_tree(path)


def _remove_below(path: Path) -> None:
    """Walk down into folder after folder, and up again by ``..``, which must be where we came from."""
    trail: list[tuple[str, tuple[int, int]]] = []
    here = os.open(path, _FOLDER)
    try:
        while (name := _remove_files(here)) is not None or trail:
            if name is not None:
                os.chmod(name, 0o700, dir_fd=here)
                trail.append((name, _identity(here)))
                here = _go(here, name)
            else:
                name, parent = trail.pop()
                here = _go(here, "..")
                if _identity(here) != parent:
                    raise OSError(errno.ESTALE, "a folder was moved while it was removed", str(path))
                os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _remove_files(folder: int) -> str | None:
    """Remove what is no folder up to the first folder, and return that one's name; None: it is empty now."""
    removed = True
    while removed:  # what is read of a folder after a change of it is not specified
        removed = False
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    return entry.name
                os.unlink(entry.name, dir_fd=folder)
                removed = True
    return None


def _go(here: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=here)
    os.close(here)
    return there


def _identity(folder: int) -> tuple[int, int]:
    found = os.fstat(folder)
    return found.st_dev, found.st_ino
