"""A person's folder, looked at where needed and never through a link, and files that must stay what they were."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.names import ANSWER_FOLDER, shown
from rjs.errors import RefusedError

LEFT_OUT: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", ".tox", ".idea", ".vscode", "__pycache__", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".hypothesis", ".DS_Store", "Thumbs.db",
    }
)  # fmt: skip
LEFT_OUT_SUFFIXES: Final = (".pyc", "~", ".swp", ".part")


class UnfitFileError(Exception):
    """What lies there cannot go into a bundle; the message says why, as the rest of a sentence about it."""


class ChangedFileError(RefusedError):
    """A file is not the one that was looked at when packing began."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "pack", f"{path} changed while it was being packed; pack again when nothing writes to it"
        )


_Version = tuple[int, int, int, int, int]


@attrs.frozen
class DiskFile:
    """A plain file as it was found: reading it gives the bytes of that moment, or raises ChangedFileError.

    A file system's clock may be too coarse for two changes in one tick; ``sha256`` is what was read before, and
    must be read again. ``scratch`` is what removes the file when nobody holds it any more.
    """

    path: Path
    size: int
    executable: bool
    _version: _Version = attrs.field(repr=False)
    _sha256: bytes | None = attrs.field(default=None, repr=False)
    scratch: object = attrs.field(default=None, repr=False, eq=False)

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in bounded pieces. Nothing of it may be used before the iterator has ended."""
        try:
            file = io.FileIO(self.path, opener=_opened_itself)
        except OSError as error:
            raise ChangedFileError(self.path) from error
        running = hashlib.sha256() if self._sha256 else None
        with file:
            self._require(_version_of(os.fstat(file.fileno())) == self._version)
            left = self.size
            while left and (chunk := file.read(min(left, limits.READ_CHUNK_BYTES))):
                left -= len(chunk)
                if running:
                    running.update(chunk)
                yield chunk
            self._require(_version_of(os.fstat(file.fileno())) == self._version)
        self._require(running is None or running.digest() == self._sha256)

    def read(self) -> tuple[bytes, DiskFile]:
        """Return the whole content, and the file that has this content and no other."""
        content = b"".join(self.chunks())
        return content, attrs.evolve(self, sha256=hashlib.sha256(content).digest())

    def digest(self) -> bytes:
        """Return the SHA-256 of the content."""
        running = hashlib.sha256()
        for chunk in self.chunks():
            running.update(chunk)
        return running.digest()

    def _require(self, unchanged: bool) -> None:
        if not unchanged:
            raise ChangedFileError(self.path)


def _opened_itself(path: str, flags: int) -> int:
    """Open what lies there: follow no link, and wait for no writer of a pipe."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def look_at(path: Path) -> DiskFile:
    """Return the plain file at ``path`` as it is now; raises UnfitFileError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise UnfitFileError("is not there") from None
    if stat.S_ISLNK(found.st_mode):
        raise UnfitFileError("is a symbolic link; put what it leads to in its place")
    if not stat.S_ISREG(found.st_mode):
        raise UnfitFileError("is a pipe, socket, device or folder where a file belongs; remove it")
    if not os.access(path, os.R_OK):
        raise UnfitFileError("cannot be read; change its mode")
    return DiskFile(path, found.st_size, bool(found.st_mode & stat.S_IXUSR), _version_of(found))


def _version_of(found: os.stat_result) -> _Version:
    """What no writer leaves as it was: a change of the content alone moves the last two."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Tree:
    """The folder ``path`` and what is below it; names are relative to it, with slashes. Listings are kept.

    With ``only``, nothing else at the top is there.
    """

    def __init__(self, path: Path, only: Collection[str] | None = None) -> None:
        self.path = path
        self._only = only
        self._listings: dict[str, Mapping[str, os.DirEntry[str]]] = {}
        self._files: dict[str, DiskFile] = {}

    def listing(self, folder: str) -> Mapping[str, os.DirEntry[str]]:
        """Return the entries of ``folder`` ("" for the top), sorted by name; none where that is no folder of ours.

        A folder that cannot be read, or lies too deep for a bundle, has no entries: ``folder_fault`` says so.
        """
        if folder not in self._listings:
            self._listings[folder] = self._list(folder)
        return self._listings[folder]

    def entry(self, name: str) -> os.DirEntry[str] | None:
        """Return what is called ``name``, whatever it is; None where nothing is."""
        folder, _, last = name.rpartition("/")
        return self.listing(folder).get(last)

    def below(self, folder: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
        """Every entry below ``folder`` with its name, sorted; no link is entered, and nothing that stays out."""
        prefix = f"{folder}/" if folder else ""
        for last, entry in self.listing(folder).items():
            name = prefix + last
            yield name, entry
            if entry.is_dir(follow_symlinks=False) and not stays_out(name):
                yield from self.below(name)

    def look_at(self, name: str) -> DiskFile:
        """Return the file called ``name`` as it was at the first look; raises UnfitFileError."""
        if name not in self._files:
            self._files[name] = look_at(self.path / name)
        return self._files[name]

    def read(self, name: str) -> bytes:
        """Return the content of a file; what ``look_at`` gives from now on has this content or is refused."""
        content, self._files[name] = self.look_at(name).read()
        return content

    def _list(self, folder: str) -> Mapping[str, os.DirEntry[str]]:
        if folder:
            entry = self.entry(folder)
            if entry is None or not entry.is_dir(follow_symlinks=False) or folder_fault(folder, entry):
                return {}
        with os.scandir(self.path / folder) as entries:
            found = {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.name)}
        if folder or self._only is None:
            return found
        return {name: entry for name, entry in found.items() if name in self._only}


def folder_fault(name: str, entry: os.DirEntry[str]) -> str | None:
    """Say why the folder ``name`` is not entered; None where it is."""
    if name.count("/") >= limits.MAX_NAME_DEPTH:
        return f"{shown(name)} is deeper than {limits.MAX_NAME_DEPTH} folders"
    if not os.access(entry.path, os.R_OK | os.X_OK):
        return f"{shown(name)} cannot be read; change its mode"
    return None


def stays_out(name: str) -> bool:
    """Whether ``name`` is what editors, caches, version control or an old run leave in a folder."""
    last = name.rpartition("/")[2]
    return last in LEFT_OUT or last.endswith(LEFT_OUT_SUFFIXES) or name == ANSWER_FOLDER
