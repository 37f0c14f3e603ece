"""How long it takes until a task runs again after a server was killed, or fell silent: real processes, kill -9.

    python bench/failover.py --rounds 5

*A lookup server is killed*, which served the one compute server: until the other one has that registered, and until a
task of a job that is submitted in this moment runs. *A compute server is killed* in mid-task, and one is *stopped*
(SIGSTOP: its connections stand): until that task runs on the other one. Tasks tell when they began by the machine's
monotonic clock, so that what it takes to fetch the answer counts for nothing; that a job is verified and its process
starts is in every number, and *placed to running* is what that takes by itself.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))

from cluster import Cluster, Server, running_cluster, wait_for
from jobs import write_job

from rjs.cli.console import print_table, say
from rjs.limits import CS_LEASE

TELLING = """
import os, sys, time
began = time.monotonic()
time.sleep(float(sys.argv[1]))
open(os.path.join(os.environ["RJS_OUTPUT"], "began"), "w").write(str(began))
"""
LONG = 3.0
"""Seconds that a task takes in whose middle its server is lost."""


@attrs.frozen
class Bench:
    """The cluster, and a folder for its jobs."""

    cluster: Cluster
    folder: Path

    def pack(self, seconds: float) -> Path:
        """A job of one task that takes so long."""
        name = f"job-{len(list(self.folder.iterdir()))}"
        return self.cluster.ada.pack(write_job(self.folder / name, TELLING, args=[str(seconds)]))

    def began(self, job: str) -> float:
        """When the attempt began whose answer was committed."""
        (answer,) = self.cluster.ada.answers(job, tasks=1).values()
        self.cluster.quiet()
        return float(answer.files["out/began"])

    def placed(self) -> float:
        """Seconds until a task runs when nothing is wrong."""
        bundle, moment = self.pack(0.0), time.monotonic()
        return self.began(self.cluster.ada.place(bundle)) - moment

    def lus_killed(self) -> tuple[float, float]:
        """Seconds until another one serves cs1, and until a task runs."""
        victim, other = self._luses()
        bundle, moment = self.pack(0.0), time.monotonic()
        victim.kill()
        job = self.cluster.ada.place(bundle)
        self.cluster.registered("cs1", lus=other.name)
        served = time.monotonic() - moment
        began = self.began(job) - moment
        victim.start()
        return served, began

    def _luses(self) -> tuple[Server, Server]:
        """The one that serves cs1, and the other."""
        names = ["lus", "lus2"]
        wait_for(lambda: any("cs1" in self.cluster.reachable(each) for each in names))
        names.sort(key=lambda each: "cs1" not in self.cluster.reachable(each))
        return self.cluster[names[0]], self.cluster[names[1]]

    def cs_lost(self, lose: Callable[[Server], object], heal: Callable[[Server], object]) -> float:
        """Seconds from ``lose`` until the task of that server runs on another."""
        job = self.cluster.ada.place(self.pack(LONG))
        server = wait_for(lambda: self.cluster.running(job)).popitem()[1]
        moment = time.monotonic()
        lose(server)
        began = self.began_elsewhere(job, server)
        heal(server)
        self.cluster.registered()
        self.cluster.quiet()
        return began - moment

    def began_elsewhere(self, job: str, lost: Server) -> float:
        """When the attempt began that answered, which was not that server's."""
        (answer,) = self.cluster.ada.answers(job, tasks=1).values()
        assert answer.receipt.cs_name != lost.name
        return float(answer.files["out/began"])


def measured(bench: Bench, rounds: int) -> list[tuple[str, str, list[float]]]:
    """Each row: what, its target, and the seconds of each round."""
    cluster, ada = bench.cluster, bench.cluster.ada
    say("lookup servers are killed")
    killed = [bench.lus_killed() for _ in range(rounds)]
    cluster.add_cs("cs2", ada)
    cluster["lus2"].stop()
    cluster.registered()
    say("compute servers are killed")
    dead = [bench.cs_lost(Server.kill, Server.start) for _ in range(rounds)]
    say("compute servers are stopped")
    silent = [
        bench.cs_lost(lambda each: each.send(signal.SIGSTOP), lambda each: each.send(signal.SIGCONT))
        for _ in range(rounds)
    ]
    return [
        ("placed to running", "", [bench.placed() for _ in range(rounds)]),
        ("LUS killed: another serves its CS", "", [each for each, _ in killed]),
        ("LUS killed: a new task runs", "< 2 s", [each for _, each in killed]),
        ("CS killed: its task runs elsewhere", "< 2 s", dead),
        ("CS silent: its task runs elsewhere", f"< {CS_LEASE:.0f} s lease + 1 s", silent),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How soon a task runs again.")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder:
        places = [Path(folder) / each for each in ("cluster", "jobs")]
        for each in places:
            each.mkdir()
        with running_cluster(places[0], ["cs1"]) as cluster:
            cluster.add_lus("lus2")
            rows = measured(Bench(cluster, places[1]), given.rounds)
    say(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print_table(
        ["WHAT", "TARGET", "MEDIAN S", "WORST S"],
        [[what, target, f"{statistics.median(took):.2f}", f"{max(took):.2f}"] for what, target, took in rows],
    )


if __name__ == "__main__":
    main()
