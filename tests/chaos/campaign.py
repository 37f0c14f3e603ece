"""One run: jobs flow, faults happen, everything heals, and what is left is judged.

    report = run(folder, Plan(seed=1, seconds=60, tasks=150))

The schedule of faults and the jobs follow from the seed; what coincides with what does not quite, for real processes
and a real network are not deterministic. The history is what can be judged again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from aftermath import aftermath
from checker import Violation, check
from faults import Fault, schedule
from history import (
    AnswerSeen,
    AnyEvent,
    Began,
    EndFound,
    FaultBegan,
    Healed,
    HistoryFile,
    JobFound,
    Refused,
    ServerEnded,
    Submitting,
)
from load import Submitter, orders
from payload import read_log
from sites import LOOKUP_SERVERS, Machine, site

from rjs.clock import steady_seconds

COMPUTE_SERVERS = tuple(f"cs{number}" for number in range(1, 7))
LOOK = 0.05
HEALING = 180.0
"""Seconds in which every task must have ended once the last fault is over: leases, five vanished attempts, files that
are judged again (``ws.limits.JUDGE_AGAIN``)."""


@attrs.frozen
class Plan:
    """What is to be run. ``pause``: seconds between two faults, on average."""

    seed: int
    seconds: float
    tasks: int
    pause: float = 1.5
    compute_servers: tuple[str, ...] = COMPUTE_SERVERS


@attrs.frozen
class Report:
    """What came of it."""

    plan: Plan
    history: Path
    events: Sequence[AnyEvent] = attrs.field(repr=False)
    violations: Sequence[Violation]
    critical: dict[str, int]
    """How many critical lines each server's log has. Where a machine is at fault that may be right: people look."""

    def count(self, kind: type[AnyEvent]) -> int:
        """How many events of this kind there are."""
        return sum(isinstance(event, kind) for event in self.events)

    @property
    def faults(self) -> Counter[str]:
        """How many faults of each kind were done."""
        return Counter(event.kind for event in self.events if isinstance(event, FaultBegan))

    @property
    def ends(self) -> Counter[str]:
        """How many tasks ended how."""
        ends = Counter(event.state for event in self.events if isinstance(event, EndFound))
        single = Counter(event.job for event in self.events if isinstance(event, EndFound))
        for job in (event for event in self.events if isinstance(event, JobFound) and event.closed):
            ends[job.closed] += job.tasks - single[job.job]
        return ends

    @property
    def latencies(self) -> list[float]:
        """Seconds from submitting to seeing the answer of each task, in order of size."""
        begun = {event.job: event.at for event in self.events if isinstance(event, Submitting)}
        return sorted(event.at - begun[event.job] for event in self.events if isinstance(event, AnswerSeen))

    def lines(self) -> list[tuple[str, str]]:
        """The whole of it for people: what, and how much."""
        told = [("seed", str(self.plan.seed)), ("jobs", str(self.count(Submitting)))]
        told += [("uploads refused", str(self.count(Refused)))]
        told += [(f"tasks {state}", str(count)) for state, count in sorted(self.ends.items())]
        told += [(f"fault: {kind}", str(count)) for kind, count in sorted(self.faults.items())]
        died = [event for event in self.events if isinstance(event, ServerEnded) and not event.wanted]
        told += [("servers that ended by themselves", str(len(died)))]
        latencies = self.latencies
        for percent in (50, 90, 99, 100) if latencies else ():
            value = latencies[min(len(latencies) - 1, len(latencies) * percent // 100)]
            told.append((f"seconds to an answer, {percent} %", f"{value:.2f}"))
        told += [
            (f"critical log lines of {name}", str(count)) for name, count in self.critical.items() if count
        ]
        told += [("violations", str(len(self.violations))), ("history", str(self.history))]
        return told


def run(folder: Path, plan: Plan, say: Callable[[str], object] = lambda _: None) -> Report:
    """Do all of it below ``folder``, which need not be there. Takes ``plan.seconds``, and healing."""
    folder.mkdir(parents=True, exist_ok=True)
    history = HistoryFile(folder / f"history-{plan.seed}.jsonl")
    say(f"seed {plan.seed}, history {history.path}")
    place = folder / "site"
    place.mkdir()
    with site(place, plan.compute_servers) as (made, person):
        log = folder / "tasks.log"
        log.touch(mode=0o666)
        history.tell(Began(seed=plan.seed, compute_servers=plan.compute_servers))
        machines = {name: Machine(made, server, history) for name, server in made.servers.items()}
        waiting = list(orders(plan.seed, plan.tasks, plan.seconds * 0.9))
        submitter = Submitter(made, person, history, log, waiting)
        hosts = ["ws", *LOOKUP_SERVERS, *plan.compute_servers]
        _Run(plan, machines, submitter, list(schedule(plan.seed, hosts, plan.seconds, plan.pause)), say).go()
        history.tell_all(read_log(log, {each.job[:16]: each.job for each in submitter.all}))
        history.tell_all(aftermath(made, person))
        critical = {
            server.name: server.log.read_text(errors="replace").count("#critical]")
            for server in made.servers.values()
        }
    history.close()
    return Report(plan, history.path, history.events, check(history.events), critical)


@attrs.define
class _Run:
    """The loop."""

    plan: Plan
    machines: dict[str, Machine]
    submitter: Submitter
    faults: list[Fault]
    say: Callable[[str], object]
    active: list[Fault] = attrs.field(factory=list)

    def go(self) -> None:
        """Faults and jobs, healing, and an orderly end."""
        began = steady_seconds()
        while (elapsed := steady_seconds() - began) < self.plan.seconds or self.active:
            self._change(elapsed)
            self._step(elapsed)
        self._history.tell(Healed())
        self.say("healed; waiting for what is left")
        healed = steady_seconds()
        while self._is_busy() and steady_seconds() < healed + HEALING:
            self._step(steady_seconds() - began)
        for machine in self.machines.values():
            machine.stop()
        for machine in self.machines.values():
            machine.stopped()

    @property
    def _history(self) -> HistoryFile:
        return self.submitter.history

    def _is_busy(self) -> bool:
        down = any(machine.server.process is None for machine in self.machines.values())
        return bool(self.submitter.waiting or self.submitter.under_way or down)

    def _change(self, elapsed: float) -> None:
        """Begin and end the faults that are due."""
        for fault in [each for each in self.active if each.until <= elapsed]:
            self.machines[fault.host].end(fault)
            self.active.remove(fault)
        while self.faults and self.faults[0].at <= elapsed:
            fault = self.faults.pop(0)
            if fault.organ in self.machines[fault.host].faults:
                continue  # the one before could not be undone in time
            self.machines[fault.host].begin(fault)
            self.active.append(fault)

    def _step(self, elapsed: float) -> None:
        now = steady_seconds()
        for machine in self.machines.values():
            machine.look(now)
        self.submitter.step(now, elapsed)
        time.sleep(LOOK)
