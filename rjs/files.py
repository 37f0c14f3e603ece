"""Small files and folders on disk: every function says what is durable when it returns.

For state that a server keeps beside its database (keys, certificates, configuration). It knows nothing of
archives or of untrusted paths: an untrusted name becomes a path elsewhere, and arrives here as an open folder
and one component.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
from pathlib import Path

from rjs.errors import ConfigError, RefusedError


class UnsafeFileError(RefusedError):
    """A file is not the plain file of bounded size that was expected in this place."""


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the file at ``path`` by ``data``: readers, and a crash at any instant, see all old or all new.

    Durable on return: the bytes and the name. The file is new, so an old file's mode, owner and links do not
    survive, and a symbolic link at ``path`` is replaced, not followed. A process killed in here leaves at
    most one ``.NAME.*.part`` beside it. Raises OSError, and then ``path`` is what it was.
    """
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable: what was created, renamed or removed there before stays so."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Have a folder at ``path`` that only its owner can enter (0700), created with its parents when absent.

    Durable on return: the names of all folders created. An existing folder is checked, never changed: raises
    ConfigError when it is no folder (a symbolic link is none), another account's, or open to others.
    """
    if not path.parent.exists():
        make_private_folder(path.parent)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        _require_private(path)
    else:
        sync_folder(path.parent)


def _require_private(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{path} is not a folder; move it away or name another one")
    if found.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to another account; name a folder of your own")
    if found.st_mode & 0o077:
        raise ConfigError(f"{path} is open to other accounts; close it with: chmod 700 {path}")


_OWN_TROUBLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO})
"""What says nothing about a file: we, or the machine, have too much open, or its disk fails."""


def open_nofollow(dir_fd: int, name: str) -> int:
    """Open the plain file ``name`` in the open folder ``dir_fd`` for reading; the caller closes what it gets.

    Raises UnsafeFileError when ``name`` is more than one component, or is a symbolic link, folder, pipe or
    device; FileNotFoundError when absent; OSError when that cannot be told now. Never blocks on a pipe
    that someone planted there.
    """
    if "/" in name or "\0" in name or name in ("", ".", ".."):
        raise UnsafeFileError("file.name", f"{name!r} is not a plain file name")
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    except FileNotFoundError:
        raise
    except OSError as error:  # ELOOP for a link, ENXIO for a socket
        if error.errno in _OWN_TROUBLE:
            raise
        raise UnsafeFileError("file.kind", f"{name!r} cannot be opened as a plain file: {error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnsafeFileError("file.kind", f"{name!r} is not a plain file")
    return descriptor


def open_plain(path: Path) -> io.FileIO:
    """Open the file at ``path``, which a person named, for reading; links are followed.

    Raises UnsafeFileError for a pipe, socket or device, and never waits for what one may have to say; OSError when
    it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return io.FileIO(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise UnsafeFileError("file.kind", f"{path} is a pipe or a device; save what it gives as a file first")


def read_small(path: Path, limit: int) -> bytes:
    """The whole file at ``path``, of at most ``limit`` bytes; links are followed, for a person arranged it.

    Raises UnsafeFileError when it is larger (whatever its stated size) or no plain file, OSError when it cannot be
    read.
    """
    with open_plain(path) as file:
        parts: list[bytes] = []
        left = limit + 1
        while left and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
    if not left:
        raise UnsafeFileError("file.size", f"{path} is larger than {limit} bytes")
    return b"".join(parts)
