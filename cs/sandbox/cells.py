"""The cells of a spawner: some wait for their bundle's next task, the others are gone."""

from __future__ import annotations

import socket

from cs.sandbox import wire
from cs.sandbox.cell import Cell
from cs.sandbox.plan import PlanError
from cs.sandbox.ways import Born, CellError, Zygote, bubblewrap_cell
from cs.spawner import limits
from cs.spawner.messages import Sandbox


class Cells:
    """``take`` one for an attempt, ``give_back`` or ``end`` it afterwards. Times are of the spawner's clock."""

    def __init__(self) -> None:
        self._idle: list[Cell] = []
        """The one that waits longest first."""
        self._zygote: Zygote | None = None
        self._stuck: list[Cell] = []

    @property
    def due(self) -> float:
        """When the next idle cell is to be retired."""
        return self._idle[0].idle_since + limits.CELL_IDLE if self._idle else float("inf")

    @property
    def occupied(self) -> bool:
        """Something did not die in time, and is still there."""
        self._stuck = [cell for cell in self._stuck if not cell.gone(0)]
        return bool(self._stuck)

    def take(self, sandbox: Sandbox) -> Cell:
        """An idle cell that was made with the same words and of the same files, or a new one. Raises CellError."""
        found = (
            None if sandbox.fresh else next((cell for cell in self._idle if cell.sandbox == sandbox), None)
        )
        if found is None:
            return self._made(sandbox)
        self._idle.remove(found)
        if found.usable:
            return found
        self.end(found)
        return self._made(sandbox)

    def give_back(self, cell: Cell, now: float) -> None:
        """It is as it was made, and may wait for another attempt, unless others' code runs in its warden, which could
        change files while the server reads and removes them, and take what nobody measures then."""
        if cell.sandbox.fresh or not cell.ours:
            self.end(cell)
            return
        cell.idle_since = now
        self._idle.append(cell)
        if len(self._idle) > limits.CELLS:
            self.end(self._idle.pop(0))

    def end(self, cell: Cell) -> bool:
        """Kill all that is in it. False when something did not die; then ``occupied`` until it has."""
        cell.kill()
        gone = cell.gone(limits.SWEEP)
        if not gone:
            self._stuck.append(cell)
        return gone

    def retire(self, now: float) -> None:
        """End those that have waited long enough."""
        while self.due <= now:
            self.end(self._idle.pop(0))

    def close(self) -> None:
        """End all that wait, and the zygote."""
        while self._idle:
            self.end(self._idle.pop())
        self._drop_zygote()

    def _made(self, sandbox: Sandbox) -> Cell:
        ours, theirs = wire.pair()
        try:
            with theirs:
                try:
                    born = (
                        self._forked(sandbox, theirs)
                        if sandbox.way == "own"
                        else bubblewrap_cell(sandbox, theirs)
                    )
                except (OSError, PlanError) as error:
                    raise CellError(f"no cell can be made: {error}") from error
            return Cell(sandbox, born, ours)
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):  # a source, or the cell itself, is gone again
                raise CellError(f"a new cell cannot be used: {error}") from error
            raise

    def _forked(self, sandbox: Sandbox, theirs: socket.socket) -> Born:
        """By the zygote; one that is dead or wedged is replaced, the latter for the next cell."""
        if self._zygote is None or not self._zygote.alive:
            self._drop_zygote()
            self._zygote = Zygote()
        try:
            return self._zygote.fork_cell(sandbox, theirs)
        except OSError:
            self._drop_zygote()
            raise

    def _drop_zygote(self) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            zygote.close()
