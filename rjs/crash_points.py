"""Named moments between "received" and "acknowledged" at which a test may have this very process killed.

    crash_point("ws.answer.journalled")

A server passes such a point as if it were not there: nothing outside of the process can arm it. No setting, variable,
file, argument or message is read here, and nothing of the installed package calls ``arm``; only a program that
*is* the process can, and that could as well kill itself. ``tests/chaos/armed.py`` is one. A job's program runs in
processes of its own, where these points are not passed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Final

POINTS: Final = MappingProxyType(
    {
        "ws.upload.received": "an upload's bytes are in a file of the WS's own; nobody has judged them",
        "ws.upload.verified": "the bundle is verified and admitted; its bytes have no lasting name yet",
        "ws.upload.kept": "the bundle is kept under its id; no job is journalled",
        "ws.upload.journalled": "the job is journalled; its submitter has not heard",
        "ws.upload.recorded": "the file in jobs/ is recorded as judged; its status file is not written",
        "ws.lease.journalled": "leases are journalled; the grant has not left",
        "ws.lease.granted": "the grant was handed to the connection; it may be lost on the way",
        "ws.placement.received": "a LUS told of a placement; it is not journalled",
        "ws.placement.journalled": "the placement is journalled",
        "ws.answer.received": "an answer is offered; nothing of it is kept",
        "ws.answer.staged": "a large answer's bytes are fetched; nobody has verified them",
        "ws.answer.verified": "the answer is verified; its task has not ended",
        "ws.answer.journalled": "the answer is committed; no verdict has left",
        "ws.answer.undelivered": "the answer is committed; ans/ does not have it",
        "ws.answer.delivered": "ans/ has the answer; the journal does not know that",
        "ws.checkpoint.staged": "a checkpoint is verified and durable; no row names it",
        "ws.checkpoint.journalled": "the checkpoint is the task's newest; its CS has not heard",
        "ws.end.received": "an attempt ended without an answer; that is not journalled",
        "ws.end.journalled": "that end is journalled; its LUS has not heard",
        "ws.cancel.journalled": "a job is cancelled; who asked for it has not heard",
        "lus.grant.received": "leases came from the WS; no task is placed",
        "lus.placement.told": "the WS was told of a placement; its CS was not told to start",
        "lus.start.confirmed": "the CS said that the task runs; the board does not know",
        "lus.answer.received": "a CS offers an answer; the WS has not heard",
        "lus.answer.relayed": "the WS gave its verdict; the CS has not heard",
        "lus.end.received": "a CS told how an attempt ended; the WS has not heard",
        "lus.end.relayed": "the WS took note of that end; the CS has not heard",
        "cs.start.received": "a LUS said to start; nothing is done",
        "cs.start.recorded": "the attempt is in the ledger; nothing of it is unpacked",
        "cs.start.prepared": "the job is unpacked; no process runs",
        "cs.task.spawned": "the task's process runs; the LUS has not heard",
        "cs.checkpoint.signed": "a checkpoint is written; it has no lasting name",
        "cs.checkpoint.spooled": "the checkpoint is durable; its task has not heard, nor anybody else",
        "cs.task.ended": "the task's processes are gone; its outputs are not collected",
        "cs.answer.signed": "the answer is written; it has no lasting name in the spool",
        "cs.answer.spooled": "the answer is in the spool; nobody was told",
        "cs.answer.offered": "the answer is about to be offered",
        "cs.verdict.received": "the verdict is known; the answer is still in the spool",
        "cs.verdict.forgotten": "the answer has left the spool",
        "cs.end.reported": "the WS took note of an attempt's end; the CS has not struck it off",
    }
)
"""Every point, and what is done and what is not when a process passes it."""

BEGIN: Final = "<!-- made by: python -m rjs.crash_points docs/chaos.md -->"
END: Final = "<!-- end of what is made -->"

_armed: str | None = None


def crash_point(name: str) -> None:
    """Pass the point ``name``: nothing, unless this very process armed it."""
    if name == _armed:
        os.kill(os.getpid(), signal.SIGKILL)


def arm(name: str) -> None:
    """For tests: this process kills itself, as ``kill -9`` would, when it next passes the point. Raises KeyError."""
    global _armed
    if name not in POINTS:
        raise KeyError(name)
    _armed = name


def table() -> str:
    """The points as the page has them."""
    rows = [f"| `{name}` | {state} |" for name, state in POINTS.items()]
    return "\n".join(["| point | what is done there, and what is not |", "|---|---|", *rows])


def main(arguments: list[str]) -> None:
    """Put the table into the pages named, between the two marks; without arguments, print it."""
    if not arguments:
        sys.stdout.write(table() + "\n")
    for path in map(Path, arguments):
        before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        path.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
