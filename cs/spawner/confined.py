"""One running attempt in a cell. The warden says how its main process ended; nothing else is taken from it.

What the attempt uses is measured here, from outside, and whatever is over ends the whole cell.
"""

from __future__ import annotations

import math
import os
import resource
import signal

from cs.sandbox.cell import Cell, Word
from cs.sandbox.cells import Cells
from cs.sandbox.ways import CellError
from cs.spawner import limits
from cs.spawner.attempt import decoded
from cs.spawner.channel import Channel
from cs.spawner.errors import LaunchError
from cs.spawner.messages import Beat, Ended, Failed, FailedCode, LimitHit, Report, Run, Sandbox, Started
from cs.spawner.outputs import Outputs
from cs.spawner.proctree import ProcessTree, memory_of, read_process
from cs.spawner.usage import Usage, Watch, exceeded, now


class ConfinedAttempt:
    """Has a cell to itself from its start to its end."""

    def __init__(self, run: Run, sandbox: Sandbox, cells: Cells) -> None:
        """Finds it a cell and hands it over; Started comes from ``step``. Raises LaunchError."""
        self._allowed = run.limits
        self._cells = cells
        self._runs = self._stopped = False
        self._kill_at = float("inf")
        self._answer_by = float("inf")
        self._outputs = Outputs(run)
        self.channel = Channel(now())
        self._cell = self._started_in(run, sandbox)
        self._before = self._past()
        self._watch = Watch(
            run.limits, ProcessTree(self._cell.pid), self._outputs, run.sweep,
            past=lambda: self._past() - self._before, held=self._held,
        )  # fmt: skip
        if self._cell.used:
            self._answer_by = now() + limits.CELL_ANSWER
        self._cell.used = True

    def _started_in(self, run: Run, sandbox: Sandbox) -> Cell:
        cell = None
        try:
            cell = self._cells.take(sandbox)
            outputs = [*self._outputs.descriptors, self.channel.theirs.fileno()]
            cell.tell(_task(run, self.channel), outputs)
        except CellError as error:
            if cell is not None:
                self._cells.end(cell)
            self.channel.close()
            self._outputs.discard()
            raise LaunchError("spawner.sandbox", str(error)) from error
        finally:
            self.channel.forget_theirs()
        return cell

    @property
    def listener(self) -> int | None:
        """The socket that listens inside; it stays the cell's."""
        return self._cell.listener

    @property
    def waits(self) -> tuple[int, ...]:
        """The warden, which may speak or end."""
        return self._cell.connection.fileno(), self._cell.pidfd

    @property
    def due(self) -> float:
        """When the next step is needed, on the spawner's clock."""
        return min(self._watch.due, self._kill_at, self._answer_by)

    @property
    def beat(self) -> Beat:
        """The last measurement."""
        return Beat(self._watch.usage.memory, self._watch.usage.processes)

    def stop(self, grace: float) -> None:
        """Ask the main process's group to end now, and kill everything in ``grace`` seconds."""
        self._stopped = True
        self._kill_at = min(self._kill_at, now() + grace)
        if grace > 0:
            try:
                self._cell.tell({"stop": True})
            except CellError:
                self._kill_at = now()

    def step(self) -> Report | None:
        """Look, judge, and when it is over clean up and report."""
        try:
            words = self._cell.hear()
        except CellError:
            return self._killed(None)
        if words:
            return self._heard(words[0])
        if now() >= self._kill_at:
            return self._killed(None)
        if now() >= self._answer_by:
            return self._failed("spawner.sandbox", "the warden of a cell did not answer and was killed")
        if now() >= self._watch.due and (hit := self._watch.look()):
            return self._killed(hit)
        return None

    def _heard(self, word: Word) -> Report:
        """The warden's word: of a start, of none, or of an end."""
        if word.started is not None:
            self._answer_by = float("inf")
            self._runs = True
            return Started(self._cell.pid)
        if word.ended is not None and os.WIFEXITED(word.ended) | os.WIFSIGNALED(word.ended):
            return self._ended(word)
        if self._runs or word.failed is None:
            return self._killed(None)
        if word.odd:
            return self._failed("spawner.sandbox", word.failed)
        self._cells.give_back(self._cell, now())
        return self._failed("spawner.program", word.failed)

    def _ended(self, word: Word) -> Ended:
        """By itself; its cell is used again unless something is odd about it."""
        wall_seconds = now() - self._watch.started_at
        if word.odd:
            self._cells.end(self._cell)
        else:
            self._cells.give_back(self._cell, now())
        exit_status, number = decoded(word.ended)
        return self._report(exit_status, number, None, wall_seconds, word)

    def _killed(self, hit: LimitHit | None) -> Ended:
        """The whole cell, for a limit or because of a stop; or it died."""
        wall_seconds, usage = now() - self._watch.started_at, self._watch.usage
        gone = self._cells.end(self._cell)
        seen = Word(cpu=usage.cpu_time, strays=max(0, usage.processes - 1))
        return self._report(
            None, signal.SIGKILL if gone else None, hit, wall_seconds, seen, left=int(not gone)
        )

    def _report(
        self,
        exit_status: int | None,
        number: int | None,
        hit: LimitHit | None,
        wall_seconds: float,
        word: Word,
        left: int = 0,
    ) -> Ended:
        self.channel.close()
        output = self._outputs.close(self._allowed.output)
        cpu_seconds = max(word.cpu, self._watch.usage.cpu_time)
        return Ended(
            exit_status=exit_status,
            signal=number,
            limit=hit or self._kept_by_the_kernel(number, Usage(output=output, cpu_time=cpu_seconds)),
            stopped=self._stopped,
            wall_seconds=wall_seconds,
            cpu_seconds=cpu_seconds,
            max_memory=max(self._watch.max_memory, word.memory),
            strays=word.strays,
            left=left,
        )

    def _kept_by_the_kernel(self, number: int | None, usage: Usage) -> LimitHit | None:
        """The limit that the main process died of, or that nobody looked at in its last moments."""
        allowed = self._allowed
        if number == signal.SIGXFSZ:
            return LimitHit("file_size", allowed.file_size, allowed.file_size)
        if number == signal.SIGXCPU:
            return LimitHit("cpu_time", allowed.cpu_time, max(allowed.cpu_time, usage.cpu_time))
        return exceeded(allowed, usage)

    def _failed(self, code: FailedCode, sentence: str) -> Failed:
        """It did not start, and leaves nothing; its cell, unless it was given back, is ended."""
        if code == "spawner.sandbox":
            self._cells.end(self._cell)
        self.channel.close()
        self._outputs.discard()
        return Failed(code, sentence)

    def _past(self) -> float:
        """The processor time of the warden and of all that ended in the cell so far."""
        warden = read_process(self._cell.pid)
        return warden.cpu_seconds if warden is not None else 0.0

    def _held(self) -> int:
        """Bytes of the cell's files in memory, and of the warden as far as they must be somebody else's."""
        warden = read_process(self._cell.pid)
        own = memory_of(warden) if warden is not None else 0
        return self._cell.held() + max(0, own - limits.WARDEN_MEMORY)


def _task(run: Run, channel: Channel) -> dict[str, object]:
    """A request in the warden's words."""
    allowed, script = run.limits, run.script
    seconds = math.ceil(allowed.cpu_time)
    caps = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (seconds, seconds + 1),  # SIGXCPU, which can be ignored, and SIGKILL
        resource.RLIMIT_FSIZE: (allowed.file_size,) * 2,
        resource.RLIMIT_MSGQUEUE: (0, 0),  # what is in one outlives its task, and is nobody's memory
        resource.RLIMIT_NOFILE: (allowed.descriptors,) * 2,
        resource.RLIMIT_NPROC: (allowed.processes * limits.THREADS_PER_PROCESS + 1,) * 2,  # the warden counts
    }
    return {
        "argv": run.argv,
        "entry": script.entry if script is not None else None,
        "arguments": script.arguments if script is not None else (),
        "cwd": run.cwd,
        "environment": channel.environment(run.environment),
        "limits": list(caps.items()),
    }
