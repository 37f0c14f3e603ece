"""Users' homes: ``home/<account>/jobs/`` where bundles arrive and ``ans/`` where answers go.

Users may plant anything in their homes (links above all), so nothing here follows a link, and every path
below a home is walked by open folders. The names that we write are our own.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

import attrs

from rjs.bundle.names import parts_of
from rjs.errors import RefusedError
from rjs.files import open_nofollow, sync_folder
from rjs.identity.names import RjsName, Role
from ws import limits

JOBS = "jobs"
ANSWERS = "ans"
JNLP_SUFFIX = ".jnlp"
STATUS_SUFFIX = ".status.txt"

_ANSWER_NAME = re.compile(r"(?:0|[1-9][0-9]{0,9})\.jar")
_PART = re.compile(r"\.[0-9a-f]{16}\.part")
_UPLOAD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@ -]{0,120}\.(?:jar|jnlp)")

NAME_RULE = (
    "a bundle's file name has letters, digits, spaces and ._+@-, starts with a letter or digit, ends in .jar "
    "(or .jnlp, for a job of several JARs) and has at most 125 characters"
)


@attrs.frozen
class Found:
    """A bundle in ``jobs/``: its name, and a stamp that changes whenever its bytes may have.

    ``arrived`` is the Unix time of its last change. For a job of several files all that is of all of them; ``named``
    are their names below ``jobs/``, the main JAR's first, and ``waits`` says what is not there yet.
    """

    account: str
    file_name: str
    stamp: str
    size: int
    arrived: float = 0.0
    named: tuple[str, ...] = ()
    waits: str = ""


class Homes:
    """All homes below one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, account: str) -> None:
        """Make the account's home with its two folders; existing ones are left alone."""
        RjsName(Role.USER, account)
        home = self.path / account
        for folder in (home, home / JOBS, home / ANSWERS):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(mode=0o700)
        for folder in (home, self.path):
            sync_folder(folder)

    def clear_unfinished(self, accounts: Iterable[str]) -> None:
        """Remove the status files that a killed process was writing."""
        for account in accounts:
            with contextlib.suppress(OSError), self._folder(account, JOBS) as folder:
                for name in os.listdir(folder):  # noqa: PTH208 - an open folder, not a path
                    if _PART.fullmatch(name):
                        os.unlink(name, dir_fd=folder)

    def bundles(self, accounts: Iterable[str]) -> list[Found]:
        """What lies in every ``jobs/`` itself, named ``*.jar`` or ``*.jnlp``, without hidden and unfinished files."""
        found: list[Found] = []
        for account in accounts:
            with contextlib.suppress(OSError), self._folder(account, JOBS) as folder:
                for name in os.listdir(folder):  # noqa: PTH208 - an open folder, not a path
                    if _UPLOAD_NAME.fullmatch(name):
                        found += _found(account, name, folder)
        return found

    def misnamed(self, account: str) -> list[str]:
        """Names in ``jobs/`` that end in .jar or .jnlp and are no name that we would write a status beside."""
        with contextlib.suppress(OSError), self._folder(account, JOBS) as folder:
            names = os.listdir(folder)  # noqa: PTH208 - an open folder, not a path
            ours = (name for name in names if name.endswith((".jar", JNLP_SUFFIX)))
            return [name for name in ours if not _UPLOAD_NAME.fullmatch(name)]
        return []

    def find(self, account: str, names: Iterable[str]) -> dict[str, Found]:
        """Those of these files below ``jobs/``, also in folders there, that are there and not behind a link, by name.

        Each folder is opened once. Raises BundleRefusedError for a name that is no safe one.
        """
        by_folder: dict[tuple[str, ...], list[tuple[str, str]]] = {}
        for name in names:
            *folders, last = parts_of(name)
            by_folder.setdefault(tuple(folders), []).append((name, last))
        found: dict[str, Found] = {}
        for path, files in by_folder.items():
            with contextlib.suppress(OSError), self._folder(account, JOBS, *path) as folder:
                for name, last in files:
                    for each in _found(account, last, folder):
                        found[name] = attrs.evolve(each, file_name=name)
        return found

    @contextlib.contextmanager
    def open_file(self, account: str, name: str) -> Iterator[BinaryIO]:
        """The bytes of a file below ``jobs/``. Raises RefusedError when it is no plain file, and OSError."""
        *folders, last = parts_of(name)
        with (
            self._folder(account, JOBS, *folders) as folder,
            os.fdopen(open_nofollow(folder, last), "rb") as file,
        ):
            yield file

    def read(self, account: str, name: str, limit: int) -> bytes:
        """A small file below ``jobs/``. Raises like ``open_file``, and RefusedError for more than ``limit`` bytes."""
        with self.open_file(account, name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise RefusedError("too-large", f"{name} has more than {limit} bytes")
        return data

    def write_status(self, account: str, file_name: str, text: str) -> None:
        """Replace ``jobs/<file name>.status.txt``. Not durable: it is written again from what is."""
        with self._folder(account, JOBS) as folder:
            _replace(folder, file_name + STATUS_SUFFIX, text.encode("utf-8", "replace"))

    def deliver(self, account: str, job: str, task: int, data: bytes | Path) -> bool:
        """Put an answer into ``ans/<first 16 digits of the job id>/<task>.jar``, durably; never overwrites.

        False when a file of that name is there already (delivered before, or planted by the user).
        """
        with self._folder(account, ANSWERS) as answers:
            with contextlib.suppress(FileExistsError):
                os.mkdir(job[:16], 0o700, dir_fd=answers)
                os.fsync(answers)
            with _open_folder(job[:16], answers) as folder:
                return _place(folder, f"{task}.jar", data)

    def answers(self, account: str, job: str) -> list[int]:
        """The tasks of which ``ans/`` holds a file with an answer's name, whatever is in it."""
        with contextlib.suppress(OSError), self._folder(account, ANSWERS, job[:16]) as folder:
            names = os.listdir(folder)  # noqa: PTH208 - an open folder, not a path
            return sorted(int(name[:-4]) for name in names if _ANSWER_NAME.fullmatch(name))
        return []

    @contextlib.contextmanager
    def open_answer(self, account: str, job: str, task: int) -> Iterator[BufferedReader]:
        """The bytes of the file with this answer's name. Raises RefusedError for no plain file, and OSError."""
        with (
            self._folder(account, ANSWERS, job[:16]) as folder,
            os.fdopen(open_nofollow(folder, f"{task}.jar"), "rb") as file,
        ):
            yield file

    @contextlib.contextmanager
    def _folder(self, account: str, *names: str) -> Iterator[int]:
        RjsName(Role.USER, account)
        with contextlib.ExitStack() as opened:
            folder = opened.enter_context(_open_folder(str(self.path / account), None))
            for name in names:
                folder = opened.enter_context(_open_folder(name, folder))
            yield folder


def check_bundle_name(name: str) -> None:
    """Raises RefusedError unless ``name`` may be that of a bundle in ``jobs/``."""
    if not _UPLOAD_NAME.fullmatch(name) or name.endswith(JNLP_SUFFIX):
        raise RefusedError("file-name", NAME_RULE)


def _found(account: str, name: str, folder: int) -> list[Found]:
    try:
        stat = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return []
    stamp = f"{stat.st_ino}.{stat.st_size}.{stat.st_mtime_ns}.{stat.st_ctime_ns}"
    return [Found(account, name, stamp, stat.st_size, stat.st_ctime)]


@contextlib.contextmanager
def _open_folder(name: str, parent: int | None) -> Iterator[int]:
    descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _replace(folder: int, name: str, data: bytes) -> None:
    part = f".{secrets.token_hex(8)}.part"
    try:
        _write_new(folder, part, data)
        os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise


def _place(folder: int, name: str, data: bytes | Path) -> bool:
    part = f".{name}.part"  # always the same: what a killed process left is replaced when it delivers again
    with contextlib.suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)
    try:
        _write_new(folder, part, data, durable=True)
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        placed = True
    except FileExistsError:
        placed = False  # maybe by a process that was killed before this name was durable
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
    os.fsync(folder)
    return placed


def _write_new(folder: int, name: str, data: bytes | Path, durable: bool = False) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, 0o600, dir_fd=folder), "wb") as file:
        if isinstance(data, bytes):
            file.write(data)
        else:
            with data.open("rb") as source:
                shutil.copyfileobj(source, file, limits.COPY)
        if durable:
            file.flush()
            os.fsync(file.fileno())
