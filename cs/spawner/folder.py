"""How many bytes and files are below an attempt's folder, counted a little at a time while the attempt changes them.

The folder is hostile: its task moves folders away from under us, makes them without end in number or depth, and links
anywhere. No link is followed and no path is looked up: every folder is opened from the one that it is in.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cs.spawner import limits

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_SLICE = 32
"""Entries between two looks at the clock."""


class Count(NamedTuple):
    """What was counted so far."""

    bytes: int = 0
    files: int = 0


class FolderGauge:
    """Bytes (as the disk holds them) and entries below a folder. A whole count may need many looks."""

    def __init__(self, path: str, allowed: int) -> None:
        """A folder that cannot be looked into counts as more than the ``allowed`` files."""
        self._path = path
        self._allowed = allowed
        self._walk: Iterator[Count] | None = None
        self._whole = Count()
        self._part = Count()

    @property
    def bytes(self) -> int:
        """The last whole count, or the one under way where that is more already."""
        return max(self._whole.bytes, self._part.bytes)

    @property
    def files(self) -> int:
        """So too, files, folders and whatever else has a name."""
        return max(self._whole.files, self._part.files)

    def look(self, seconds: float) -> None:
        """Go on counting for so long; from the beginning when the last count is whole."""
        deadline = time.monotonic() + seconds
        walk = self._walk = self._walk or self._counts()
        for self._part in walk:
            if time.monotonic() > deadline:
                return
        self._walk, self._whole, self._part = None, self._part, Count()

    def _counts(self) -> Iterator[Count]:
        """The count after each few entries, and in the end."""
        size = files = 0
        known: set[tuple[int, int]] = set()
        for found, deep in _below(self._path):
            files += self._allowed + 1 if deep else 1
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if (found.st_dev, found.st_ino) in known:
                    continue
                known.add((found.st_dev, found.st_ino))
            size += found.st_blocks * 512
            if files % _SLICE == 0 or files > self._allowed:
                yield Count(size, files)
        yield Count(size, files)


def _below(path: str) -> Iterator[tuple[os.stat_result, bool]]:
    """What is below ``path``, and whether it is a folder that cannot be looked into: too deep, or closed to us."""
    trail: list[tuple[int, list[str]]] = []
    try:
        yield from _enter(trail, path, None)
        while trail:
            here, folders = trail[-1]
            if folders:
                yield from _enter(trail, folders.pop(), here)
            else:
                os.close(trail.pop()[0])
    finally:
        for here, _ in trail:
            os.close(here)


def _enter(
    trail: list[tuple[int, list[str]]], name: str, parent: int | None
) -> Iterator[tuple[os.stat_result, bool]]:
    """Add the folder to ``trail``, and give out what is in it."""
    try:
        trail.append((os.open(name, _FOLDER, dir_fd=parent), []))
        yield from _entries(trail)
    except PermissionError:  # closed to us, and not to who stands in it
        yield Path(name).lstat() if parent is None else os.fstat(parent), True
    except OSError:
        pass  # it is gone, or no folder any more


def _entries(trail: list[tuple[int, list[str]]]) -> Iterator[tuple[os.stat_result, bool]]:
    """What is in the last folder of ``trail``, whose folders are noted there."""
    here, folders = trail[-1]
    with os.scandir(here) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except PermissionError:  # names may be read here, and no more
                yield os.fstat(here), True
                continue
            except OSError:
                continue
            folder = stat.S_ISDIR(found.st_mode)
            deep = folder and len(trail) >= limits.SWEEP_DEPTH
            if folder and not deep:
                folders.append(entry.name)
            yield found, deep
