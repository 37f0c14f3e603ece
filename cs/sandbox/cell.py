"""One cell as the spawner has it: its pid 1, the socket to its warden, and what it takes of the machine's memory."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any

import msgspec

from cs.sandbox import wire
from cs.sandbox.ways import Born, CellError
from cs.spawner import limits
from cs.spawner.messages import Sandbox

_FOLDERS = 2
_Whole = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class Word(msgspec.Struct, frozen=True):
    """What a warden says of a task: that it started, that it could not, or how it ended."""

    started: int | None = None
    failed: Annotated[str, msgspec.Meta(max_length=8000)] | None = None
    ended: Annotated[int, msgspec.Meta(ge=0, lt=1 << 16)] | None = None
    """The wait status of its main process."""
    cpu: Annotated[float, msgspec.Meta(ge=0, le=1e12)] = 0.0
    memory: _Whole = 0
    strays: _Whole = 0
    odd: str = ""
    """Why the cell must not be used again."""


class Cell:
    """Made by ``Cells``; ``kill`` it in any case."""

    def __init__(self, sandbox: Sandbox, born: Born, connection: socket.socket) -> None:
        """Hear the warden's first word. Raises CellError, and then nothing is left."""
        self.sandbox = sandbox
        self.pid = born.pid
        self._child = born.child
        self.connection = connection
        self._made_of = sources_of(sandbox)
        self.pidfd = os.pidfd_open(born.pid)
        self._held: list[int] = []
        self.idle_since = 0.0
        self.used = False
        """A task was run in it: what it loads in advance is loaded."""
        connection.settimeout(limits.CELL_START)
        try:
            self._held = self._introduced()
        except BaseException:
            self.kill()
            self.gone(limits.SWEEP)
            raise

    def _introduced(self) -> list[int]:
        try:
            received = wire.receive(self.connection, packets=1)
        except (wire.WireError, OSError) as error:
            raise CellError(f"the warden of a new cell does not speak: {error}") from error
        if received is None:
            raise CellError("the warden of a new cell ended at once")
        if len(received.descriptors) != _FOLDERS + self.sandbox.network:
            wire.close_all(received.descriptors)
            said = str(received.message.get("failed", "it is not what it should be"))
            raise CellError(f"a new cell was given up by its warden: {said}")
        return received.descriptors

    @property
    def listener(self) -> int | None:
        """The socket that listens inside, if it was asked for; it stays the cell's."""
        return self._held[_FOLDERS] if len(self._held) > _FOLDERS else None

    @property
    def ours(self) -> bool:
        """Nothing but our code and the standard library runs in its warden: the bundle's packages were not loaded."""
        return not (self.sandbox.preload and self.sandbox.python_paths)

    @property
    def usable(self) -> bool:
        """It lives, and every file that is mounted in it is still the one that has the name."""
        with suppress(OSError):
            return not _ready(self.pidfd, 0) and sources_of(self.sandbox) == self._made_of
        return False

    def held(self) -> int:
        """Bytes of memory that its folders in memory take, names of empty files included."""
        spaces = [os.fstatvfs(folder) for folder in self._held[:_FOLDERS]]
        blocks = sum((space.f_blocks - space.f_bfree) * space.f_frsize for space in spaces)
        return blocks + sum((space.f_files - space.f_ffree) * limits.NAME_IN_MEMORY for space in spaces)

    def tell(self, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Say something to the warden. Raises CellError."""
        try:
            wire.send(self.connection, message, descriptors)
        except (wire.WireError, OSError) as error:
            raise CellError(f"the warden of a cell does not listen: {error}") from error

    def hear(self) -> list[Word]:
        """What the warden said, if it did. Raises CellError when it cannot be understood, or is gone."""
        if not _ready(self.connection.fileno(), 0):
            if _ready(self.pidfd, 0):
                raise CellError("the warden of a cell is gone")
            return []
        try:
            received = wire.receive(self.connection, packets=1)
            if received is None:
                raise CellError("the warden of a cell is gone")
            wire.close_all(received.descriptors)
            return [msgspec.convert(received.message, Word)]
        except (wire.WireError, OSError, msgspec.ValidationError) as error:
            raise CellError(f"the warden of a cell cannot be understood: {error}") from error

    def kill(self) -> None:
        """All that is in it. The kernel lets pid 1 go when every other process of the cell is gone."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.connection.close()
        wire.close_all(self._held)
        self._held = []

    def gone(self, seconds: float) -> bool:
        """Wait so long for the end of what was killed; True once, when nothing of it is left, here either."""
        if not _ready(self.pidfd, seconds):
            return False
        with suppress(ChildProcessError):
            os.waitpid(self._child, 0)
        os.close(self.pidfd)
        return True


def sources_of(sandbox: Sandbox) -> tuple[tuple[int, int], ...]:
    """Which files are mounted in such a cell, by device and number. Raises OSError."""
    found = (os.stat(wall.source, follow_symlinks=False) for wall in sandbox.binds)
    return tuple((each.st_dev, each.st_ino) for each in found)


def _ready(descriptor: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
