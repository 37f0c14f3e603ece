"""The only module that writes a bundle's files to disk.

It knows folders and modes, nothing of archives: names arrive as safe parts (``names.parts_of``), contents as
iterators that raise at their end when they are not what was signed. It must be read twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PRIVATE_FOLDER_MODE = 0o700
_FILE_MODE = 0o600
_EXECUTABLE_MODE = 0o700


def unpack_files(files: Iterable[tuple[tuple[str, ...], bool, Iterable[bytes]]], destination: Path) -> None:
    """Write (parts, executable, content) triples below the new folder ``destination``, all of them or none.

    1. Everything goes into a private (0700) staging folder beside ``destination``, under the same file system.
    2. Folders are opened one by one without following links; files are created exclusively, with modes of ours.
    3. Only when every content ended without an error is the staging folder renamed to ``destination``.
    4. On any error the staging folder is removed.
    """
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} exists already")
    staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))  # 1
    try:
        with _opened(os.open(staging, _FOLDER)) as root:
            for parts, executable, content in files:
                _write_file(root, parts, executable, content)  # 2
        staging.rename(destination)  # 3
    except BaseException:
        shutil.rmtree(staging)  # 4
        raise


def _write_file(root: int, parts: tuple[str, ...], executable: bool, content: Iterable[bytes]) -> None:
    mode = _EXECUTABLE_MODE if executable else _FILE_MODE
    with (
        _folder(root, parts[:-1]) as folder,
        os.fdopen(os.open(parts[-1], _NEW_FILE, mode, dir_fd=folder), "wb") as file,
    ):
        os.fchmod(file.fileno(), mode)  # whatever the umask says
        for chunk in content:
            file.write(chunk)


@contextmanager
def _folder(root: int, parts: tuple[str, ...]) -> Iterator[int]:
    """Open the folder ``parts`` below ``root``, making what is missing and following no link."""
    if not parts:
        yield root
        return
    with suppress(FileExistsError):
        os.mkdir(parts[0], _PRIVATE_FOLDER_MODE, dir_fd=root)
    with _opened(os.open(parts[0], _FOLDER, dir_fd=root)) as child, _folder(child, parts[1:]) as folder:
        yield folder


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)
