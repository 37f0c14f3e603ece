"""What it costs to run a task: every way there is, beside its floors, in one run.

    python bench/execution.py --tasks 40 --rounds 5

Every row is a no-op task, at the door of the spawner: from the request of ``Spawner.run`` to its Ended, output files
and limits included. *Alone* is the median time of one after the other. *A second* is the rate of that, and for two
spawners that of both together. The ways take turns, ``--rounds`` times ``--tasks`` each, so that what else the
machine does hits all of them; rates are medians over the rounds.

The floors do less and say so: *spawn* starts ``/bin/true`` and waits for it, *bwrap* does so in the same cell but
without a warden, and *fork with numpy* is what a parent outside of all walls, which nobody may have (it would run the
bundle's numpy there), would cost: fork, all walls, end.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy
from twisted.internet.defer import Deferred, gatherResults

from cs.sandbox import bpf
from cs.sandbox.bubblewrap import bubblewrap_argv
from cs.sandbox.plan import Bind, Plan
from cs.sandbox.walls import fork_confined
from cs.spawner.client import Spawner, start_spawner
from cs.spawner.messages import Run, Sandbox, Wall
from cs.spawner.testing import Workbench
from rjs.cli.console import print_table, say

Play = Callable[[int], Coroutine[Deferred[Any], Any, list[float]]]

PATIENCE = 1200.0
"""Seconds until the measurement is given up."""

TRUE = "/bin/true"
_PARENT = "--parent"


@attrs.frozen
class Way:
    """One way: does so many tasks, and returns the seconds that each took."""

    what: str
    play: Play
    at_once: int = 1


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == [_PARENT]:
        _parent(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description="What a no-op task costs, each way.")
    parser.add_argument("--tasks", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder:
        bench = Workbench(Path(folder))
        rows = bench.drive(
            lambda spawner: _measured(bench, spawner, given.tasks, given.rounds), seconds=PATIENCE
        )
    print_table(["WAY", "ALONE MS", "A SECOND"], rows)
    if shutil.which("podman") is None:
        say("podman is not installed here: not measured")


async def _measured(
    bench: Workbench, spawner: Spawner, tasks: int, rounds: int
) -> list[Sequence[str | float]]:
    ways = [*_floors(bench), *_doors(bench, spawner)]
    second = start_spawner()
    assert bench.reactor is not None
    second.attach(bench.reactor)
    ways += [_both([spawner, second], *each) for each in _warm(bench)]
    seconds: dict[str, list[float]] = {way.what: [] for way in ways}
    rates: dict[str, list[float]] = {way.what: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            await way.play(2)  # cells that are kept are there
            taken = await way.play(tasks)
            rates[way.what].append(way.at_once * len(taken) / sum(taken))
            seconds[way.what] += taken
    await second.close()
    return [
        [
            what,
            round(statistics.median(seconds[what]) * 1000, 2),
            round(statistics.median(rates[what])),
        ]
        for what in seconds
    ]


def _floors(bench: Workbench) -> list[Way]:
    return [
        Way("floor: spawn", _timed(_spawn)),
        Way("floor: bwrap", _timed(lambda: _bwrap(bench.sandbox()))),
        Way("floor: fork with numpy", _numpy_parent),
    ]


def _doors(bench: Workbench, spawner: Spawner) -> list[Way]:
    """Each through one spawner."""
    numpy_at = str(Path(numpy.__file__).parent.parent)
    fresh = bench.sandbox(key="fresh", fresh=True)
    other = bench.sandbox(key="fresh", fresh=True, way="bubblewrap")
    loaded = bench.sandbox(
        key="numpy",
        fresh=True,
        binds=(*fresh.binds, Wall(numpy_at, "/wheels/0")),
        preload=("numpy",),
        python_paths=("/wheels/0",),
    )
    requests = [
        ("unconfined", lambda: bench.request(TRUE)),
        ("fresh cell, script", lambda: _script(bench, fresh)),
        ("fresh cell by bwrap, script", lambda: _script(bench, other)),
        ("fresh cell, numpy loaded in it", lambda: _script(bench, loaded)),
        *_warm(bench),
    ]
    return [Way(what, _runs(spawner, make)) for what, make in requests]


def _warm(bench: Workbench) -> list[tuple[str, Callable[[], Run]]]:
    kept = bench.sandbox()
    return [
        ("warm cell, script", lambda: _script(bench, kept)),
        ("warm cell, program", lambda: bench.confined(TRUE, sandbox=kept)),
    ]


def _script(bench: Workbench, sandbox: Sandbox) -> Run:
    return bench.script("pass", sandbox=sandbox)


def _runs(spawner: Spawner, make: Callable[[], Run]) -> Play:
    async def play(tasks: int) -> list[float]:
        requests = [make() for _ in range(tasks)]
        return [await _once(spawner, request) for request in requests]

    return play


async def _once(spawner: Spawner, request: Run) -> float:
    began = time.perf_counter()
    ended = await spawner.run(request)
    assert ended.exit_status == 0, ended
    return time.perf_counter() - began


def _both(spawners: Sequence[Spawner], what: str, make: Callable[[], Run]) -> Way:
    async def play(tasks: int) -> list[float]:
        each = [Deferred.fromCoroutine(_runs(spawner, make)(tasks)) for spawner in spawners]
        return [seconds for taken in await gatherResults(each) for seconds in taken]

    return Way(f"two spawners: {what}", play, at_once=len(spawners))


def _timed(once: Callable[[], object]) -> Play:
    async def play(tasks: int) -> list[float]:
        taken = []
        for _ in range(tasks):
            began = time.perf_counter()
            once()
            taken.append(time.perf_counter() - began)
        return taken

    return play


def _spawn() -> None:
    os.waitpid(os.posix_spawn(TRUE, [TRUE], {}), 0)


def _plan(sandbox: Sandbox) -> Plan:
    return Plan(
        tuple(Bind(each.source, each.target, each.writable) for each in sandbox.binds), sandbox.tmp_bytes
    )


def _bwrap(sandbox: Sandbox) -> None:
    calls = os.memfd_create("calls")
    os.write(calls, bpf.program())
    os.lseek(calls, 0, os.SEEK_SET)
    status = os.open(os.devnull, os.O_WRONLY)
    argv = bubblewrap_argv("/usr/bin/bwrap", _plan(sandbox), [TRUE], seccomp=calls, status=status)
    subprocess.run(argv, pass_fds=(calls, status), check=True)
    os.close(calls)
    os.close(status)


async def _numpy_parent(tasks: int) -> list[float]:
    printed = subprocess.run(
        [sys.executable, __file__, _PARENT, str(tasks)],
        env={"OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    return list(map(float, printed.stdout.split()))


def _parent(tasks: int) -> None:
    """A process with numpy and one thread: print the seconds of fork, walls and end."""
    with tempfile.TemporaryDirectory() as folder:
        plan = _plan(Workbench(Path(folder)).sandbox())
        for _ in range(tasks):
            began = time.perf_counter()
            ended, end = os.pipe()
            report, ours = os.pipe()
            if os.fork() == 0:
                fork_confined(plan, ours)
                os._exit(0)
            os.close(end)
            os.close(ours)
            os.read(ended, 1)  # which closes with the last process of it
            print(time.perf_counter() - began)
            assert b"error" not in os.read(report, 4096)
            os.wait()
            os.close(ended)
            os.close(report)


if __name__ == "__main__":
    main()
