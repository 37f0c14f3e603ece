"""A read-only window on a part of a file, so that each archive in it is read and judged by itself.

It copies nothing and buffers nothing: what is read was in the file at that moment, also where bytes came after the
window was opened. It never moves the file's own position, and does not own the file. Of a file of which only parts
came, it reads no holes.
"""

from __future__ import annotations

import bisect
import io
import os
from typing import Protocol

from rjs.bundle.errors import BundleRefusedError


class ArchiveFile(Protocol):
    """The part of an open binary file that reading an archive needs."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there; returns the position."""
        ...

    def read(self, size: int, /) -> bytes:
        """The bytes there, fewer than ``size`` only at the end."""
        ...

    def close(self) -> None:
        """Read no more."""
        ...


class OpenFile(Protocol):
    """What a window looks at: an open file of the operating system."""

    def fileno(self) -> int:
        """Its descriptor; raises ValueError when it was closed."""
        ...


class AbsentError(BundleRefusedError):
    """Bytes were asked for that have not come; ``place``, in the whole file, is the first of their ranges."""

    def __init__(self, place: range) -> None:
        super().__init__("file-changed", f"bytes {place.start} to {place.stop - 1} of the file are not here")
        self.place = place


class Present:
    """Which ranges of a file have come."""

    def __init__(self) -> None:
        self._starts: list[int] = []  # of ranges that neither overlap nor touch, in their order
        self._stops: list[int] = []

    def add(self, place: range) -> None:
        """The bytes ``place`` are there now."""
        if not place:
            return
        first = bisect.bisect_left(self._stops, place.start)
        after = bisect.bisect_right(self._starts, place.stop)
        merged = first < after
        start = min(place.start, self._starts[first]) if merged else place.start
        stop = max(place.stop, self._stops[after - 1]) if merged else place.stop
        self._starts[first:after] = [start]
        self._stops[first:after] = [stop]

    def missing(self, place: range) -> list[range]:
        """The ranges of ``place`` that have not come, in their order."""
        holes = []
        position = place.start
        index = bisect.bisect_right(self._stops, position)
        while position < place.stop:
            start = self._starts[index] if index < len(self._starts) else place.stop
            if position < start:
                holes.append(range(position, min(start, place.stop)))
            position = self._stops[index] if index < len(self._stops) else place.stop
            index += 1
        return holes


class Window(io.RawIOBase):
    """The bytes ``place`` of ``file``, as a file of its own. With ``present``, only these ranges of the file can be
    read: any other raises AbsentError."""

    def __init__(self, file: OpenFile, place: range, present: Present | None = None) -> None:
        self._file = file
        self._place = place
        self._present = present
        self._position = 0

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def seekable(self) -> bool:
        """Anywhere within it."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to ``offset`` from the beginning, the position or the end; raises ValueError before the beginning."""
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: len(self._place)}[whence]
        if origin + offset < 0:
            raise ValueError("a position before the beginning")
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, fewer only where the window or the file ends; all that follow when negative."""
        left = max(0, len(self._place) - self._position)
        start = self._place.start + self._position
        wanted = range(start, start + (left if size < 0 else min(size, left)))
        if self._present is not None and (holes := self._present.missing(wanted)):
            raise AbsentError(holes[0])
        data = os.pread(self._file.fileno(), len(wanted), start)
        self._position += len(data)
        return data
