"""What the tasks of a run compute, and how they say that they run. Everything follows from index and seed.

``SCRIPT`` is the job's program. It writes a line to an append-only file that all compute servers share when it begins
and when it ends, and computes ``value`` in between; this module computes the same, to compare.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from history import TaskStarted, TaskStopped

from rjs.attempts import Fence

LARGE: Final = 90_000
"""Bytes of the value of every tenth task: more than travels along with an offer."""

_VALUE = """
def value(seed, task):
    digest = hashlib.sha256(f"{seed}/{task}".encode()).digest()
    for _ in range(200):
        digest = hashlib.sha256(digest).digest()
    text = digest.hex()
    if int(text[:4], 16) % 10 == 0:
        text += "".join(hashlib.sha256(f"{text}{part}".encode()).hexdigest() for part in range(LARGE // 64))
    return text.encode()
"""

SCRIPT: Final = f"""
import hashlib, os, sys, time
from rjs import task as own

LARGE = {LARGE}
{_VALUE}

def say(what):
    line = f"{{what}} {{time.clock_gettime(time.CLOCK_BOOTTIME):.6f}} {{own_name}} {{os.getcwd()}}\\n"
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
    os.write(log, line.encode())
    os.close(log)

own_name = os.environ["RJS_NAME"]
say("start")
task = int(os.environ["RJS_TASK_INDEX"])
mark = sys.argv[4] if len(sys.argv) > 4 else ""
if mark.startswith("once:"):
    try:
        os.close(os.open(f"{{mark[5:]}}-{{task}}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        pass
    else:
        sys.exit("this task fails the first time")
while mark.startswith("gate:") and not os.path.exists(mark[5:]):
    time.sleep(0.02)
with open(own.checkpoint_folder / "state", "w") as state:
    state.write("begun")
own.checkpoint()
time.sleep(float(sys.argv[3]) * (int(hashlib.sha256(f"t{{task}}".encode()).hexdigest()[:4], 16) / 65535))
with open(os.environ["RJS_OUTPUT"] + "/value.txt", "wb") as out:
    out.write(value(int(sys.argv[2]), task))
say("stop")
"""
"""Arguments: the shared file, the seed of the values, the most seconds that a task sleeps, and optionally
``once:PATH`` (each task fails the first time) or ``gate:PATH`` (it waits for that file)."""

OUTPUT: Final = "out/value.txt"

_known: dict[str, object] = {"hashlib": hashlib, "LARGE": LARGE}
exec(_VALUE, _known)


def value_of(seed: int, task: int) -> bytes:
    """What the task must answer."""
    computed = _known["value"](seed, task)  # type: ignore[operator]  # defined by exec above
    assert isinstance(computed, bytes)
    return computed


def digest_of(seed: int, task: int) -> str:
    """The digest of what the task must answer."""
    return hashlib.sha256(value_of(seed, task)).hexdigest()


_LINE = re.compile(
    r"(start|stop) ([0-9.]+) rjs://job/([0-9a-f]{64})/(\d+)/(\d+)\.(\d+)\.(\d+) .*/(\w+)/clusters/\w+/work/.*"
)


def read_log(path: Path, jobs: dict[str, str]) -> Iterator[TaskStarted | TaskStopped]:
    """What the tasks said. ``jobs``: the ids by their first 16 digits; one that is not there stays short."""
    for line in path.read_text().splitlines():
        match = _LINE.fullmatch(line)
        assert match is not None, line
        what, at, job, *numbers, cs = match.groups()
        task, *fence = map(int, numbers)
        kind = TaskStarted if what == "start" else TaskStopped
        yield kind(at=float(at), cs=cs, job=jobs.get(job[:16], job[:16]), task=task, fence=Fence(*fence))
