"""Where attempts were placed, as the LUSs told: only what was placed may answer. Pure.

A placement outlives its lease: an answer stays valid until its task has ended.
"""

from __future__ import annotations

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from ws import limits
from ws.instructions import PlacementKnown


class Placements:
    """The placements of the tasks that have not ended."""

    def __init__(self) -> None:
        self._known: dict[BundleId, dict[int, dict[AttemptId, PlacementKnown]]] = {}

    def get(self, attempt: AttemptId) -> PlacementKnown | None:
        """Where the attempt was placed; None when nobody said, or its task has ended."""
        return self._known.get(BundleId(attempt.job), {}).get(attempt.task, {}).get(attempt)

    def entry(self, attempt: AttemptId, cs: str, cs_name: str) -> PlacementKnown:
        """The journal entry of a new placement, which says what is forgotten for it."""
        of_task = self._known.get(BundleId(attempt.job), {}).get(attempt.task, {})
        forgotten = min(of_task) if len(of_task) >= limits.PLACEMENTS else None
        return PlacementKnown(attempt, cs, cs_name, forgotten)

    def know(self, entry: PlacementKnown) -> None:
        """Take a new or a journalled entry in."""
        of_job = self._known.setdefault(BundleId(entry.attempt.job), {})
        of_task = of_job.setdefault(entry.attempt.task, {})
        of_task[entry.attempt] = entry
        if entry.forgotten is not None:
            of_task.pop(entry.forgotten, None)

    def forget_task(self, job: BundleId, task: int) -> None:
        """The task ended."""
        of_job = self._known.get(job)
        if of_job is not None:
            of_job.pop(task, None)

    def forget(self, job: BundleId) -> None:
        """The job ended."""
        self._known.pop(job, None)
