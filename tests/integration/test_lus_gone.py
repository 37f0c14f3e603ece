"""A lookup server that is gone for good, and the compute server that it had with it: another one gets its tasks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, wait_for
from jobs import Gate, band, write_mandelbrot

pytestmark = pytest.mark.integration

SHORTENED = Path(__file__).with_name("shortened.py")
LUS_LEASE, LUS_RENEWAL = 8.0, 2.0
"""Seconds; sixty and twenty in what is installed, of which the chaos run of ten minutes has its share."""
BUSY = 12.0
"""Seconds more that a busy machine may take: a start, and the next look at the leases."""
TASKS = 4


class ShortLeases(Cluster):
    """A cluster in which the WS's leases are short, for both of those who count."""

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a server with other limits."""
        _, *arguments = argv
        changed = f"LUS_LEASE={LUS_LEASE},LUS_RENEWAL={LUS_RENEWAL}"
        return super().popen(host, [sys.executable, "-P", SHORTENED, changed, *arguments], **options)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A WS, a LUS and a CS."""
    (tmp_path / "c").mkdir()
    made = ShortLeases(tmp_path / "c")
    try:
        made.found()
        made.add_lus()
        made.add_cs("cs1", made.add_user("ada"))
        made.registered()
        yield made
        made.stop()
        made.check_the_end()
    finally:
        made.kill_the_rest()


def test_another_lus_takes_the_tasks(cluster: Cluster, tmp_path: Path) -> None:
    """What the dead LUS had leased, running or waiting, is leased to another one when its lease ends, and not before;
    each task has its one answer. Should they come back after all, that changes nothing."""
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture", TASKS, gate)))
    gate.wait_for_arrivals(1)
    leased = cluster["lus"].document()["leases"]
    assert leased >= 1
    for name in ("cs1", "lus"):
        cluster[name].kill()
    gone = time.monotonic()
    cluster.add_lus("lus2")
    cluster.add_cs("cs2", cluster.ada)
    gate.open()
    wait_for(lambda: len(cluster.ada.delivered(job)) >= TASKS - leased, story=cluster.story)
    answers = cluster.ada.answers(job, TASKS)
    took = time.monotonic() - gone
    assert [answers[task].files["out/band.ppm"] for task in range(TASKS)] == [
        band(task, TASKS) for task in range(TASKS)
    ]
    assert {each.receipt.cs_name for each in answers.values()} == {"cs2"}
    assert LUS_LEASE - LUS_RENEWAL - 1 < took < LUS_LEASE + BUSY
    for name in ("lus", "cs1"):
        cluster[name].start()
    cluster.ada.wait_until(job, "done")
    cluster.quiet()
    assert cluster.ada.answers(job, TASKS) == answers
