"""The spawner's ways to a cell: its own zygote, or ``bwrap``. Both end with a warden at one end of a socket."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from cs.sandbox import bpf, wire
from cs.sandbox.boot import boot_argv
from cs.sandbox.bubblewrap import bubblewrap_argv
from cs.sandbox.plan import Bind, Plan
from cs.spawner import limits
from cs.spawner.messages import Sandbox

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_INSIDE: Final = "/warden"
"""Where a cell that bwrap made finds our code, which it must execute."""

_BWRAP: Final = "/usr/bin/bwrap"


class CellError(Exception):
    """No cell could be made, or it does not answer; the sentence says why. Nothing of it is left."""


class Born(NamedTuple):
    """The numbers of a cell's pid 1 and of the child of ours that ends when it has; often the same."""

    pid: int
    child: int


class Zygote:
    """The spawner's end of a zygote process."""

    def __init__(self) -> None:
        """Start one. Raises OSError."""
        self._connection, theirs = wire.pair()
        with theirs:
            argv = boot_argv(str(_ROOT), "cs.sandbox.zygote", str(theirs.fileno()), str(os.getpid()))
            self.pid = _spawn(argv, [theirs.fileno()])
        self._connection.settimeout(limits.CELL_START)

    @property
    def alive(self) -> bool:
        """It has not ended by itself."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    def fork_cell(self, sandbox: Sandbox, warden: socket.socket) -> Born:
        """Ask for a cell whose warden serves ``warden``. Raises CellError, OSError when the zygote is no good."""
        reader, writer = os.pipe()
        try:
            request = {**_of_the_warden(sandbox), "plan": _plan(sandbox)}
            try:
                wire.send(self._connection, request, [writer, warden.fileno()])
            finally:
                os.close(writer)
            return _born(_read_until(reader, limits.CELL_START, b""))
        finally:
            os.close(reader)

    def close(self) -> None:
        """End it, and cells that it is only beginning to make: they are still of its session."""
        self._connection.close()
        deadline = time.monotonic() + limits.SWEEP
        with suppress(ProcessLookupError, ChildProcessError):
            os.killpg(self.pid, signal.SIGKILL)
            while time.monotonic() < deadline:
                if os.waitpid(-self.pid, os.WNOHANG) == (0, 0):
                    time.sleep(limits.SWEEP_PAUSE)


def bubblewrap_cell(sandbox: Sandbox, warden: socket.socket) -> Born:
    """The same by ``bwrap``. Raises CellError, OSError."""
    calls = os.memfd_create("calls", os.MFD_CLOEXEC)
    reader, writer = os.pipe()
    try:
        os.write(calls, bpf.program())
        os.lseek(calls, 0, os.SEEK_SET)
        made = json.dumps({**_of_the_warden(sandbox), "connection": warden.fileno()})
        plan = Plan(*_plan(sandbox))
        ours = Bind(str(_ROOT / "cs" / "sandbox"), f"{_INSIDE}/cs/sandbox")
        argv = bubblewrap_argv(
            _BWRAP,
            plan._replace(binds=(*plan.binds, ours)),
            boot_argv(_INSIDE, "cs.sandbox.warden", made),
            seccomp=calls,
            status=writer,
        )
        child = _spawn(argv, [calls, writer, warden.fileno()])
        os.close(writer)
        writer = -1
        said = _read_until(reader, limits.CELL_START, b"\n")
        if b"\n" not in said:
            _end(child)
            raise CellError("bwrap made no cell")
        born = Born(int(json.loads(said.partition(b"\n")[0])["child-pid"]), child)
        _volunteer_for_oom(born.pid)  # its interpreter is only starting, and still to be written to
        return born
    finally:
        os.close(calls)
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _volunteer_for_oom(pid: int) -> None:
    with suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")


def _spawn(argv: list[str], inherited: Sequence[int]) -> int:
    """Execute ``argv`` in a session of its own, with these descriptors and no other; its number."""
    null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    try:
        return os.posix_spawn(
            argv[0], argv, {}, file_actions=null, setsid=True, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
        )
    finally:
        for descriptor in inherited:
            os.set_inheritable(descriptor, False)


def _plan(sandbox: Sandbox) -> tuple[tuple[Bind, ...], int]:
    return tuple(Bind(wall.source, wall.target, wall.writable) for wall in sandbox.binds), sandbox.tmp_bytes


def _of_the_warden(sandbox: Sandbox) -> dict[str, object]:
    return {"network": sandbox.network, "preload": sandbox.preload, "python_paths": sandbox.python_paths}


def _born(said: bytes) -> Born:
    """What a zygote's fork reported: a number, if nothing else was complained of."""
    number, _, rest = said.decode(errors="replace").partition("\n")
    complaint = rest if number.isdigit() else number
    if number.isdigit() and not complaint:
        return Born(int(number), int(number))
    if number.isdigit():
        _end(int(number))
    raise CellError(complaint.strip().removeprefix("error: ") or "the process that makes cells said nothing")


def _end(child: int) -> None:
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _read_until(descriptor: int, seconds: float, end: bytes) -> bytes:
    """What comes until ``end`` does (empty: until all writers are gone). Raises TimeoutError."""
    said, deadline = b"", time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not end or end not in said:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(f"nothing was heard within {seconds:g} seconds")
        part = os.read(descriptor, 4096)
        if not part:
            break
        said += part
    return said
