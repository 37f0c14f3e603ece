"""Killing everything below the spawner, and reaping it. Code that must be read twice.

The attackers: processes that leave session and group (setsid, double fork), ignore signals, fork faster than they
are killed (a bomb), or fork and exit at every step so that each number seen is stale (a comet). All stop first:
a stopped process can neither fork nor wake its friends. What was seen once alive is caught for ever.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

from cs.spawner import limits
from cs.spawner.proctree import ProcessTree

_WALL = 0x40000000  # __WALL, wait(2): also children whose end sends another signal than SIGCHLD


class Reaper:
    """Collects every child of this process that ended: processor time, memory, and the status of one of them."""

    def __init__(self, main: int = 0) -> None:
        """``main`` is the number of the child whose status matters; a job may have any number of others."""
        self._main = main
        self.status: int | None = None
        """The wait status of the main process, once it has ended."""
        self.cpu_seconds = 0.0
        self.max_memory = 0

    def reap(self) -> bool:
        """Collect all that ended, without waiting. True while children exist; False proves that none is left.

        An orphan becomes our child, so no child means no descendant: the kernel's own word, without a race.
        """
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._main:
                self.status = status
            self.cpu_seconds += usage.ru_utime + usage.ru_stime
            self.max_memory = max(self.max_memory, usage.ru_maxrss * 1024)


class Sweep:
    """Ends all processes of a tree in repeated passes; the caller reaps, pauses and decides when to give up."""

    def __init__(self, tree: ProcessTree) -> None:
        self._tree = tree
        self._stopped: set[int] = set()
        self.killed: set[int] = set()

    def strike(self) -> int:
        """One pass: stop what is new, or, when all that was seen is stopped, kill it. Returns how many it saw."""
        seen = []
        new = False
        for process in self._tree.below():
            seen.append(process)
            if process.pid not in self._stopped:
                new = True
                self._stopped.add(process.pid)
                _send(process.pid, signal.SIGSTOP)
        if not new:
            self.killed.update(process.pid for process in seen if process.lives)
            for process in seen:
                _send(process.pid, signal.SIGKILL)
        return len(seen)


def sweep_children(tree: ProcessTree, reaper: Reaper, seconds: float = limits.SWEEP) -> tuple[set[int], int]:
    """Kill and reap until this process, the root of ``tree``, has no child left, or ``seconds`` have passed.

    Returns the numbers of the processes that had to be killed, and how many are left.
    """
    sweep = Sweep(tree)
    deadline = time.monotonic() + seconds
    while reaper.reap():
        if time.monotonic() > deadline:
            return sweep.killed, max(1, sum(1 for _ in tree.below()))
        if not sweep.strike():
            time.sleep(limits.SWEEP_PAUSE)
    return sweep.killed, 0


def _send(pid: int, number: int) -> None:
    """Signal a process that was below us a moment ago. It may be gone; numbers are given out in a circle, so that
    nobody else has got its number since."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
