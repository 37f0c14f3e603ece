"""Which processes live below one process, and how much memory they use, read from /proc.

Reading is racy by nature: processes appear and end between two looks. What must be exact (is anything left?)
is asked of wait(2) instead, because every orphan becomes the spawner's child. A /proc mounted with hidepid hides
processes that refuse to be traced; such a process escapes the polled limits until its parents have ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from cs.spawner import limits

PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """One line of /proc/PID/stat, as far as we need it."""

    pid: int
    state: str
    parent: int
    session: int
    threads: int


def read_process(pid: int) -> Process | None:
    """The process ``pid`` as it is now; None when it is gone."""
    line = _read(f"/proc/{pid}/stat")
    if line is None:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name may contain spaces and brackets
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[17]))


class ProcessTree:
    """The living and the dead (zombies) below ``root``, through those of its children that ``accept`` admits.

    Remembers which processes were seen elsewhere: nothing moves below us later, so that each look reads only
    what is new and what is ours. A number that was reused between two looks is the one way to be wrong.
    """

    def __init__(self, root: int, accept: Callable[[Process], bool] = lambda child: True) -> None:
        self._root = root
        self._accept = accept
        self._elsewhere: set[int] = set()

    def below(self) -> list[Process]:
        """Every process below the root whose chain of parents could be followed in this look."""
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names, at speed
        self._elsewhere &= listed
        found = {pid: process for pid in listed - self._elsewhere if (process := read_process(pid))}
        verdicts: dict[int, bool | None] = {0: False, self._root: False}
        ours = []
        for pid, process in found.items():
            verdict = self._verdict(pid, found, verdicts)
            if verdict:
                ours.append(process)
            elif verdict is False:
                self._elsewhere.add(pid)
        return ours

    def _verdict(self, pid: int, found: dict[int, Process], verdicts: dict[int, bool | None]) -> bool | None:
        """Is ``pid`` below the root? None when a parent on the way vanished; remembers the answers on the way."""
        path = []
        verdict: bool | None = None
        while pid not in verdicts:
            if pid in self._elsewhere or (process := found.get(pid)) is None:
                verdict = False if pid in self._elsewhere else None
                break
            verdicts[pid] = None  # ends a circle, which reused numbers can draw
            path.append(pid)
            if process.parent == self._root:
                verdict = self._accept(process)
                break
            pid = process.parent
        else:
            verdict = verdicts[pid]
        verdicts.update(dict.fromkeys(path, verdict))
        return verdict


class MemoryGauge:
    """Bytes that a set of processes uses together.

    The sum of resident sets is cheap and cannot be forged, but counts pages once for each process that shares
    them, as forked workers do. Only when it is over the limit are proportional sets (PSS) read, which the
    kernel computes page by page: so at most PSS_SHARE of the time. A process that does not let itself be read
    counts with its resident set.
    """

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._exact_after = 0.0

    def measure(self, processes: Iterable[Process]) -> int:
        """Bytes now; at most the true use plus what is shared, and exact (PSS) where that would be over."""
        sizes = {process: _resident(process) for process in processes}
        resident = sum(sizes.values())
        if resident <= self._allowed:
            return resident
        before = time.monotonic()
        if before < self._exact_after:
            return min(resident, self._allowed)
        exact = sum(_proportional(process, size) for process, size in sizes.items())
        after = time.monotonic()
        self._exact_after = after + (after - before) * (1 / limits.PSS_SHARE - 1)
        return exact


def _resident(process: Process) -> int:
    pid = process.pid
    if (
        process.state == "Z" and process.threads > 1
    ):  # its first thread ended: the others still have the memory
        return max((_statm(f"/proc/{pid}/task/{tid}/statm") for tid in _threads(pid)), default=0)
    return _statm(f"/proc/{pid}/statm")


def _statm(path: str) -> int:
    line = _read(path)
    return int(line.split()[1]) * PAGE if line else 0


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names, at speed
    except OSError:
        return []


def _proportional(process: Process, resident: int) -> int:
    text = _read(f"/proc/{process.pid}/smaps_rollup")
    for line in text.splitlines() if text else ():
        if line.startswith(b"Pss:"):
            return min(resident, int(line.split()[1]) * 1024)
    return resident


def _read(path: str) -> bytes | None:
    """A small /proc file whole; None when its process is gone or does not let itself be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 8192) or None
    except OSError:
        return None
    finally:
        os.close(descriptor)
