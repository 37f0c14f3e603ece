"""The task leases: which task is leased to which process of which LUS, under which number, until when. Pure.

Numbers rise for ever. A lease can move from one process to another together with the attempt that was placed under
it: number and fence stay, and with them the attempt's answer.
"""

from __future__ import annotations

import attrs

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from rjs.leases import LeaseTable
from rjs.limits import LUS_LEASE
from ws import limits
from ws.instructions import LeaseAdopted, LeaseClosed, LeaseGranted
from ws.placements import Placed


@attrs.define
class TaskLease:
    """A task lease as the WS keeps it. ``until``: its hard end, beyond which no renewal counts. ``placed``: the
    newest attempt that was placed under it."""

    number: int
    job: BundleId
    task: int
    lus: str
    boot: str
    until: float
    placed: AttemptId | None = None
    cs: str = ""
    cs_name: str = ""

    def place(self, placed: Placed) -> None:
        """Under it this attempt was placed, which has a hard end of its own."""
        self.placed, self.cs, self.cs_name, self.until = (
            placed.attempt, placed.cs, placed.cs_name, placed.until,
        )  # fmt: skip


class TaskLeases:
    """Leases by number and by task; each process of a LUS has a clock for all of its own."""

    def __init__(self, next_number: int) -> None:
        self.next_number = next_number
        self._lease: dict[int, TaskLease] = {}
        self._by_task: dict[tuple[str, int], int] = {}
        self._clock: LeaseTable[int, tuple[str, str]] = LeaseTable(LUS_LEASE)

    def __len__(self) -> int:
        return len(self._lease)

    def get(self, number: int) -> TaskLease | None:
        """The lease of this number, if it lives."""
        return self._lease.get(number)

    def all(self) -> list[TaskLease]:
        """Every lease, in the order of granting."""
        return list(self._lease.values())

    def of_task(self, job: str, task: int) -> TaskLease | None:
        """The lease of a task."""
        number = self._by_task.get((job, task))
        return None if number is None else self._lease[number]

    def held(self, lus: str, boot: str) -> list[TaskLease]:
        """What this process holds, by number."""
        return [self._lease[number] for number in sorted(self._clock.held((lus, boot)))]

    def holds(self, lus: str, boot: str, number: int) -> bool:
        """Whether this process holds the lease."""
        return self._clock.holder(number) == (lus, boot)

    def good_until(self, lease: TaskLease) -> float:
        """When this lease lapses if its holder does not renew."""
        return self._clock.until((lease.lus, lease.boot))

    def count(self, lus: str, boot: str) -> int:
        """How many this process holds."""
        return self._clock.count((lus, boot))

    def left_by(self, lus: str, boot: str = "") -> list[TaskLease]:
        """What other processes of this LUS than the one given hold, by number."""
        found = [
            self.held(*holder) for holder in self._clock.holders() if holder[0] == lus and holder[1] != boot
        ]
        return sorted((each for held in found for each in held), key=lambda each: each.number)

    def grant(self, job: BundleId, task: int, lus: str, boot: str, now: float) -> LeaseGranted:
        """A new lease, with the next number."""
        entry = LeaseGranted(self.next_number, job, task, lus, boot)
        self.next_number += 1
        self.hold(entry, now)
        return entry

    def hold(self, entry: LeaseGranted | LeaseAdopted, now: float) -> TaskLease:
        """Take a new or a journalled lease in; whoever held one of the same number holds it no more."""
        lease = TaskLease(entry.number, entry.job, entry.task, entry.lus, entry.boot, now + limits.UNPLACED)
        self._lease[lease.number] = lease
        self._by_task[lease.job, lease.task] = lease.number
        self._clock.grant(lease.number, (lease.lus, lease.boot), now)
        return lease

    def renew(self, lus: str, boot: str, now: float) -> None:
        """All that this process holds is good for another full lease."""
        self._clock.renew((lus, boot), now)

    def end(self, number: int) -> LeaseClosed:
        """The lease is over."""
        lease = self._lease.pop(number)
        del self._by_task[lease.job, lease.task]
        self._clock.end(number)
        return LeaseClosed(number)

    def lapsed(self, now: float) -> list[TaskLease]:
        """What was not renewed in time: no longer anybody's, and for the caller to end."""
        return [
            self._lease[number] for numbers in self._clock.expire(now).values() for number in sorted(numbers)
        ]
