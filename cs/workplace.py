"""The folder of one attempt: the unpacked job, its outputs, its streams; and how nothing of it is left behind.

``job/`` is the task's working folder, ``job/out/`` takes its outputs, ``stdout.txt`` and ``stderr.txt`` lie
beside, out of the task's way. What a task leaves in ``out/`` is hostile: only plain files are collected.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from cs import limits
from rjs.bundle.answer import STDERR_NAME, STDOUT_NAME
from rjs.bundle.descriptor import ANSWER_FOLDER
from rjs.errors import RefusedError
from rjs.wire.messages import AttemptId


class OutputRefusedError(RefusedError):
    """What the task left in ``out/`` cannot become an answer."""


class Workplace:
    """One attempt's folder below ``root``."""

    def __init__(self, root: Path, attempt: AttemptId) -> None:
        fence = attempt.fence
        self.path = (
            root / f"{attempt.job[:16]}-{attempt.task}-{fence.generation}-{fence.lease}-{fence.sequence}"
        )
        self.job = self.path / "job"
        self.out = self.job / ANSWER_FOLDER
        self.temporary = self.path / "tmp"
        self.stdout = self.path / STDOUT_NAME
        self.stderr = self.path / STDERR_NAME

    def create(self) -> None:
        """Make the folder; ``job/`` is made by unpacking."""
        self.path.mkdir(mode=0o700)
        self.temporary.mkdir(mode=0o700)

    def tail(self) -> str:
        """The end of stderr."""
        try:
            with self.stderr.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - limits.TAIL))
                return file.read(limits.TAIL).decode("utf-8", "replace")
        except OSError:
            return ""

    def outputs(self) -> list[tuple[str, Path]]:
        """What becomes the answer: the streams, and every plain file below ``out/`` with its name there.

        Raises OutputRefusedError for a link, device, pipe or file with another name elsewhere, for too many
        files and for too many bytes.
        """
        found = list(_plain_files(self.out)) if self.out.exists() else []
        total = sum(size for _, _, size in found)
        if total > limits.OUTPUT:
            raise OutputRefusedError(
                "output-size", f"the task left {total} bytes in {ANSWER_FOLDER}/; {limits.OUTPUT} are allowed"
            )
        files = [(name, path) for name, path, _ in found]
        return [*files, (STDOUT_NAME, self.stdout), (STDERR_NAME, self.stderr)]

    def remove(self) -> None:
        """Remove all of it, whatever modes the task gave it."""
        remove_tree(self.path)


def _plain_files(out: Path) -> Iterator[tuple[str, Path, int]]:
    count = 0
    if not stat.S_ISDIR(out.lstat().st_mode):
        raise OutputRefusedError("output-kind", f"{ANSWER_FOLDER} is no folder any more")
    for folder, folders, names in os.walk(out, onerror=_unreadable):
        for name in [*folders, *names]:
            path = Path(folder) / name
            shown = ascii(str(path.relative_to(out)))
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode):
                continue
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise OutputRefusedError(
                    "output-kind", f"{ANSWER_FOLDER}/{shown} is not a plain file of its own"
                )
            count += 1
            if count > limits.OUTPUT_FILES:
                raise OutputRefusedError(
                    "output-files", f"more than {limits.OUTPUT_FILES} files in {ANSWER_FOLDER}/"
                )
            yield f"{ANSWER_FOLDER}/{path.relative_to(out).as_posix()}", path, found.st_size


def _unreadable(error: OSError) -> None:
    raise OutputRefusedError(
        "output-kind", f"a folder below {ANSWER_FOLDER}/ cannot be read: {error.strerror}"
    )


def remove_tree(path: Path) -> None:
    """Remove a folder and all below it, following no link, even where the task's modes forbid it."""
    if not path.exists():
        return
    path.chmod(0o700)
    for folder, folders, _ in os.walk(path):
        for name in folders:
            below = Path(folder) / name
            if not below.is_symlink():
                below.chmod(0o700)
    shutil.rmtree(path)
