"""What compute servers' committed answers show of their speed, beside what they state of it. Pure.

A compute server states its own Linpack figure and may lie. What it cannot choose is how long others take for the
same job: of the tasks of one job that ran on several machines, time × stated speed is work as each machine counts it,
and whoever counts far more work than the others do for the same is slower than it states, by that ratio.

What is assumed: a machine gets any of a job's tasks, so that tasks of different sizes even out; whether they do is
judged by their spread (the middle three quarters of both samples must not overlap), and by the median of several
jobs. A job says nothing where tasks are so short that their start decides (SHORTEST_TASK), or where fewer than two
machines have enough of them. Seconds are counted here, from the order to start to the offer of the answer; a failed
task does not count, for it may have ended at once, and neither does an answer that the WS did not commit.

What it costs to be found wrong is bounded both ways: a machine's rank is never above what it states, and is halved
only as often as its tasks show, so that noise neither moves honest neighbours past each other nor a machine that
states less than twice its speed. Nobody gains by stating more once measured. What this does not find: a machine that
answers quickly with nonsense that is committed, and one that gets all tasks of every job.
"""

from __future__ import annotations

import math
import statistics
from array import array
from collections.abc import Iterable, Iterator, Mapping

import attrs

from lus import limits

Spread = tuple[float, float, float]
"""The lowest eighth, the median and the highest eighth of a sample begin here."""


@attrs.define
class _Durations:
    """Seconds of the newest tasks of one job on one CS; ``at``: when the last was committed."""

    seconds: array[float] = attrs.field(factory=lambda: array("f"))
    at: float = 0.0
    _spread: Spread | None = None

    def add(self, seconds: float, now: float) -> None:
        self.seconds.append(seconds)
        del self.seconds[: -limits.TASKS_TIMED]
        self.at, self._spread = now, None

    def spread(self) -> Spread | None:
        """None while there are too few to say anything, or they are too short."""
        if self._spread is None and len(self.seconds) >= limits.TASKS_TO_JUDGE:
            eighths = statistics.quantiles(self.seconds, n=8, method="inclusive")
            self._spread = eighths[0], eighths[3], eighths[6]
        long = self._spread is not None and self._spread[1] >= limits.SHORTEST_TASK
        return self._spread if long else None


@attrs.define
class _Server:
    """Of one CS. ``halved``: how often what it states is halved; ``shown_at``: when it was last shown to be right or
    wrong; ``most``: its speed by that."""

    jobs: dict[str, _Durations] = attrs.field(factory=dict)
    stated: float = 0.0
    halved: int = 0
    shown_at: float = 0.0
    most: float = math.inf

    def durations(self, job: str) -> _Durations:
        """Of this job, which is the newest now."""
        found = self.jobs.pop(job, None) or _Durations()
        self.jobs[job] = found
        while len(self.jobs) > limits.JOBS_TIMED:
            del self.jobs[next(iter(self.jobs))]
        return found


class MeasuredSpeeds:
    """By CS, whether or not it is registered now: a restart does not make it honest."""

    def __init__(self) -> None:
        self._servers: dict[str, _Server] = {}
        self._judged = -math.inf

    def took(self, cs: str, job: str, seconds: float, now: float) -> None:
        """An answer of this job by this CS was committed, so many seconds after it was given the task."""
        server = self._servers.pop(cs, None) or _Server()
        self._servers[cs] = server
        while len(self._servers) > limits.SPEEDS_KEPT:
            del self._servers[next(iter(self._servers))]
        server.durations(job).add(seconds, now)

    def of(self, cs: str, stated: float) -> float:
        """The speed by which it is ranked, in MFLOPS: what it states, or less."""
        server = self._servers.get(cs)
        return stated if server is None else min(stated, server.most)

    def judge(self, stated: Mapping[str, float], now: float) -> None:
        """Compare again, at most every JUDGED seconds, by what those that are registered now state."""
        if now - self._judged < limits.JUDGED:
            return
        self._judged = now
        for cs, server in self._servers.items():
            server.stated = stated.get(cs, server.stated)
        shown = _shown(self._servers, now)
        for cs, server in self._servers.items():
            if cs in shown:
                server.halved = settled(server.halved, shown[cs])
                server.shown_at = now
            elif now - server.shown_at >= limits.SPEED_FORGOTTEN:
                server.halved = 0
            server.most = server.stated / 2**server.halved if server.halved else math.inf


def settled(halved: int, shown: float) -> int:
    """How often to halve a stated speed of which tasks have ``shown`` this share, when it was ``halved`` so often:
    never to below what is shown, and less often only when it is clearly more, so that noise does not move it."""
    times = math.floor(-math.log2(shown))
    return times if times > halved or shown >= 1.5 / 2**halved else halved


def _shown(servers: Mapping[str, _Server], now: float) -> dict[str, float]:
    """The share of its stated speed that each CS has shown, 1 at most: the median of its jobs, the better of two."""
    shares: dict[str, list[float]] = {}
    for work in _work_by_job(servers, now):
        for cs, share in _shares(work):
            shares.setdefault(cs, []).append(share)
    return {cs: statistics.median_high(found) for cs, found in shares.items()}


def _work_by_job(servers: Mapping[str, _Server], now: float) -> Iterable[dict[str, Spread]]:
    """For each job, what each CS takes a task of it for: seconds × stated MFLOPS."""
    jobs: dict[str, dict[str, Spread]] = {}
    for cs, server in servers.items():
        for job, durations in server.jobs.items():
            found = durations.spread()
            if found is not None and server.stated > 0 and now - durations.at < limits.SPEED_FORGOTTEN:
                low, middle, high = (each * server.stated for each in found)
                jobs.setdefault(job, {})[cs] = low, middle, high
    return jobs.values()


def _shares(work: Mapping[str, Spread]) -> Iterator[tuple[str, float]]:
    """Each CS's share of what it states. It is measured by the one in the middle, of two by the better: half of them
    would have to lie, or to answer nonsense, to move it."""
    if len(work) < 2:
        return
    ordered = sorted(middle for _, middle, _ in work.values())
    middle = ordered[(len(ordered) - 1) // 2]
    reference = next(each for each in work.values() if each[1] == middle)
    for cs, (low, own, _) in work.items():
        yield cs, middle / own if low > reference[2] else 1.0
