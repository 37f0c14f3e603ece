"""What becomes of attempts that run on at a CS while the LUS that placed them is gone, or has lost them. Pure.

A LUS to which a CS tells of attempts that it does not know asks for them. Who may have what: only an attempt that was
placed, on that very CS, and whose hard end is not over; and its lease only while nobody tries the task under another.
So who lies about a CS moves leases from LUS to LUS, and no more: what may answer is what was placed before, and an
adopted lease starts nothing, for its LUS gives it back instead (see ``lus.board``).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from rjs.jobs import TaskEvent
from rjs.wire.messages import MOVED, TaskAdopted
from ws import limits
from ws.dispatch import Lus
from ws.instructions import Instruction, JobChanged, LeaseAdopted, SendLeaseEnded
from ws.job import JobState
from ws.placements import Placed, Placements
from ws.task_leases import TaskLease, TaskLeases


class Fate(enum.Enum):
    """What an attempt may do that a CS tells of."""

    LEASED = "leased"
    """Run on, and be leased to the LUS that asked."""
    STRAY = "stray"
    """Run on without a lease: its answer may still be the first."""
    ENDED = "ended"
    """Nothing that it does can count any more."""


class Adoption:
    """Gives the leases of living attempts to the LUSs through which their CSs are reached."""

    def __init__(
        self,
        jobs: Mapping[BundleId, JobState],
        luses: Mapping[str, Lus],
        leases: TaskLeases,
        placements: Placements,
    ) -> None:
        self._jobs = jobs
        self._luses = luses
        self._leases = leases
        self._placements = placements

    def adopt(
        self, lus: str, cs: str, attempts: Iterable[AttemptId], now: float
    ) -> tuple[TaskAdopted, list[Instruction]]:
        """The reply to a LUS that was told by ``cs`` of these attempts, and instructions."""
        fates: dict[Fate, list[AttemptId]] = {fate: [] for fate in Fate}
        instructions: list[Instruction] = []
        for attempt in dict.fromkeys(attempts):
            placed = self._placements.get(attempt)
            if placed is None or placed.cs != cs or now >= placed.until:
                fates[Fate.ENDED].append(attempt)
            elif self._may_hold(lus, placed):
                fates[Fate.LEASED].append(attempt)
                instructions += self._take(lus, placed, now)
            else:
                fates[Fate.STRAY].append(attempt)
                placed.stray = lus
        jobs = dict.fromkeys(BundleId(each.job) for each in fates[Fate.LEASED])
        briefs = tuple(self._jobs[each].job.brief for each in jobs)
        return TaskAdopted(
            leased=tuple(fates[Fate.LEASED]), jobs=briefs, ended=tuple(fates[Fate.ENDED])
        ), instructions

    def orphans(self, cs: str) -> list[TaskLease]:
        """The leases with attempts on this CS whose LUS's process is known dead, by number."""
        found: list[TaskLease] = []
        for lus, known in self._luses.items():
            if known.since:
                found += [each for each in self._leases.left_by(lus, known.boot) if each.cs == cs]
        return found

    def _may_hold(self, lus: str, placed: Placed) -> bool:
        """Whether nobody tries the task otherwise, and this LUS has not too much already."""
        lease = self._leases.of_task(placed.attempt.job, placed.attempt.task)
        if lease is None:
            may = placed.lapsed and self._placements.is_newest(placed.attempt)
        else:
            may = lease.placed == placed.attempt
        boot = self._luses[lus].boot
        mine = lease is not None and self._leases.holds(lus, boot, lease.number)
        return may and (mine or self._leases.count(lus, boot) < limits.OUTSTANDING)

    def _take(self, lus: str, placed: Placed, now: float) -> list[Instruction]:
        attempt, boot = placed.attempt, self._luses[lus].boot
        job, number = BundleId(attempt.job), attempt.fence.lease
        lease = self._leases.of_task(job, attempt.task)
        told: list[Instruction] = []
        if lease is None:
            self._jobs[job].move(attempt.task, TaskEvent.LEASE)
        elif self._leases.holds(lus, boot, number):
            return []
        elif lease.lus != lus:
            told.append(
                SendLeaseEnded(lease.lus, (number,), MOVED, f"{placed.cs_name} serves another LUS now")
            )
        entry = LeaseAdopted(number, job, attempt.task, lus, boot)
        self._leases.hold(entry, now).place(placed)
        placed.lapsed, placed.stray = False, ""
        return [entry, *told, JobChanged(job)]
