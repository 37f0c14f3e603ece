"""Where attempts were placed, as the LUSs told: only what was placed may answer. Pure.

A placement outlives its lease: an answer stays valid until its task has ended.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from ws import limits
from ws.instructions import PlacementKnown


@attrs.define
class Placed:
    """A placed attempt. ``until``: its hard end. ``lapsed``: its lease ended for silence alone, so that it may well
    run and be leased again. ``stray``: the LUS that said that it runs without a lease; it hears of the task's end."""

    attempt: AttemptId
    cs: str
    cs_name: str
    until: float
    lapsed: bool = False
    stray: str = ""


class Placements:
    """The placements of the tasks that have not ended."""

    def __init__(self) -> None:
        self._known: dict[BundleId, dict[int, dict[AttemptId, Placed]]] = {}

    def get(self, attempt: AttemptId) -> Placed | None:
        """Where the attempt was placed; None when nobody said, or its task has ended."""
        return self._of_task(attempt.job, attempt.task).get(attempt)

    def is_newest(self, attempt: AttemptId) -> bool:
        """Whether no attempt with a higher fence was placed at its task."""
        return attempt == max(self._of_task(attempt.job, attempt.task), default=None)

    def entry(self, attempt: AttemptId, cs: str, cs_name: str) -> PlacementKnown:
        """The journal entry of a new placement, which says what is forgotten for it."""
        of_task = self._of_task(attempt.job, attempt.task)
        forgotten = min(of_task) if len(of_task) >= limits.PLACEMENTS else None
        return PlacementKnown(attempt, cs, cs_name, forgotten)

    def know(self, entry: PlacementKnown, until: float) -> Placed:
        """Take a new or a journalled entry in."""
        of_job = self._known.setdefault(BundleId(entry.attempt.job), {})
        of_task = of_job.setdefault(entry.attempt.task, {})
        placed = of_task[entry.attempt] = Placed(entry.attempt, entry.cs, entry.cs_name, until)
        if entry.forgotten is not None:
            of_task.pop(entry.forgotten, None)
        return placed

    def loose(self, job: BundleId, task: int | None = None) -> list[Placed]:
        """The attempts at a task, or at all of the job, that may run on without a lease, by task."""
        tasks = sorted(self._known.get(job, {})) if task is None else (task,)
        placed = (each for number in tasks for each in self._of_task(job, number).values())
        return [each for each in placed if each.lapsed or each.stray]

    def strays(self, job: BundleId, task: int | None = None) -> Iterator[Placed]:
        """The attempts at a task, or at all of the job, that run without a lease."""
        tasks = self._known.get(job, {}).values() if task is None else (self._of_task(job, task),)
        return (placed for of_task in tasks for placed in of_task.values() if placed.stray)

    def forget_task(self, job: BundleId, task: int) -> None:
        """The task ended."""
        of_job = self._known.get(job)
        if of_job is not None:
            of_job.pop(task, None)

    def forget(self, job: BundleId) -> None:
        """The job ended."""
        self._known.pop(job, None)

    def _of_task(self, job: str, task: int) -> dict[AttemptId, Placed]:
        return self._known.get(BundleId(job), {}).get(task, {})
