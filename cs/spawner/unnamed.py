"""How many bytes of disk an attempt holds in files that have no name: removed while open, or never named.

No walk over folders finds them, and they last as long as somebody has them open. What a process has open is read
from /proc; one that does not let itself be read (it made itself undumpable) could hold anything.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from cs.spawner import limits
from cs.spawner.proctree import Process


class UnnamedFiles:
    """Looks at all descriptors of all processes, each time anew, for SWEEP_SHARE of the time at most."""

    def __init__(self, folder: str, allowed: int) -> None:
        """On the file system that ``folder`` is on; ``allowed`` is how many bytes are more than enough."""
        self._folder = folder
        self._allowed = allowed
        self._closed: set[int] = set()
        self._bytes = 0
        self._look_after = 0.0

    def measure(self, processes: Iterable[Process]) -> int:
        """Bytes, as the disk holds them; more than allowed when a process was closed to us twice in a row.

        Once is nothing: a task is a copy of its warden, which is closed, until it has become itself.
        """
        before = time.monotonic()
        if before >= self._look_after:
            self._bytes = self._measured(processes)
            after = time.monotonic()
            self._look_after = after + (after - before) * (1 / limits.SWEEP_SHARE - 1)
        return self._bytes

    def _measured(self, processes: Iterable[Process]) -> int:
        closed: set[int] = set()
        sizes: dict[tuple[int, int], int] = {}
        for process in processes:
            try:
                sizes.update(_held(process.pid))
            except PermissionError:
                if not _is_ending(process.pid):
                    closed.add(process.pid)
            except OSError:
                continue  # it is gone
        stubborn, self._closed = closed & self._closed, closed
        if stubborn:
            return self._allowed + 1
        device = _device(self._folder)
        return sum(size for (of, _), size in sizes.items() if of == device)


def _held(pid: int) -> dict[tuple[int, int], int]:
    """Sizes by device and number of file. Raises OSError."""
    sizes = {}
    folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(folder):  # noqa: PTH208 - names, of a folder that is open
            try:
                found = os.stat(name, dir_fd=folder)
            except FileNotFoundError:
                continue  # closed meanwhile
            if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                sizes[found.st_dev, found.st_ino] = found.st_blocks * 512
    finally:
        os.close(folder)
    return sizes


def _is_ending(pid: int) -> bool:
    """Whether none of its threads has memory any more: the kernel, which takes a while to free a lot of that, then
    closes its files, and shows them to nobody meanwhile."""
    try:
        return all(path.read_text().startswith("0 ") for path in Path(f"/proc/{pid}/task").glob("*/statm"))
    except OSError:
        return True  # it is gone


def _device(folder: str) -> int | None:
    try:
        return Path(folder).lstat().st_dev
    except OSError:
        return None
