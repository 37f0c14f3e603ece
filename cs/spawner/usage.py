"""What an attempt uses, measured again and again from outside, and which of its limits that is over."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from cs.spawner import limits
from cs.spawner.folder import FolderGauge
from cs.spawner.messages import LimitHit, LimitName, Limits
from cs.spawner.outputs import Outputs
from cs.spawner.proctree import MemoryGauge, Process, ProcessTree
from cs.spawner.unnamed import UnnamedFiles


def now() -> float:
    """Seconds on a clock that counts sleep: a suspended machine's time is wall time too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Usage(msgspec.Struct, frozen=True):
    """What an attempt was seen to use: seconds, bytes, processes; ``output`` is the larger of the two files."""

    wall_time: float = 0.0
    memory: int = 0
    output: int = 0
    processes: int = 0
    cpu_time: float = 0.0
    disk: int = 0
    files: int = 0


def exceeded(allowed: Limits, usage: Usage) -> LimitHit | None:
    """The first limit that ``usage`` is over, in the order in which a person would look for the cause."""
    pairs: list[tuple[LimitName, float, float]] = [
        ("processes", allowed.processes, usage.processes),
        ("memory", allowed.memory, usage.memory),
        ("disk", allowed.disk, usage.disk),
        ("files", allowed.files, usage.files),
        ("output", allowed.output, usage.output),
        ("cpu_time", allowed.cpu_time, usage.cpu_time),
        ("wall_time", allowed.wall_time, usage.wall_time),
    ]
    return next((LimitHit(name, limit, used) for name, limit, used in pairs if used > limit), None)


class Watch:
    """The looks at one attempt: often at first, since most tasks are short, then at a steady pace."""

    def __init__(
        self,
        allowed: Limits,
        tree: ProcessTree,
        outputs: Outputs,
        sweep: str,
        past: Callable[[], float],
        held: Callable[[], int] = lambda: 0,
    ) -> None:
        """``past`` says the processor time of what has ended, ``held`` the bytes of files in memory."""
        self.started_at = now()
        self.usage = Usage()
        self.max_memory = 0
        self._allowed = allowed
        self._tree = tree
        self._outputs = outputs
        self._past = past
        self._held = held
        self._gauge = MemoryGauge(allowed.memory)
        self._folder = FolderGauge(sweep, allowed.files) if sweep else None
        self._unnamed = UnnamedFiles(sweep, allowed.disk)
        self._interval = limits.FIRST_SAMPLE
        self._look_at = self.started_at + self._interval

    @property
    def due(self) -> float:
        """When the next look is needed, on this module's clock."""
        return min(self._look_at, self.started_at + self._allowed.wall_time)

    def look(self) -> LimitHit | None:
        """Measure; the first limit that it is over."""
        living, ended = self._processes()
        crowded = len(living) > self._allowed.processes  # a bomb: every moment counts
        disk = files = 0
        if self._folder is not None and not crowded:
            self._folder.look(self._interval * limits.SWEEP_SHARE)
            disk, files = self._folder.bytes + self._unnamed.measure(living), self._folder.files
        self.usage = Usage(
            wall_time=now() - self.started_at,
            memory=0 if crowded else self._gauge.measure(living, self._held()),
            output=self._outputs.size(),
            processes=len(living),
            cpu_time=self._past() + ended + sum(process.cpu_seconds for process in living),
            disk=disk,
            files=files,
        )
        self.max_memory = max(self.max_memory, self.usage.memory)
        self._interval = min(2 * self._interval, limits.SAMPLE)
        self._look_at = now() + self._interval
        return exceeded(self._allowed, self.usage)

    def _processes(self) -> tuple[list[Process], float]:
        """The living, as far as they are worth counting, and the processor time of the dead among them."""
        living, ended = [], 0.0
        for process in self._tree.below():
            if process.lives:
                living.append(process)
            else:
                ended += process.cpu_seconds
            if len(living) > self._allowed.processes:
                break
        return living, ended
