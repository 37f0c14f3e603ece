"""Whichever side can, dials: firewalls in either direction, no multicast, several lookup servers on one LAN."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import LOOK, Cluster, running_cluster, wait_for
from jobs import band, write_job, write_mandelbrot
from netns import Lan

pytestmark = pytest.mark.integration

NEXT_LUS = 2.0
"""Seconds within which a CS whose LUS is lost is served by the next."""
BUSY = 3.0
"""Seconds more that a busy machine may take for it."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with (
        Lan(["ws", "lus", "lus2", "cs1", "cs2"]) as lan,
        running_cluster(tmp_path_factory.mktemp("c"), ["cs1"], lan) as made,
    ):
        yield made


@contextmanager
def firewall(cluster: Cluster, host: str, *what: str) -> Iterator[None]:
    """Drops on its way in what matches."""
    assert cluster.lan is not None
    for change in ("-A", "-D"):
        for table in ("iptables", "ip6tables"):
            cluster.lan.run(host, [table, change, "INPUT", *what, "-j", "DROP"], check=True)
        if change == "-A":
            yield


CALLS = ("-p", "tcp", "--syn")
MULTICAST = ("-p", "udp", "--dport", "5353")


@pytest.mark.parametrize("walled", ["cs1", "lus"])
def test_a_firewall_in_either_direction(cluster: Cluster, walled: str) -> None:
    """A machine that takes no calls is registered all the same, by the other side or its own dial."""
    cluster["cs1"].stop()
    with firewall(cluster, walled, *CALLS):
        cluster["cs1"].start()
        cluster.registered("cs1")
        cluster["cs1"].send(signal.SIGSTOP)  # the session breaks, and is dialled again
        wait_for(lambda: "cs1" not in cluster.reachable(), story=cluster.story)
        cluster["cs1"].send(signal.SIGCONT)
        cluster.registered("cs1")


def test_where_multicast_is_blocked(cluster: Cluster, tmp_path: Path) -> None:
    """A CS that hears and is heard by nobody computes for the lookup server that its owner named."""
    assert cluster.lan is not None
    with firewall(cluster, "cs2", *MULTICAST), firewall(cluster, "cs2", *CALLS):
        place = f"{cluster.lan.address('lus')}:{cluster['lus'].document()['port']}"
        cluster.add_cs("cs2", cluster.ada, settings=[f'lus=["{place}"]'])
        cluster.registered("cs2")
        assert cluster["cs2"].document()["lookup_servers"] == {place: ""}
        job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture")))
        answers = cluster.ada.answers(job, tasks=8)
        assert {task: answer.files["out/band.ppm"] for task, answer in answers.items()} == {
            task: band(task) for task in range(8)
        }
        cluster["cs2"].stop()


def dials(cluster: Cluster) -> int:
    """Sessions that either lookup server has lost, as their logs say."""
    return sum(cluster[name].log.read_text().count(" lost cs1: ") for name in ("lus", "lus2"))


@pytest.mark.parametrize("walled", ["", "cs1", "lus"])
def test_another_lookup_server_takes_over(cluster: Cluster, tmp_path: Path, walled: str) -> None:
    """A CS stays with the lookup server that has it; killed, the other one serves it within two seconds, whichever
    side can dial, and a job that comes in this moment is run. When the first is back it takes nothing away, nobody
    dials in vain. (``bench/failover.py`` measures it.)"""
    if "lus2" not in cluster.servers:
        cluster.add_lus("lus2")
    walls = {"": [], "cs1": ["cs1"], "lus": ["lus", "lus2"]}[walled]
    walling = [firewall(cluster, host, *CALLS) for host in walls]
    for each in walling:
        each.__enter__()
    cluster.registered("cs1", lus=(first := _server_of(cluster)))
    other = {"lus": "lus2", "lus2": "lus"}[first]
    assert cluster.reachable(other) == set()
    bundle = cluster.ada.pack(write_job(tmp_path / f"after-{walled}", "import time; print(time.monotonic())"))
    cluster[first].kill()
    began = time.monotonic()
    job = cluster.ada.place(bundle)
    cluster.registered("cs1", lus=other)
    took = time.monotonic() - began
    (answer,) = cluster.ada.answers(job, tasks=1).values()
    ran = float(answer.files["stdout.txt"]) - began
    cluster[first].start()
    before = dials(cluster)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        assert cluster.reachable(first) == set() and cluster.reachable(other) == {"cs1"}
        time.sleep(LOOK)
    assert dials(cluster) - before <= 2
    for each in walling:
        each.__exit__(None, None, None)
    assert took < NEXT_LUS + BUSY and ran < NEXT_LUS + BUSY


def _server_of(cluster: Cluster) -> str:
    """The lookup server that has cs1."""

    def found() -> str:
        return next((name for name in ("lus", "lus2") if "cs1" in cluster.reachable(name)), "")

    return wait_for(found, story=cluster.story)
