"""What is replied to an offered answer, as far as that can be said before anyone reads it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from rjs.attempts import AttemptId
from rjs.ids import BundleId
from rjs.jobs import ENDED, TaskState
from ws.job import JobState
from ws.placements import Placements


@attrs.frozen
class Verdict:
    """The reply to an offered answer (DESIGN section 3)."""

    verdict: str
    code: str = ""
    sentence: str = ""


_DIGEST = 32  # bytes of SHA-256

COMMITTED = Verdict("committed")
DUPLICATE = Verdict("duplicate")


class Verdicts:
    """The digests of the committed answers, and what follows from them and from where attempts were placed."""

    def __init__(self, jobs: Mapping[BundleId, JobState], placements: Placements) -> None:
        self._jobs = jobs
        self._placements = placements
        self._committed: dict[BundleId, bytearray] = {}
        """One digest after the other, by task: a million are 32 MB, and ten times that as strings in a dictionary."""

    def committed(self, job: BundleId, task: int, sha256: str) -> None:
        """The task has its answer: the same bytes offered again are the same answer."""
        if job not in self._committed:
            self._committed[job] = bytearray(_DIGEST * len(self._jobs[job].states))
        digests = self._committed[job]
        digests[_DIGEST * task : _DIGEST * (task + 1)] = bytes.fromhex(sha256)

    def judge(self, attempt: AttemptId, cs: str, sha256: str) -> Verdict | None:
        """None: the answer may be committed if it is sound."""
        job = BundleId(attempt.job)
        state = self._jobs.get(job)
        if state is None or attempt.task >= len(state.states):
            return Verdict("refused", "unknown-task", "no such task is known here")
        stands = state.state(attempt.task)
        if stands is TaskState.COMMITTED:
            return COMMITTED if self._digest(job, attempt.task) == sha256 else DUPLICATE
        if stands in ENDED:
            return Verdict(
                "refused", f"task-{stands.name.lower()}", f"the task is {stands.name.lower()} already"
            )
        placed = self._placements.get(attempt)
        if placed is None or placed.cs != cs:
            return Verdict(
                "refused", "not-placed", "no LUS that held the lease said that it places this attempt there"
            )
        return None

    def _digest(self, job: BundleId, task: int) -> str:
        return self._committed.get(job, b"")[_DIGEST * task : _DIGEST * (task + 1)].hex()
