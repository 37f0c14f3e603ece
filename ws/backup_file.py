"""The file that a backup is: a tar archive whose last entry lists the others with their digests.

It is the operator's own, holds secret keys, and any tar reads it; all the same nothing in it is believed before it is
checked. Reading refuses whatever is not written here: other kinds of entries, other names, bytes that differ, an end
that is missing.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Final

import attrs
import msgspec

from rjs.errors import ConfigError, RefusedError
from rjs.files import make_private_folder, open_plain, sync_folder

LIST: Final = "backup.json"
FORMAT: Final = 1

_LIST_BYTES: Final = 64 << 20
_PART: Final = 1 << 20
_COMPONENT: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}"
_NAME: Final = re.compile(rf"(?:{_COMPONENT}/){{0,5}}{_COMPONENT}")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One file of a backup: its name, its length in bytes, its SHA-256."""

    name: str
    size: int
    sha256: str


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, and of which cluster. ``made`` is Unix time."""

    format: int = FORMAT
    release: str
    cluster: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    made: float
    entries: tuple[Entry, ...] = ()


def is_backup_name(name: str) -> bool:
    """Whether a file may stand in a backup under this name: hidden and unfinished ones may not."""
    return _NAME.fullmatch(name) is not None


def write_backup(target: Path, contents: Contents, files: Iterable[tuple[str, Path]]) -> Contents:
    """Write a backup with ``files`` (names, and where they are now) to ``target``, 0600; replaces a file there.

    Durable on return, and there whole or not at all. A file that is gone by the time that it is read is left out.
    Returns ``contents`` with what was written. Raises OSError.
    """
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.unlink(missing_ok=True)
    made = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(made, "wb") as file:
            with tarfile.open(fileobj=file, mode="w") as archive:
                contents = msgspec.structs.replace(contents, entries=tuple(_added(archive, files)))
                _add(archive, LIST, io.BytesIO(listed := msgspec.json.encode(contents)), len(listed))
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return contents


def _added(archive: tarfile.TarFile, files: Iterable[tuple[str, Path]]) -> Iterable[Entry]:
    for name, path in files:
        with suppress(FileNotFoundError), path.open("rb") as file:
            yield _add(archive, name, file, os.fstat(file.fileno()).st_size)


def _add(archive: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> Entry:
    described, measured = tarfile.TarInfo(name), _Measured(file)
    described.size, described.mode = size, 0o600
    archive.addfile(described, measured)  # type: ignore[arg-type]  # it is read, and no more
    return Entry(name, size, measured.digest.hexdigest())


@attrs.frozen
class _Measured:
    """A file that is hashed as it is read."""

    file: IO[bytes]
    digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)

    def read(self, length: int) -> bytes:
        data = self.file.read(length)
        self.digest.update(data)
        return data


def read_backup(source: Path, folder: Path) -> Contents:
    """Put the files of the backup ``source`` into the empty ``folder``, private and durable.

    Raises RefusedError, code ``backup``, for what is no whole backup, and OSError; then ``folder`` holds rubbish.
    """
    try:
        with open_plain(source) as raw, tarfile.open(fileobj=raw, mode="r:") as archive:
            found = {entry.name: entry for entry in _taken_out(archive, folder)}
    except (tarfile.TarError, EOFError, FileExistsError, ConfigError) as error:
        raise _refused(source, f"it is no backup, or was cut off ({error})") from error
    return _listed(source, folder, found)


def _taken_out(archive: tarfile.TarFile, folder: Path) -> Iterable[Entry]:
    for each in archive:
        if each.type != tarfile.REGTYPE or each.issparse() or not is_backup_name(each.name):
            raise tarfile.TarError(f"{each.name!r} is not for a backup")
        path = folder / each.name
        make_private_folder(path.parent)
        source = archive.extractfile(each)
        assert source is not None  # it is a plain file
        measured = _Measured(source)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            while data := measured.read(_PART):
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield Entry(each.name, each.size, measured.digest.hexdigest())


def _listed(source: Path, folder: Path, found: dict[str, Entry]) -> Contents:
    """The list of contents, if it is there and tells of exactly what was found."""
    own = found.pop(LIST, None)
    if own is None or own.size > _LIST_BYTES:
        raise _refused(source, "its list of contents is missing: it was cut off, or is no backup")
    try:
        contents = msgspec.json.decode((folder / LIST).read_bytes(), type=Contents)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refused(source, f"its list of contents cannot be read ({error})") from error
    if contents.format != FORMAT:
        raise _refused(source, f"its format {contents.format} is of a newer release than this")
    if {entry.name: entry for entry in contents.entries} != found:
        raise _refused(source, "its files are not those of its list of contents")
    return contents


def _refused(source: Path, why: str) -> RefusedError:
    return RefusedError("backup", f"{source} cannot be restored: {why}")
