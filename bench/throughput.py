"""No-op tasks end to end through real processes (WS → LUS → CS → WS), beside a bare subprocess loop.

    python bench/throughput.py --tasks 500 --jobs 50 --workers 2

Prints one table. *One bundle* is a single job of ``--tasks`` no-op tasks: its rate is tasks over the time from
the upload to the last answer in ``ans/``. *One job at a time* is ``--jobs`` one-task jobs, each uploaded when the
one before was answered: its latency is the time from the end of the upload to the answer in ``ans/``. *Bare
subprocess* starts the same no-op program, as many at once as there are workers, and does nothing else: no
network, no signature, no disk, no limits. It is the floor for anything that starts a process a task.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from twisted.internet.base import ReactorBase

from rjs.background import sleep
from rjs.child_python import JOB_PYTHON
from rjs.cli.console import print_table, say
from rjs.client import run_client
from rjs.local_cluster import LocalCluster, place
from rjs.packing import gather, write_signed

PATIENCE = 600.0
"""Seconds until a measurement is given up."""

LOOK = 0.002
"""Seconds between two looks for an answer: what it adds to a latency at most."""


@attrs.frozen
class Figure:
    """One row: a rate in tasks/s, and latencies in milliseconds (None where there are none)."""

    what: str
    tasks: int
    rate: float
    median: float
    p99: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="End-to-end throughput of no-op tasks.")
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder:
        program = Path(folder) / "noop.py"
        program.write_text("pass\n")
        floor = bare(program, given.tasks, given.workers)
        with LocalCluster(Path(folder) / "cluster", given.workers) as cluster:
            figures = run_client(lambda reactor: through(reactor, cluster, program, given.tasks, given.jobs))
        floor_again = bare(program, given.tasks, given.workers)
    rows = [*figures, floor, attrs.evolve(floor_again, what="bare subprocess, again")]
    if given.json:
        sys.stdout.write(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")
        return
    headings = ["WHAT", "TASKS", "TASKS/S", "MEDIAN ms", "P99 ms"]
    print_table(headings, [list(attrs.astuple(row)) for row in rows])


def figure(what: str, seconds: Sequence[float], wall: float) -> Figure:
    """A row out of each task's seconds and the whole time."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]
    return Figure(what, len(seconds), len(seconds) / wall, 1000 * statistics.median(seconds), 1000 * p99)


def bare(program: Path, tasks: int, workers: int) -> Figure:
    """The same no-op program, started by nothing but ``subprocess``, ``workers`` at a time."""
    argv = [*JOB_PYTHON, str(program)]

    def one(_: int) -> float:
        began = time.perf_counter()
        subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, env={"PATH": os.defpath})
        return time.perf_counter() - began

    began = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        seconds = list(pool.map(one, range(tasks)))
    return figure("bare subprocess", seconds, time.perf_counter() - began)


async def through(
    reactor: ReactorBase, cluster: LocalCluster, program: Path, tasks: int, jobs: int
) -> list[Figure]:
    """Both measurements through a cluster that is up and warm."""
    await cluster.start(reactor)
    say("the cluster is up")
    await run_job(reactor, cluster, program, "warm-up", 20)
    many = await run_job(reactor, cluster, program, "many", tasks)
    singles = [
        (await run_job(reactor, cluster, program, f"single-{number}", 1))[-1] for number in range(jobs)
    ]
    return [
        figure("RJS, one bundle, all tasks queued at once", many, many[-1]),
        figure("RJS, one job at a time", singles, sum(singles)),
    ]


async def run_job(
    reactor: ReactorBase, cluster: LocalCluster, program: Path, name: str, tasks: int
) -> list[float]:
    """Seconds from the end of the upload to each answer in ``ans/``, in the order of their coming."""
    signer = cluster.signer()
    bundle = cluster.folder / f"{name}.jar"
    job = write_signed(
        gather(program, tasks=tasks, name=name), bundle, key=signer.key, chain=signer.chain,
        now=datetime.now(UTC), nonce=os.urandom(16), valid=timedelta(days=1),
    )  # fmt: skip
    place(bundle, cluster.jobs)
    began = time.perf_counter()
    waiting = {f"{task}.jar" for task in range(tasks)}
    folder = cluster.answers / job[:16]
    seconds: list[float] = []
    while waiting:
        if folder.exists():
            came = waiting.intersection(os.listdir(folder))  # noqa: PTH208 - names only, as fast as may be
            seconds += [time.perf_counter() - began] * len(came)
            waiting -= came
        if time.perf_counter() - began > PATIENCE:
            raise TimeoutError(f"{len(waiting)} of {tasks} answers did not come")
        cluster.check()
        await sleep(reactor, LOOK)
    return seconds


if __name__ == "__main__":
    main()
