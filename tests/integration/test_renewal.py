"""Certificates that live for a minute, in real processes: everybody renews in time, and nobody's work notices."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import LOOK, Cluster, running_cluster, wait_for
from jobs import Gate, band, write_mandelbrot

pytestmark = pytest.mark.integration

LIFETIME = 60


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("c")
    with running_cluster(folder, ["cs1", "cs2"], ws_settings=[f"token_lifetime = {LIFETIME}"]) as made:
        yield made


def until(cluster: Cluster, name: str) -> str:
    """When the server's certificate ends, as it says."""
    return str(cluster[name].document()["certificate"]["until"])


def state(cluster: Cluster, name: str) -> str:
    """A compute server's state, as the lookup server says."""
    servers = cluster["lus"].document()["servers"]
    return next((each["state"] for each in servers if each["name"] == name), "gone")


def issued(cluster: Cluster) -> list[dict[str, Any]]:
    """The authority's log."""
    (log,) = (cluster["ws"].folder / "clusters").glob("*/identity/authority/issued.jsonl")
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_cluster_lives_through_renewals(cluster: Cluster, tmp_path: Path) -> None:
    """In the middle of a task every server renews twice: nothing is started again. A machine that slept past its
    end, and a person, come back by themselves; the authority may die meanwhile."""
    cluster["cs2"].send(signal.SIGSTOP)
    slept = time.monotonic()
    wait_for(lambda: state(cluster, "cs2") not in ("free", "busy"), story=cluster.story)
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", 2, gate)))
    gate.wait_for_arrivals(1)
    for number in range(2):
        before = {name: until(cluster, name) for name in ("ws", "lus", "cs1")}
        wait_for(lambda: all(until(cluster, name) != end for name, end in before.items()), 2 * LIFETIME)  # noqa: B023
        if number == 0:
            authority = [each for each in cluster["ws"].below() if "ws.authority.main" in each.cmdline()]
            os.kill(authority[0].pid, signal.SIGKILL)
    while time.monotonic() < slept + LIFETIME + 5:
        time.sleep(LOOK)
    assert len(gate.arrivals()) == 1
    cluster["cs2"].send(signal.SIGCONT)
    cluster.registered("cs1", "cs2")
    told = cluster["lus"].log.read_text()
    assert "with an expired certificate, to renew it" in told
    assert "rjs://expired/" not in "\n".join(
        line for line in told.splitlines() if " refused forbidden" in line
    )
    gate.open()
    answers = cluster.ada.answers(job, 2)
    for task, answer in answers.items():
        assert answer.files["out/band.ppm"] == band(task, 2)
    shown = cluster.ada.wait_until(job, "done")
    assert [task["attempts"] for task in shown["tasks"]] == [0, 0], "no attempt failed or vanished"
    assert len(gate.arrivals()) == 2, "no task was started twice"
    kinds = [(line["kind"], line["name"].split("/")[2]) for line in issued(cluster)]
    assert kinds.count(("renewal", "lus")) >= 2 and kinds.count(("renewal", "cs")) >= 3
    assert kinds.count(("renewal", "user")) >= 1 and kinds.count(("own", "ws")) >= 3
    assert cluster["ws"].document()["authority"]["restarts"] == 1
