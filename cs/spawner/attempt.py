"""One running attempt, from its launch to its Ended: watches limits, ends it, counts what it used."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Protocol

from cs.spawner.channel import Channel
from cs.spawner.launch import launch
from cs.spawner.messages import Beat, Ended, LimitHit, Report, Run
from cs.spawner.outputs import Outputs
from cs.spawner.proctree import ProcessTree
from cs.spawner.sweep import Reaper, sweep_children
from cs.spawner.usage import Usage, Watch, exceeded, now


class Attempt(Protocol):
    """What the spawner's loop runs: ``step`` whenever ``due`` has come or one of ``waits`` is ready."""

    channel: Channel

    @property
    def waits(self) -> tuple[int, ...]:
        """Descriptors."""

    @property
    def due(self) -> float:
        """When the next step is needed, on the spawner's clock."""

    @property
    def beat(self) -> Beat:
        """The last measurement."""

    def stop(self, grace: float) -> None:
        """Ask the main process's group to end now, and kill everything in ``grace`` seconds."""

    def step(self) -> Report | None:
        """Look, judge, and when it is over (Ended, Failed) clean up and report."""


class UnconfinedAttempt:
    """Everything below this process belongs to it."""

    def __init__(self, run: Run, threads: int) -> None:
        """Starts the main process; the account runs ``threads`` threads already. Raises LaunchError."""
        self._allowed = run.limits
        self._stopped = False
        self._kill_at = float("inf")
        self._outputs = Outputs(run)
        self.channel = Channel(now())
        try:
            self.pid = launch(run, self._outputs, threads, self.channel)
        except BaseException:
            self.channel.close()
            self._outputs.discard()
            raise
        finally:
            self.channel.forget_theirs()
        self._pidfd = os.pidfd_open(self.pid)
        self._reaper = Reaper(self.pid)
        self._tree = ProcessTree(os.getpid())
        self._watch = Watch(
            run.limits, self._tree, self._outputs, run.sweep, past=lambda: self._reaper.cpu_seconds
        )

    @property
    def waits(self) -> tuple[int, ...]:
        """The main process, which may end."""
        return (self._pidfd,)

    @property
    def due(self) -> float:
        """When the next step is needed, on the spawner's clock."""
        return min(self._watch.due, self._kill_at)

    @property
    def beat(self) -> Beat:
        """The last measurement."""
        return Beat(self._watch.usage.memory, self._watch.usage.processes)

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
            return self._end(None)
        if now() >= self.due and (hit := self._watch.look()):
            return self._end(hit)
        return None

    def _end(self, hit: LimitHit | None) -> Ended:
        """Kill and reap whatever is left of it, cut the output to its cap, and say how it went."""
        wall_seconds = now() - self._watch.started_at
        killed, left = sweep_children(self._tree, self._reaper)
        os.close(self._pidfd)
        self.channel.close()
        output = self._outputs.close(self._allowed.output)
        exit_status, number = decoded(self._reaper.status)
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
            max_memory=max(self._watch.max_memory, self._reaper.max_memory),
            strays=len(killed - {self.pid}),
            left=left,
        )


def decoded(status: int | None) -> tuple[int | None, int | None]:
    """Exit status and signal of a wait status; neither when the process could not be killed."""
    if status is None:
        return None, None
    code = os.waitstatus_to_exitcode(status)
    return (code, None) if code >= 0 else (None, -code)
