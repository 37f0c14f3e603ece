"""A month of the real servers on a faked clock: certificates of 48 hours, tasks of up to three days, machines asleep.

Everything is real but what lies outside the servers' own processes (``machines``): their code, keys, TLS, databases
and files. What happens every second in production happens every ten minutes here (``month_cluster.STRETCH``).
"""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest
from machines import DAY, World
from month_cluster import MonthCluster, stretch
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer

HOURS = (1, 5, 20, 60, 70)
"""What tasks take: the longest outlive the certificates with which they were begun."""

ASLEEP, BACK, LATE = 4, 12, 39
"""The day on which two desktops fall asleep, and those on which they wake: within the grace, and after it."""


OF_JOBS = {"Queue", "Verdicts", "JobState", "Adoption", "Dispatch", "Watcher", "BundleCache", "OpenedBundle"}
OF_JOBS |= {"ZipArchive", "Present", "Bundles", "CheckpointBook", "_Server"}
"""Classes that hold something of every job while it is remembered, or its bundle kept; ``_Server`` of the last
``JOBS_TIMED`` ones."""


@attrs.define
class Month:
    """The cluster, and what was seen of it."""

    cluster: MonthCluster
    renewed: Counter[str] = attrs.field(factory=Counter)
    until: dict[str, str] = attrs.field(factory=dict)
    sizes: dict[int, Counter[str]] = attrs.field(factory=dict)

    def look(self) -> None:
        """Every hour: nobody who is awake has an expired certificate or an old list, and renewals are counted."""
        for name, machine in self.cluster.machines.items():
            said = self.cluster.status(name)
            if machine.awake:
                assert said["certificate"]["seconds_left"] > 0, f"{name} on day {self.cluster.world.days}"
                assert said["certificate"]["trouble"] == "", name
                assert not said["revocations"]["stale"], name
            if self.until.setdefault(name, said["certificate"]["until"]) != said["certificate"]["until"]:
                self.until[name] = said["certificate"]["until"]
                self.renewed[name] += 1


@pytest.fixture(scope="module")
def logged() -> Iterator[list[LogEvent]]:
    """Everything that the servers log."""
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def keep(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(keep)
    yield events
    globalLogPublisher.removeObserver(keep)


@pytest.fixture
def month(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    """A cluster on its first day; ``RJS_SEED`` repeats one."""
    seed = int(os.environ.get("RJS_SEED", "0")) or Random().randrange(1, 10_000)
    print(f"to repeat: RJS_SEED={seed}")  # noqa: T201 - pytest shows it where the test fails
    monkeypatch.setattr("random.random", Random(seed).random)
    stretch(monkeypatch)
    cluster = MonthCluster(tmp_path, World(dt.datetime(2031, 3, 1, tzinfo=dt.UTC)), monkeypatch, seed)
    yield Month(cluster)
    cluster.close()


def live(month: Month, first: int, last: int) -> None:
    """Live from one day to another, with a job of three tasks every third day: two desktops keep up with that."""
    cluster, world = month.cluster, month.cluster.world
    for day in range(first, last):
        if day % 3 == 0:
            cluster.submit([cluster.random.choice(HOURS) for _ in range(3)], days=40)
        for hour in range(24):
            world.pass_until(day * DAY + hour * 3600)
            month.look()
    world.pass_until(last * DAY)
    month.look()


def sizes(cluster: MonthCluster) -> Counter[str]:
    """How much there is of what must not grow: connections, timers, and what the servers hold of sessions."""
    found: Counter[str] = Counter(ends=sum(not end.lost for end in cluster.world.ends))
    for name, machine in cluster.machines.items():
        calls = [call for call in machine.getDelayedCalls() if call.active()]
        found[f"{name}: timers"] = len(calls)
    for name, app in cluster.apps.items():
        for what, size in held(app):
            found[f"{name}: {what}"] += size
    return found


def held(app: Any) -> Iterator[tuple[str, int]]:
    """The containers of the objects of our own classes that can be reached from a server, by class and attribute."""
    seen, left = set[int](), [app]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        values = each.values() if isinstance(each, dict) else each if isinstance(each, list | tuple) else ()
        left += [value for value in values if _is_ours(value)]
        if type(each).__module__.partition(".")[0] in ("rjs", "lus", "cs", "ws"):
            counts = type(each).__name__ not in OF_JOBS
            for attribute, value in _attributes(each):
                if counts and isinstance(value, dict | list | set | deque):
                    yield f"{type(each).__name__}.{attribute}", len(value)
                if _is_ours(value):
                    left.append(value)


def _attributes(each: Any) -> list[tuple[str, Any]]:
    slots = [name for kind in type(each).__mro__ for name in getattr(kind, "__slots__", ())]
    pairs = [
        (name, getattr(each, name, None)) for name in slots if isinstance(name, str) and name[:2] != "__"
    ]
    return pairs + list(getattr(each, "__dict__", {}).items())


def _is_ours(value: Any) -> bool:
    ours = type(value).__module__.partition(".")[0] in ("rjs", "lus", "cs", "ws")
    return isinstance(value, dict | list | tuple) or (ours and not isinstance(value, type))


def test_a_cluster_lives_through_a_month(month: Month, logged: list[LogEvent]) -> None:
    """Certificates are renewed again and again and none ends where somebody is awake; no task is disturbed; a desktop
    that slept past its certificate's end comes back by itself, and one that slept too long is told what to do."""
    cluster = month.cluster
    live(month, 0, ASLEEP)
    running = {
        name: app._shell.machine.attempt for name, app in cluster.apps.items() if name in ("cs-2", "cs-3")
    }
    disturbed = {f"{each.job[:16]}-{each.task}" for each in running.values() if each is not None}
    cluster.machines["cs-2"].awake = cluster.machines["cs-3"].awake = False
    live(month, ASLEEP, BACK)
    assert {each["name"]: each["state"] for each in cluster.status("lus")["servers"]}["cs-1"] != "lost"
    assert cluster.status("cs-2")["certificate"]["seconds_left"] < 0

    cluster.machines["cs-2"].awake = True
    cluster.world.pass_until(BACK * DAY + 60)
    assert cluster.status("cs-2")["certificate"]["seconds_left"] > 0
    assert cluster.status("cs-2")["lus"] == "lus"
    live(month, BACK, 14)
    month.sizes[14] = sizes(cluster)
    live(month, 14, 30)
    month.sizes[30] = sizes(cluster)

    for name in ("ws", "lus", "cs-1"):
        assert month.renewed[name] >= 20, name
    assert month.renewed["cs-2"] >= 14
    live(month, 30, LATE)
    accepted = sum(cluster.submitted.values())
    attempts = Counter(cluster.began())
    assert len(cluster.answers()) > accepted - 12, "the last jobs may still run"
    assert {task for task, times in attempts.items() if times > 1} <= disturbed
    assert set(cluster.answers()) <= set(attempts)

    cluster.machines["cs-3"].awake = True
    cluster.world.pass_until(LATE * DAY + 600)
    said = cluster.status("cs-3")
    for words in (said["certificate"]["trouble"], *told(logged)):
        assert "join again into a new folder: the operator runs rjs ca invite" in words
        assert "--role cs" in words and "rjs join INVITATION DIR" in words
    assert said["lus"] is None
    assert not any("log_failure" in each for each in logged)
    before, after = month.sizes[14], month.sizes[30]
    assert not {what: (before[what], size) for what, size in after.items() if size > before[what] + 4}


def told(logged: list[LogEvent]) -> list[str]:
    """What keepers warned of: a certificate that cannot be renewed any more."""
    sentences = [formatEvent(each) for each in logged if each["log_namespace"] == "rjs.renewal"]
    found = [each for each in sentences if "beyond_grace" in each]
    assert found
    return found
