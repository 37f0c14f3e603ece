"""Whose turn it is: at each LUS, the jobs that it could be given tasks of, in rotation. Pure.

Jobs that a LUS gave back stand aside, so that a hundred thousand of them cost nothing, until its epoch changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import attrs

from rjs.ids import BundleId


@attrs.define
class Lus:
    """What the queue knows of a LUS. ``want``: leases that it can use in all. ``since``: the number of the first
    lease granted in its present session; what it has of lower numbers it must know from before."""

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

    def now_at(self, epoch: int) -> None:
        """The LUS tells its epoch: when it changed, what stood aside is in the rotation again."""
        if epoch != self.epoch:
            self.epoch = epoch
            aside, self._aside = self._aside, {}
            self.offer(aside)
