"""Whatever is killed at whatever moment: exactly one correct answer of each task, and nothing left running."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import PATIENCE, Cluster, Server, running_cluster, wait_for
from jobs import Gate, band, write_job, write_mandelbrot

from rjs.limits import CS_LEASE

pytestmark = pytest.mark.integration

KNOWN_DEAD = 2.0
"""Seconds until the task of a process known dead runs elsewhere."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c")) as made:
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def begin(cluster: Cluster, tmp_path: Path, gate: Gate, tasks: int = 8) -> tuple[str, dict[int, Server]]:
    """A picture in tasks of which three wait at the gate, one on each CS; and which task is on which."""
    cluster.registered()
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", tasks, gate)))
    gate.wait_for_arrivals(3)
    running = cluster.running(job)
    assert len(running) == 3
    return job, running


def check(cluster: Cluster, job: str, tasks: int = 8) -> None:
    """Exactly one answer of each task, each verified and correct; nothing runs any more."""
    answers = cluster.ada.answers(job, tasks)
    for task, answer in answers.items():
        assert answer.files["out/band.ppm"] == band(task, tasks)
    shown = cluster.ada.wait_until(job, "done")
    assert (shown["job"]["committed"], shown["job"]["failed"], shown["job"]["cancelled"]) == (tasks, 0, 0)
    cluster.quiet()


def test_a_compute_server_dies_in_mid_task(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """Its task starts elsewhere within two seconds, beside what starting takes in this run, and its process is gone
    with it; restarted, it takes tasks again. (``bench/failover.py`` measures it.)"""
    began = time.monotonic()
    job, running = begin(cluster, tmp_path, gate)
    floor = time.monotonic() - began
    task, victim = min(running.items())
    began = time.monotonic()
    victim.kill()
    gate.open()
    gate.wait_for_arrivals(2, task)
    assert time.monotonic() - began < KNOWN_DEAD + 2 * floor
    cluster.ada.answers(job, tasks=8)
    victim.start()
    check(cluster, job)
    cluster.registered()


def test_the_lookup_server_dies_in_mid_task(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """The tasks run on without it; what they answer reaches the WS through the next one."""
    job, _ = begin(cluster, tmp_path, gate)
    cluster["lus"].kill()
    gate.open()
    cluster["lus"].start()
    check(cluster, job)


def test_answers_wait_for_a_lookup_server(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """Tasks that end while there is no LUS lose nothing: the CSs keep the answers until they are committed."""
    job, running = begin(cluster, tmp_path, gate)
    cluster["lus"].kill()
    gate.open()
    holding(*running.values())
    assert cluster.ada.delivered(job) == {}
    cluster["lus"].start()
    check(cluster, job)


def test_the_web_server_dies_in_mid_task(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """Tasks that end while there is no WS lose nothing, and the restarted one knows where everything stood.

    What a WS killed in the middle of writing leaves in a home is gone too.
    """
    job, running = begin(cluster, tmp_path, gate)
    cluster["ws"].kill()
    half_written = [cluster.ada.jobs / ".0123456789abcdef.part", cluster.ada.ans / job[:16] / ".7.jar.part"]
    for path in half_written:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"PK")
    gate.open()
    holding(*running.values())
    cluster["ws"].start()
    check(cluster, job)
    assert not any(path.exists() for path in half_written)
    assert all(len(gate.arrivals(task)) == 1 for task in range(8))


def test_everything_dies_in_mid_task(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """A power cut: all start again in any order, and the job is finished."""
    job, _ = begin(cluster, tmp_path, gate)
    for server in cluster.servers.values():
        server.kill()
    gate.open()
    for server in reversed(cluster.servers.values()):
        server.start()
    check(cluster, job)


def test_a_silent_compute_server_loses_its_task(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """Its task starts elsewhere within a second of its lease's end, beside what starting takes in this run; the
    answer that it has when it wakes doubles nothing."""
    began = time.monotonic()
    job, running = begin(cluster, tmp_path, gate, tasks=3)
    floor = time.monotonic() - began
    (task, frozen), (other, _), *_ = sorted(running.items())
    frozen.send(signal.SIGSTOP)
    began = time.monotonic()
    gate.open(other)
    gate.wait_for_arrivals(2, task)
    assert time.monotonic() - began < CS_LEASE + 1 + 2 * floor

    gate.open()
    answers = cluster.ada.answers(job, tasks=3)
    assert answers[task].receipt.cs_name != frozen.name
    frozen.send(signal.SIGCONT)
    check(cluster, job, tasks=3)
    assert cluster.ada.answers(job, tasks=3) == answers
    cluster.registered()


QUICK = """
import os, time
time.sleep(0.15)
task = os.environ["RJS_TASK_INDEX"]
open(os.environ["RJS_OUTPUT"] + "/square.txt", "w").write(str(int(task) ** 2))
"""


def torment(cluster: Cluster, tmp_path: Path, seed: int, tasks: int, kills: int) -> None:
    """Run a job while servers die at random moments, each started again at once.

    Fewer CSs are killed than may vanish under one task before it is failed.
    """
    chance = random.Random(seed)
    cluster.registered()
    job = cluster.ada.place(cluster.ada.pack(write_job(tmp_path / f"quick-{seed}", QUICK, tasks=tasks)))
    victims = ["cs1", "cs2", "cs3", "cs1", *chance.choices(["ws", "lus"], k=kills - 4)]
    chance.shuffle(victims)
    for victim in victims:
        time.sleep(chance.uniform(0, 1))
        cluster[victim].kill()
        cluster[victim].start()
    answers = cluster.ada.answers(job, tasks, within=2 * PATIENCE)
    for task, answer in answers.items():
        assert answer.files["out/square.txt"] == str(task**2).encode()
    shown = cluster.ada.wait_until(job, "done")
    assert (shown["job"]["committed"], shown["job"]["failed"]) == (tasks, 0)
    cluster.quiet()


@pytest.mark.timeout(240)
def test_kills_at_random_moments(cluster: Cluster, tmp_path: Path) -> None:
    """Each server dies again and again while forty tasks run: forty answers."""
    torment(cluster, tmp_path, seed=1, tasks=40, kills=10)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 12))
def test_many_kills_at_random_moments(cluster: Cluster, tmp_path: Path, seed: int) -> None:
    """The same with other moments, for long."""
    torment(cluster, tmp_path, seed=seed, tasks=150, kills=24)


def holding(*servers: Server) -> None:
    """Waits until each of these CSs holds an answer that nobody has taken yet."""
    wait_for(lambda: all(server.document()["answers_waiting"] for server in servers))
