"""Which processes live below one process, and how much memory they use, read from /proc.

Reading is racy by nature: processes appear and end between two looks. What must be exact (is anything left?)
is asked of wait(2) instead, because every orphan becomes the spawner's child. A /proc mounted with hidepid hides
processes that refuse to be traced; such a process escapes the polled limits until its parents have ended.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from cs.spawner import limits

PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


class Process(NamedTuple):
    """One line of /proc/PID/stat, as far as we need it."""

    pid: int
    state: str
    parent: int
    session: int
    threads: int
    cpu_seconds: float = 0.0
    """User and system time of it and of the children that it waited for."""

    @property
    def lives(self) -> bool:
        """Some thread of it still runs; the first one may have ended, which shows as a zombie."""
        return self.state not in ("Z", "X") or self.threads > 1


def read_process(pid: int) -> Process | None:
    """The process ``pid`` as it is now; None when it is gone."""
    line = _read(f"/proc/{pid}/stat")
    if line is None:
        return None
    fields = line[line.rindex(b")") + 2 :].split()  # the name may contain spaces and brackets
    ticks = sum(map(int, fields[11:15]))
    return Process(pid, fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[17]), ticks / TICKS)


class ProcessTree:
    """The living and the dead (zombies) below ``root``, through those of its children that ``accept`` admits.

    Remembers which processes were seen elsewhere: nothing moves below us later, so that each look reads only
    what is new and what is ours. A number that was reused between two looks could hide a process; so the memory
    does not last.
    """

    _REMEMBERED = 64
    """Looks after which everything is read anew."""

    def __init__(self, root: int, accept: Callable[[Process], bool] = lambda child: True) -> None:
        self._root = root
        self._accept = accept
        self._elsewhere: set[int] = set()
        self._looks = 0

    def below(self) -> Iterator[Process]:
        """Every process below the root whose chain of parents can be followed now, the newest numbers first.

        Each is given out as soon as it is found, so that the caller can act before its number is stale.
        """
        listed = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - names, at speed
        self._looks = (self._looks + 1) % self._REMEMBERED
        self._elsewhere = self._elsewhere & listed if self._looks else set()
        found: dict[int, Process | None] = {}
        verdicts: dict[int, bool | None] = {0: False, self._root: False}
        for pid in sorted(listed - self._elsewhere, reverse=True):
            if self._verdict(pid, found, verdicts) and (process := found[pid]) is not None:
                yield process

    def _verdict(
        self, pid: int, found: dict[int, Process | None], verdicts: dict[int, bool | None]
    ) -> bool | None:
        """Is ``pid`` below the root? None when a parent on the way is gone. Remembers the answers on the way."""
        path = []
        while pid not in verdicts and pid not in self._elsewhere:
            verdicts[pid] = None  # ends a circle, which reused numbers can draw
            path.append(pid)
            process = found[pid] = read_process(pid)
            if process is None:
                break
            if process.parent == self._root:
                verdicts[path.pop()] = self._accept(process)
            else:
                pid = process.parent
        verdict = False if pid in self._elsewhere else verdicts[pid]
        verdicts.update(dict.fromkeys(path, verdict))
        if verdict is False:
            self._elsewhere.update(path)
        return verdict


class Census:
    """How many threads the account runs on this machine, as RLIMIT_NPROC counts them."""

    def __init__(self) -> None:
        self._count = 0
        self._good_until = -1.0

    def threads(self) -> int:
        """The count, at most CENSUS seconds old."""
        if time.monotonic() > self._good_until:
            pids = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names, at speed
            self._count = sum(_threads_if_ours(pid) for pid in pids)
            self._good_until = time.monotonic() + limits.CENSUS
        return self._count


def _threads_if_ours(pid: str) -> int:
    text = _read(f"/proc/{pid}/status")
    if text is None:
        return 0
    fields = dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)
    ours = int(fields[b"Uid"].split()[0]) == os.getuid()
    return int(fields[b"Threads"]) if ours else 0


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

    def measure(self, processes: Collection[Process], held: int = 0) -> int:
        """Bytes now; at most the true use plus what is shared, and exact (PSS) where that would be over.

        ``held`` bytes are in files in memory, which processes may have mapped as well. The limit itself when it is
        too early for another exact reading.
        """
        resident = held + sum(map(memory_of, processes))
        if resident <= self._allowed:
            return resident
        before = time.monotonic()
        if before < self._exact_after:
            return self._allowed
        exact = min(
            _proportional_sum(processes, held) for _ in range(2)
        )  # what moves between two readings counts twice
        after = time.monotonic()
        self._exact_after = after + (after - before) * (1 / limits.PSS_SHARE - 1)
        return exact


def memory_of(process: Process) -> int:
    """Bytes of its resident set, its own and what it shares with others, and of its page tables."""
    pid = process.pid
    if (
        process.state == "Z" and process.threads > 1
    ):  # its first thread ended: the others still have the memory
        return max((_resident(f"/proc/{pid}/task/{tid}") for tid in _threads(pid)), default=0)
    return _resident(f"/proc/{pid}")


def _resident(folder: str) -> int:
    line = _read(f"{folder}/statm")
    if line is None:
        return 0
    size, resident, *_ = line.split()
    return int(resident) * PAGE + (_tables(folder) if int(size) * PAGE > limits.TABLES_COUNT else 0)


def _tables(folder: str) -> int:
    """Bytes of page tables, which are in no resident set."""
    for line in (_read(f"{folder}/status") or b"").splitlines():
        if line.startswith(b"VmPTE:"):
            return int(line.split()[1]) * 1024
    return 0


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - names, at speed
    except OSError:
        return []


def _proportional_sum(processes: Iterable[Process], held: int) -> int:
    total = shared = 0
    for process in processes:
        proportional, mapped = _proportional(process)
        total += proportional
        shared += mapped
    return total + max(0, held - shared)  # what is mapped was counted with its processes


def _proportional(process: Process) -> tuple[int, int]:
    """Bytes of its own with its share of others; how much of that is of files in memory."""
    text = _read(f"/proc/{process.pid}/smaps_rollup")
    found = {}
    for line in text.splitlines() if text else ():
        if line.startswith(b"Pss"):
            name, size, *_ = line.split()
            found[name] = int(size) * 1024
    if b"Pss:" not in found:
        return memory_of(process), 0  # it does not let itself be read, or is gone
    return found[b"Pss:"] + _tables(f"/proc/{process.pid}"), found.get(b"Pss_Shmem:", 0)


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
