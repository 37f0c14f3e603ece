"""One running attempt, from its launch to its Ended: watches limits, ends it, counts what it used."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from itertools import islice

import msgspec

from cs.spawner import limits
from cs.spawner.channel import Channel
from cs.spawner.launch import launch
from cs.spawner.messages import Beat, Ended, LimitHit, LimitName, Limits, Run
from cs.spawner.proctree import MemoryGauge, ProcessTree
from cs.spawner.sweep import Reaper, sweep_children


def now() -> float:
    """Seconds on a clock that counts sleep: a suspended machine's time is wall time too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Usage(msgspec.Struct, frozen=True):
    """What an attempt was seen to use: seconds, bytes, processes; ``output`` is the larger of the two files."""

    wall_time: float = 0.0
    memory: int = 0
    output: int = 0
    processes: int = 0


def exceeded(allowed: Limits, usage: Usage) -> LimitHit | None:
    """The first limit that ``usage`` is over, in the order in which a person would look for the cause."""
    pairs: list[tuple[LimitName, float, float]] = [
        ("processes", allowed.processes, usage.processes),
        ("memory", allowed.memory, usage.memory),
        ("output", allowed.output, usage.output),
        ("wall_time", allowed.wall_time, usage.wall_time),
    ]
    return next((LimitHit(name, limit, used) for name, limit, used in pairs if used > limit), None)


class Attempt:
    """Everything below this process belongs to it. ``step`` whenever ``due`` has come or a child may have ended."""

    def __init__(self, run: Run, threads: int) -> None:
        """Starts the main process; the account runs ``threads`` threads already. Raises LaunchError."""
        self._allowed = run.limits
        self._gauge = MemoryGauge(run.limits.memory)
        self._tree = ProcessTree(os.getpid())
        self._usage = Usage()
        self._max_memory = 0
        self._stopped = False
        self._kill_at = float("inf")
        self._interval = limits.FIRST_SAMPLE
        self._started_at = now()
        self.channel = Channel(self._started_at)
        try:
            self.pid, self._outputs = launch(run, threads, self.channel)
        except BaseException:
            self.channel.close()
            raise
        finally:
            self.channel.forget_theirs()
        self.pidfd = os.pidfd_open(self.pid)
        self._reaper = Reaper(self.pid)
        self._sample_at = self._started_at + self._interval

    @property
    def due(self) -> float:
        """When the next step is needed, on this module's clock."""
        return min(self._sample_at, self._kill_at, self._started_at + self._allowed.wall_time)

    @property
    def beat(self) -> Beat:
        """The last measurement."""
        return Beat(self._usage.memory, self._usage.processes)

    def stop(self, grace: float) -> None:
        """Ask the main process's group to end now, and kill everything in ``grace`` seconds."""
        self._stopped = True
        self._kill_at = min(self._kill_at, now() + grace)
        if grace > 0:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)

    def step(self) -> Ended | None:
        """Look, judge, and when it is over clean up and report."""
        self._reaper.reap()
        if self._reaper.status is not None or now() >= self._kill_at:
            return self.end(None)
        if now() >= self.due:
            self._sample()
            if hit := exceeded(self._allowed, self._usage):
                return self.end(hit)
        return None

    def end(self, hit: LimitHit | None) -> Ended:
        """Kill and reap whatever is left of it, cut the output to its cap, and say how it went."""
        wall_seconds = now() - self._started_at
        killed, left = sweep_children(self._tree, self._reaper)
        output = self._close()
        exit_status, number = _decode(self._reaper.status)
        if hit is None and number == signal.SIGXFSZ:
            hit = LimitHit("file_size", self._allowed.file_size, self._allowed.file_size)
        if hit is None:  # what it printed in its last moments
            hit = exceeded(self._allowed, Usage(output=output))
        return Ended(
            exit_status=exit_status,
            signal=number,
            limit=hit,
            stopped=self._stopped,
            wall_seconds=wall_seconds,
            cpu_seconds=self._reaper.cpu_seconds,
            max_memory=max(self._max_memory, self._reaper.max_memory),
            strays=len(killed - {self.pid}),
            left=left,
        )

    def _sample(self) -> None:
        living = (process for process in self._tree.below() if process.lives)
        processes = list(islice(living, self._allowed.processes + 1))
        crowded = len(processes) > self._allowed.processes  # a bomb: every moment counts
        self._usage = Usage(
            wall_time=now() - self._started_at,
            memory=0 if crowded else self._gauge.measure(processes),
            output=self._output(),
            processes=len(processes),
        )
        self._max_memory = max(self._max_memory, self._usage.memory)
        self._interval = min(2 * self._interval, limits.SAMPLE)
        self._sample_at = now() + self._interval

    def _output(self) -> int:
        return max(os.fstat(output).st_size for output in self._outputs)

    def _close(self) -> int:
        """Let go of everything; the size of the larger output, which is then cut to its cap."""
        size = self._output()
        os.close(self.pidfd)
        self.channel.close()
        for output in self._outputs:
            if os.fstat(output).st_size > self._allowed.output:
                os.ftruncate(output, self._allowed.output)
            os.close(output)
        return size


def _decode(status: int | None) -> tuple[int | None, int | None]:
    """Exit status and signal of a wait status; neither when the process could not be killed."""
    if status is None:
        return None, None
    code = os.waitstatus_to_exitcode(status)
    return (code, None) if code >= 0 else (None, -code)
