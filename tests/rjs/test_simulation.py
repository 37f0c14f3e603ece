"""The whole system, simulated: whatever is killed, cut off or delayed, every task ends exactly once.

``RJS_SEEDS=5000 pytest -m long tests/rjs/test_simulation.py`` tries more seeds; ``RJS_SEED=17`` one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import pytest
from simulated_cluster import ComputeServer, SimulatedCluster
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from rjs.identity.names import Role
from rjs.jobs import TaskState
from ws import limits, store

SEEDS = 200
FAULTS = 40


@pytest.fixture(autouse=True)
def plain_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt is no process and its answer is not signed."""

    def sign(prepared: Any, ended: object, started: object, owner: object, out: BinaryIO) -> None:
        out.write(repr(prepared.attempt).encode())

    monkeypatch.setattr("cs.attempt.request_of", lambda prepared: prepared)
    monkeypatch.setattr("cs.attempt.sign_answer", sign)


@pytest.fixture(autouse=True)
def logged_failures() -> Iterator[list[str]]:
    """Defects that were logged instead of raised."""
    found: list[str] = []

    @implementer(ILogObserver)
    def look(event: LogEvent) -> None:
        if "log_failure" in event:
            found.append(event["log_failure"].getTraceback())

    globalLogPublisher.addObserver(look)
    yield found
    globalLogPublisher.removeObserver(look)


def submit(cluster: SimulatedCluster) -> None:
    cluster.submit(cluster.random.choice((1, 3, 8)), cluster.random.choice((50.0, 1e6, 1e6, 1e6)))


def cancel(cluster: SimulatedCluster) -> None:
    if cluster.random.random() < 0.3:
        cluster.cancel()


def kill(cluster: SimulatedCluster) -> None:
    random = cluster.random
    cluster.kill(random.choice(cluster.places), random.choice((0.1, 2.0, 70.0)) * random.random())


def cut(cluster: SimulatedCluster) -> None:
    random = cluster.random
    if cluster.links:
        apart = random.choice((0.0, 3.0, 10.0, 90.0)) * random.random()
        cluster.cut(random.choice(cluster.links), cluster.clock.now + apart)


def stall(cluster: SimulatedCluster) -> None:
    random = cluster.random
    if cluster.links:
        random.choice(cluster.links).stall(random.choice((1.0, 10.0, 80.0)) * random.random())


def distrust(cluster: SimulatedCluster) -> None:
    server = cluster.running.get(cluster.random.choice(cluster.places))
    if isinstance(server, ComputeServer):
        jobs = sorted(cluster.accepted)
        server.trust(set(cluster.random.sample(jobs, cluster.random.randrange(len(jobs) + 1))))


def spoil(cluster: SimulatedCluster) -> None:
    server = cluster.running.get(cluster.random.choice(cluster.places))
    if isinstance(server, ComputeServer) and server.spool.files and cluster.random.random() < 0.2:
        server.spool.files.pop(min(server.spool.files))


KINDS = (submit, cancel, kill, cut, stall, distrust, spoil)


def run(seed: int) -> SimulatedCluster:
    """Faults of some kinds (of all kinds at once, one covers for the other), then none, until all is quiet."""
    cluster = SimulatedCluster(
        seed, luses=1 + seed % 2, css=1 + seed % 3
    )  # of few servers none covers for others
    kinds = cluster.random.sample(KINDS, cluster.random.randint(1, len(KINDS)))
    cluster.submit(8, 1e6)
    for _ in range(FAULTS):
        cluster.clock.pass_until(cluster.clock.now + cluster.random.expovariate(0.4))
        cluster.random.choice(kinds)(cluster)
        cluster.check()
    cluster.faulty = False
    for server in cluster.running.values():
        if isinstance(server, ComputeServer) and server.distrusts:
            server.trust(set())
    calm = cluster.clock.now
    while unrest := cluster.unrest():
        assert cluster.clock.now < calm + 1500, f"it never comes to an end: {unrest}"
        cluster.clock.pass_until(cluster.clock.now + 5)
        cluster.check()
    cluster.clock.pass_until(cluster.clock.now + 1)
    return cluster


FAILED = {1: "failed (on ", 3: "failed 3 times (on "}
"""How the reason begins when all the attempts that a job allows failed."""


def check_outcome(cluster: SimulatedCluster) -> None:
    """What the disks say when all is over."""
    queue = store.load_queue(cluster.disk, cluster.clock.now)
    assert set(cluster.accepted) <= set(queue.jobs), "an accepted job is lost"
    assert queue.jobs.keys() == cluster.running[Role.WS, 0].queue.jobs.keys()
    for table in ("leases", "placements"):
        assert cluster.disk.execute(f"SELECT * FROM {table}").fetchall() == []
    for job, state in queue.jobs.items():
        assert state.ended
        ends = dict(cluster.disk.execute("SELECT task, state FROM ends WHERE job = ?", (job,)))
        closed = cluster.disk.execute(
            "SELECT closed_state, closed_reason FROM jobs WHERE id = ?", (job,)
        ).fetchone()
        for task in range(len(state.states)):
            assert ends.get(task, closed[0]) == state.state(task)
        reasons = cluster.disk.execute(
            "SELECT reason FROM ends WHERE job = ? AND state = ?", (job, TaskState.FAILED)
        ).fetchall()
        assert all(
            reason.startswith((FAILED[state.job.attempts], f"{limits.VANISHED} machines"))
            for (reason,) in reasons
        )
        assert closed[0] is None or closed[1]
    assert all(spool.files == {} for spool, _ in cluster.cs_disks.values())


def seeds(count: int) -> list[int]:
    if "RJS_SEED" in os.environ:
        return [int(os.environ["RJS_SEED"])]
    return list(range(count))


def check_seeds(count: int, failures: list[str]) -> None:
    for seed in seeds(count):
        try:
            check_outcome(run(seed))
            assert failures == []
        except Exception as error:
            error.add_note(f"to repeat: RJS_SEED={seed}; logged: {failures}")
            raise


def test_every_task_ends_exactly_once(logged_failures: list[str]) -> None:
    """Kills, cuts and silence change the time, not the outcome: one answer or one reason for each task."""
    check_seeds(SEEDS, logged_failures)


def disturb(cluster: SimulatedCluster) -> None:
    """A LUS or the WS is killed, or what is between them stalls or is cut, for less than a lease."""
    random = cluster.random
    place = random.choice([each for each in cluster.places if each[0] is not Role.CS])
    between = [each for each in cluster.links if each.dialled.name.role is Role.WS]
    match random.choice(("kill", "kill", "cut", "stall")):
        case "cut" if between:
            cluster.cut(random.choice(between), cluster.clock.now + 15 * random.random())
        case "stall" if between:
            random.choice(between).stall(15 * random.random())
        case _:
            cluster.kill(place, 15 * random.random())


def run_disturbed(seed: int) -> SimulatedCluster:
    """Long tasks, and one disturbance after the other, each of which heals within a lease."""
    cluster = SimulatedCluster(seed, luses=1 + seed % 2, css=1 + seed % 3)
    cluster.faulty = False
    cluster.task_seconds = cluster.random.choice((5.0, 40.0, 100.0))
    cluster.clock.pass_until(cluster.clock.now + 10)
    cluster.submit(6, 1e6)
    for _ in range(8):
        cluster.clock.pass_until(cluster.clock.now + 40 + cluster.random.expovariate(0.2))
        disturb(cluster)
        cluster.check()
    calm = cluster.clock.now
    while unrest := cluster.unrest():
        assert cluster.clock.now < calm + 1500, f"it never comes to an end: {unrest}"
        cluster.clock.pass_until(cluster.clock.now + 5)
        cluster.check()
    return cluster


def check_undisturbed(count: int, failures: list[str]) -> None:
    for seed in seeds(count):
        try:
            cluster = run_disturbed(seed)
            check_outcome(cluster)
            assert cluster.needless == []
            assert failures == []
        except Exception as error:
            error.add_note(f"to repeat: RJS_SEED={seed}; logged: {failures}")
            raise


def test_nothing_is_run_again_that_need_not_be(logged_failures: list[str]) -> None:
    """What runs on a living CS is not started again because a LUS or the WS was away for less than a lease."""
    check_undisturbed(100, logged_failures)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_nothing_is_run_again_whatever_the_seed(logged_failures: list[str]) -> None:
    """The same for many more seeds."""
    check_undisturbed(int(os.environ.get("RJS_SEEDS", "5000")), logged_failures)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_every_task_ends_exactly_once_whatever_the_seed(logged_failures: list[str]) -> None:
    """The same for many more seeds."""
    check_seeds(int(os.environ.get("RJS_SEEDS", "5000")), logged_failures)
