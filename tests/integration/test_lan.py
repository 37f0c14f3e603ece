"""WS, LUS and two CSs on four machines of one LAN: real multicast, real cables that can be pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import PATIENCE, Cluster, running_cluster, wait_for
from jobs import Gate, band, write_mandelbrot
from netns import Lan

from rjs.limits import CS_LEASE

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        Lan(["ws", "lus", "cs1", "cs2"]) as lan,
        running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"], lan) as made,
    ):
        yield made


def test_the_job_runs_across_machines(cluster: Cluster, tmp_path: Path) -> None:
    """Eight answers come from two machines, which nobody told the LUS of."""
    assert cluster.lan is not None
    servers = cluster["lus"].document()["servers"]
    assert {each["name"]: each["address"] for each in servers} == {
        name: cluster.lan.address(name) for name in ("cs1", "cs2")
    }
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture", gate=gate)))
    gate.wait_for_arrivals(2)
    gate.open()
    answers = cluster.ada.answers(job, tasks=8)
    assert {task: answer.files["out/band.ppm"] for task, answer in answers.items()} == {
        task: band(task) for task in range(8)
    }
    assert {answer.receipt.cs_name for answer in answers.values()} == {"cs1", "cs2"}
    cluster.quiet()


@pytest.mark.parametrize("cut", ["unplug", "partition"])
def test_a_machine_is_cut_off_in_mid_task(cluster: Cluster, tmp_path: Path, cut: str) -> None:
    """Its task starts elsewhere within a second of its lease's end, beside what a start takes in this run; healed,
    it is registered again, and its late answer doubles nothing."""
    assert cluster.lan is not None
    gate = Gate(tmp_path / "gate")
    bundle = cluster.ada.pack(write_mandelbrot(tmp_path / cut, tasks=2, gate=gate))
    began = time.monotonic()
    job = cluster.ada.place(bundle)
    gate.wait_for_arrivals(2)
    floor = time.monotonic() - began
    lost, kept = sorted(cluster.running(job), key=lambda task: cluster.running(job)[task].name)
    gate.open(kept)
    wait_for(lambda: kept in cluster.ada.delivered(job), story=cluster.story)

    began = time.monotonic()
    getattr(cluster.lan, cut)("cs1")
    gate.wait_for_arrivals(2, lost)
    assert time.monotonic() - began < CS_LEASE + 1 + 2 * floor
    gate.open()
    answers = cluster.ada.answers(job, tasks=2)
    assert answers[lost].receipt.cs_name == "cs2"
    assert "lost" in states(cluster) or "cs1" not in states(cluster)
    holds = cluster["cs1"].document
    wait_for(lambda: holds()["answers_waiting"] == 1, story=cluster.story)

    cluster.lan.plug("cs1")
    cluster.registered("cs1", "cs2")
    cluster.quiet()
    assert cluster.ada.answers(job, tasks=2) == answers
    shown = cluster.ada.status(job)
    assert [(task["state"], task["cs"]) for task in shown["tasks"]].count(("committed", "cs2")) >= 1
    assert shown["job"]["committed"] == 2


def test_the_web_server_is_cut_off(cluster: Cluster, tmp_path: Path) -> None:
    """While the WS cannot be reached the tasks end and the CSs keep the answers; healed, each is committed once."""
    assert cluster.lan is not None
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "away", tasks=2, gate=gate)))
    gate.wait_for_arrivals(2)
    cluster.lan.partition("ws")
    gate.open()
    wait_for(lambda: all(server.document()["answers_waiting"] == 1 for server in cluster.compute_servers))
    assert cluster.ada.delivered(job) == {}
    cluster.lan.plug("ws")
    answers = cluster.ada.answers(job, tasks=2, within=2 * PATIENCE)
    assert [answers[task].files["out/band.ppm"] for task in range(2)] == [band(0, 2), band(1, 2)]
    assert [len(gate.arrivals(task)) for task in range(2)] == [1, 1]
    cluster.quiet()


def states(cluster: Cluster) -> dict[str, str]:
    """What the LUS says of each CS."""
    return {each["name"]: each["state"] for each in cluster["lus"].document()["servers"]}
