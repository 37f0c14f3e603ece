"""The process that cells are forked from: one interpreter with nothing but the standard library in it.

``main([descriptor of its socket, number of its parent])``. A message asks for a cell (its plan, and what its warden
is made with) and brings two descriptors: where to report, and the warden's socket. It forks, and never runs anything
of a job's. It has one thread and dies with the spawner. Standard library only.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
from contextlib import suppress

from cs.sandbox import linux, walls, wire
from cs.sandbox.plan import Bind, Plan
from cs.sandbox.script import Program
from cs.sandbox.warden import Warden, serve

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> Program:
    """Fork cells until the connection ends, and then end. Returns only in a task's process, far below."""
    walls.seal_program()
    descriptor, parent = map(int, arguments)
    linux.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.set_inheritable(descriptor, False)
    _volunteer_for_oom()
    gc.collect()
    gc.freeze()  # what is here is never garbage, and looking for it would copy pages in each task
    return _fork_cells(socket.socket(fileno=descriptor))


def _fork_cells(connection: socket.socket) -> Program:
    while (received := wire.receive(connection)) is not None:
        between = os.fork()
        if between == 0:
            connection.close()
            return _become_warden(received)
        wire.close_all(received.descriptors)
        os.waitpid(between, 0)  # it ends when the walls stand, or cannot
    os._exit(0)


def _become_warden(received: wire.Received) -> Program:
    report, ours = received.descriptors
    binds, tmp_bytes = received.message.pop("plan")
    plan = Plan(tuple(Bind(*bind) for bind in binds), tmp_bytes)
    warden = Warden(socket.socket(fileno=ours), **received.message)
    walls.fork_confined(plan, report)
    return serve(warden)


def _volunteer_for_oom() -> None:
    """When the machine runs out of memory, tasks die before anything of the owner's does."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")
