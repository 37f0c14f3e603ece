"""Nothing is computed twice because a lookup server or the web server died in mid-task: real processes, kill -9."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Server, running_cluster, wait_for
from jobs import Gate, band, write_mandelbrot

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two lookup servers, two compute servers."""
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        made.add_lus("lus2")
        yield made


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def luses(cluster: Cluster) -> list[Server]:
    return [each for each in cluster.servers.values() if each.role == "lus" and each.process]


def tasks_at(lus: Server) -> set[str]:
    """What the LUS holds as running at CSs that it is connected with."""
    servers = lus.document()["servers"]
    return {each["task"] for each in servers if each["task"] and each["state"] == "busy"}


def all_held(cluster: Cluster, job: str, running: dict[int, Server]) -> bool:
    """Whether the living LUSs hold every task that runs."""
    held = set().union(*(tasks_at(each) for each in luses(cluster)))
    return held == {f"{job[:16]}/{task}" for task in running}


def begin(cluster: Cluster, tmp_path: Path, gate: Gate, tasks: int = 4) -> tuple[str, dict[int, Server]]:
    """A job of which two tasks wait at the gate, one on each CS; and which task is on which."""
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", tasks, gate)))
    gate.wait_for_arrivals(2)
    running = cluster.running(job)
    assert len(running) == 2
    wait_for(lambda: all_held(cluster, job, running), story=cluster.story)
    return job, running


def finish(cluster: Cluster, job: str, gate: Gate, tasks: int = 4) -> None:
    """Every task has one answer, of the one process that was started for it."""
    gate.open()
    answers = cluster.ada.answers(job, tasks)
    assert all(answer.files["out/band.ppm"] == band(task, tasks) for task, answer in answers.items())
    cluster.ada.wait_until(job, "done")
    cluster.quiet()
    assert [len(gate.arrivals(task)) for task in range(tasks)] == [1] * tasks


def test_a_restarted_lus_adopts_what_runs(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """kill -9 of all LUSs; the one that is started again holds what the CSs run, and nothing is computed twice."""
    job, running = begin(cluster, tmp_path, gate)
    for lus in luses(cluster):
        lus.kill()
    cluster["lus"].start()
    wait_for(lambda: all_held(cluster, job, running), story=cluster.story)
    assert len(gate.arrivals()) == 2
    finish(cluster, job, gate)
    cluster["lus2"].start()


def test_a_restarted_ws_knows_what_runs(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """kill -9 of the WS: both LUSs keep their leases over its restart."""
    job, running = begin(cluster, tmp_path, gate)
    cluster["ws"].kill()
    cluster["ws"].start()
    wait_for(lambda: all(each.document()["ws"]["connected"] for each in luses(cluster)))
    assert all_held(cluster, job, running)
    finish(cluster, job, gate)


def test_ws_and_lus_die_together(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """The WS's journal and the CSs' words are enough."""
    job, running = begin(cluster, tmp_path, gate)
    for server in (cluster["ws"], *luses(cluster)):
        server.kill()
    for name in ("lus2", "ws", "lus"):
        cluster[name].start()
    wait_for(lambda: all_held(cluster, job, running), story=cluster.story)
    finish(cluster, job, gate)


def test_another_lus_adopts_what_a_dead_one_left(cluster: Cluster, tmp_path: Path, gate: Gate) -> None:
    """kill -9 of the LUS that serves a CS, for good: the CS falls over to the other one, with what it runs."""
    job, running = begin(cluster, tmp_path, gate, tasks=2)
    victim = max(luses(cluster), key=lambda each: len(tasks_at(each)))
    victim.kill()
    wait_for(lambda: all_held(cluster, job, running), story=cluster.story)
    finish(cluster, job, gate, tasks=2)
    victim.start()
