"""Whose turn it is: LUSs take turns, and at each LUS the jobs that it could be given tasks of. Pure.

Jobs that a LUS gave back stand aside, so that a hundred thousand of them cost nothing, until its epoch changes.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import attrs

from rjs.ids import BundleId
from rjs.wire.messages import LeasedTask
from ws import limits
from ws.instructions import Instruction, LeaseGranted, SendGrant
from ws.job import JobState
from ws.task_leases import TaskLeases

NO_LUS = "no lookup server is connected"
NO_CS = "no lookup server has a compute server at present"


class Standing(enum.Enum):
    """How a job that has open tasks stands with a LUS: what ``Dispatch.grant`` makes of it."""

    AWAY = "away"
    """The LUS is not connected."""
    NO_CS = "no-cs"
    """It wants no tasks at all: it has no compute server."""
    ASIDE = "aside"
    """It gave the job back, and its epoch is the same."""
    FULL = "full"
    """It has as many tasks as it wants."""
    DUE = "due"
    """It is given tasks of the job at the next grant."""


@attrs.define
class Lus:
    """What the queue knows of a LUS. ``want``: leases that it can use in all. ``since``: the number of the first
    lease granted in its present session; what it has of lower numbers it must know from before. 0: it has not come
    since the WS started, and may be of another ``boot`` by now."""

    boot: str
    connected: bool = False
    want: int = 0
    epoch: int = 0
    since: int = 0
    _ready: OrderedDict[BundleId, None] = attrs.field(factory=OrderedDict)
    _aside: dict[BundleId, None] = attrs.field(factory=dict)

    @property
    def ready(self) -> int:
        """How many jobs are in the rotation."""
        return len(self._ready)

    def offer(self, jobs: Iterable[BundleId]) -> None:
        """These jobs have open tasks: they join the end of the rotation, unless they are in it or stand aside."""
        for job in jobs:
            if job not in self._aside:
                self._ready.setdefault(job)

    def next(self) -> BundleId:
        """The job whose turn it is; it goes to the end of the rotation."""
        job = next(iter(self._ready))
        self._ready.move_to_end(job)
        return job

    def forget(self, job: BundleId) -> None:
        """The job has no open task any more, or has ended."""
        self._ready.pop(job, None)
        self._aside.pop(job, None)

    def set_aside(self, job: BundleId, epoch: int) -> None:
        """The LUS cannot place the job as its CSs were at ``epoch``; later ones are worth another try."""
        self.now_at(max(epoch, self.epoch))
        if epoch == self.epoch:
            self._ready.pop(job, None)
            self._aside[job] = None

    def stands_aside(self, job: BundleId) -> bool:
        """Whether the job is not offered before the epoch changes."""
        return job in self._aside

    def rotation(self) -> Iterable[BundleId]:
        """The jobs that take turns, in turn."""
        return self._ready.keys()

    def now_at(self, epoch: int) -> None:
        """The LUS tells its epoch: when it changed, what stood aside is in the rotation again."""
        if epoch != self.epoch:
            self.epoch = epoch
            aside, self._aside = self._aside, {}
            self.offer(aside)


class Dispatch:
    """Gives open tasks to the LUSs that can use some."""

    def __init__(self, generation: int, jobs: Mapping[BundleId, JobState], leases: TaskLeases) -> None:
        self.luses: dict[str, Lus] = {}
        self._generation = generation
        self._jobs = jobs
        self._leases = leases

    def meet(self, lus: str, boot: str) -> Lus:
        """A new process of a LUS: every job that has open tasks is offered to it."""
        known = self.luses[lus] = Lus(boot)
        for job, state in self._jobs.items():
            state.blocked.pop(lus, None)
            if state.open:
                known.offer([job])
        return known

    def offer(self, job: BundleId) -> None:
        """The job has open tasks."""
        for lus in self.luses.values():
            lus.offer([job])

    def forget(self, job: BundleId) -> None:
        """The job has ended."""
        for lus in self.luses.values():
            lus.forget(job)

    def connected(self) -> list[Lus]:
        """The LUSs that are connected."""
        return [lus for lus in self.luses.values() if lus.connected]

    def why_unserved(self) -> str:
        """What keeps every open task waiting, whatever it needs; empty when nothing does."""
        connected = self.connected()
        if not connected:
            return NO_LUS
        return "" if any(lus.want for lus in connected) else NO_CS

    def standing(self, job: BundleId, lus_id: str) -> Standing:
        """How the job, which has open tasks, stands with this LUS."""
        lus = self.luses[lus_id]
        if not lus.connected:
            return Standing.AWAY
        if not lus.want:
            return Standing.NO_CS
        if lus.stands_aside(job):
            return Standing.ASIDE
        return Standing.DUE if self._room(lus_id, lus) > 0 else Standing.FULL

    def grant(self, now: float) -> list[Instruction]:
        """Lease as much as is wanted and open: LUSs in turn, jobs in turn."""
        instructions: list[Instruction] = []
        for lus_id in tuple(self.luses):
            lus = self.luses[lus_id]
            before = len(instructions)
            while lus.connected and lus.ready and (room := self._room(lus_id, lus)) > 0:
                instructions += self._grant_to(lus_id, lus, min(room, limits.GRANT), now)
            if len(instructions) > before:
                self.luses[lus_id] = self.luses.pop(lus_id)
        return instructions

    def _room(self, lus_id: str, lus: Lus) -> int:
        return lus.want - self._leases.count(lus_id, lus.boot)

    def _grant_to(self, lus_id: str, lus: Lus, room: int, now: float) -> list[Instruction]:
        """One round of the jobs. Numbers rise from word to word: a LUS takes a lower one for one that it had."""
        entries: list[Instruction] = []
        words: list[Instruction] = []
        share = max(1, room // lus.ready)
        for _ in range(min(lus.ready, room)):
            job = lus.next()
            granted = self._take(job, lus_id, lus.boot, share, now)
            if not self._jobs[job].open:
                lus.forget(job)
            if granted:
                entries += granted
                words.append(self._word(lus_id, job, granted))
        return [*entries, *words]

    def _take(self, job: BundleId, lus: str, boot: str, most: int, now: float) -> list[LeaseGranted]:
        granted: list[LeaseGranted] = []
        while len(granted) < most and (task := self._jobs[job].take()) is not None:
            granted.append(self._leases.grant(job, task, lus, boot, now))
        return granted

    def _word(self, lus: str, job: BundleId, granted: list[LeaseGranted]) -> SendGrant:
        state = self._jobs[job]
        tasks = (
            LeasedTask(each.number, each.task, tuple(state.stories[each.task].avoid))
            if each.task in state.stories
            else LeasedTask(each.number, each.task)
            for each in granted
        )
        kept = state.checkpoints
        checkpoints = tuple(kept[each.task].ref for each in granted if each.task in kept) if kept else ()
        return SendGrant(lus, self._generation, state.job.brief, tuple(tasks), checkpoints)
