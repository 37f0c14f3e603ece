"""One cell by our own calls, for ``probe``: a process that makes it, waits for its end, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import sys

from cs.sandbox import inside, linux, walls
from cs.sandbox.plan import Bind, Plan, PlanError

_PR_SET_CHILD_SUBREAPER = 36


def main(arguments: list[str]) -> None:
    """Write what ``inside`` finds to standard output, or what ``walls`` says to standard error.

    Arguments: the plan in JSON, the argument of ``inside``, and the seconds after which the cell is killed.
    """
    try:
        walls.seal_program()
    except (OSError, PlanError) as error:
        sys.exit(str(error))
    plan = _plan(arguments[0])
    reading, report = os.pipe()
    linux.prctl(_PR_SET_CHILD_SUBREAPER, 1)  # what is left of the cell is ours to end
    between = os.fork()
    if between == 0:
        os.close(reading)
        walls.fork_confined(plan, report)
        inside.main(arguments[1:2])
        return
    os.close(report)
    os.waitpid(between, 0)
    with os.fdopen(reading, encoding="utf-8") as file:
        number = file.readline()
        if number.strip().isdigit():
            _wait_for(int(number), int(arguments[2]))
            number = ""
        sys.stderr.write(number + file.read())


def _wait_for(cell: int, seconds: int) -> None:
    signal.signal(signal.SIGALRM, lambda *_: os.kill(cell, signal.SIGKILL))
    signal.alarm(seconds)
    os.waitpid(cell, 0)
    signal.alarm(0)


def _plan(text: str) -> Plan:
    binds, tmp_bytes, hostname = json.loads(text)
    return Plan(tuple(Bind(*bind) for bind in binds), tmp_bytes, hostname)
