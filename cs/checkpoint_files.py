"""A task's checkpoint folder: gathered into a folder of ours, and filled with what an earlier attempt left.

Everything in it is the job's, which may run while it is gathered: no link is followed, what is no plain file of its
own is refused, and what is copied is what is signed. All of it is disk work, for a worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cs.workplace import Workplace, remove_tree
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import parts_of, shown
from rjs.checkpoints import limits
from rjs.checkpoints.checkpoint_jar import FOLDER, OpenedCheckpoint, check_count
from rjs.errors import RefusedError
from rjs.files import UnsafeFileError, open_nofollow

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1024 * 1024


def gather(place: Workplace, staging: Path) -> list[tuple[str, Path]]:
    """Copy each file of the checkpoint folder into the new folder ``staging``: its name there, and its copy.

    Raises RefusedError for what is no plain file of its own, for names that cannot travel, for too many files and
    too many bytes; OSError when something cannot be read or written.
    """
    remove_tree(staging)
    staging.mkdir(mode=0o700)
    files: list[tuple[str, Path]] = []
    size = 0
    with _opened(place) as folder, os.scandir(folder) as entries:
        for entry in entries:
            check_count(len(files) + 1, size)
            _check_name(entry.name)
            copy = staging / str(len(files))
            size += _copied(folder, entry.name, copy, limits.BYTES - size)
            files.append((entry.name, copy))
    return files


def fill(place: Workplace, checkpoint: OpenedCheckpoint) -> None:
    """Write the files of ``checkpoint`` into the checkpoint folder, which is empty: all of them, or none.

    Raises BundleRefusedError where one is not what was signed, and OSError.
    """
    with _opened(place) as folder:
        try:
            for name, chunks in checkpoint.files():
                with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=folder), "wb") as file:
                    for chunk in chunks:
                        file.write(chunk)
        except BaseException:
            for name in checkpoint.statement.digests:
                with suppress(FileNotFoundError):
                    os.unlink(name.removeprefix(f"{FOLDER}/"), dir_fd=folder)
            raise


@contextmanager
def _opened(place: Workplace) -> Iterator[int]:
    """The open checkpoint folder, no link followed on the way from what is ours."""
    here = os.open(place.path, _FOLDER)
    try:
        for part in place.checkpoint.relative_to(place.path).parts:
            try:
                there = os.open(part, _FOLDER, dir_fd=here)
            except OSError:
                raise RefusedError("checkpoint-kind", "the checkpoint folder is no folder any more") from None
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def _check_name(name: str) -> None:
    try:
        parts_of(f"{FOLDER}/{name}")
    except (BundleRefusedError, UnicodeError):
        raise RefusedError(
            "checkpoint-name", f"{shown(name)} is no name that can travel; rename it"
        ) from None


def _copied(folder: int, name: str, copy: Path, most: int) -> int:
    """Copy a plain file; the number of its bytes, which are not more than ``most``."""
    try:
        descriptor = open_nofollow(folder, name)
    except UnsafeFileError:
        raise _not_plain(name) from None
    size = 0
    with os.fdopen(descriptor, "rb") as file, copy.open("xb") as out:
        if os.fstat(descriptor).st_nlink != 1:
            raise _not_plain(name)
        while piece := file.read(_PIECE):
            size += len(piece)
            if size > most:
                check_count(0, limits.BYTES + 1)
            out.write(piece)
    return size


def _not_plain(name: str) -> RefusedError:
    return RefusedError(
        "checkpoint-kind", f"{shown(name)} is not a plain file of its own; a checkpoint has no folders"
    )
