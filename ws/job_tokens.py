"""Job tokens at the web server: is exactly this attempt current, and placed on the compute server that asks?

What was signed is judged here and again by the authority; who runs what is known here alone. The attempts' progress
is kept here too: in memory, of current attempts, the newest of each.
"""

from __future__ import annotations

import attrs
from twisted.logger import Logger

from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.identity.job_tokens import CheckedJobToken, JobTokenRequest, check_job_token, job_name
from rjs.ids import BundleId
from ws import limits
from ws.members import Members
from ws.queue import Queue
from ws.shell import Shell

_log = Logger("ws.jobs")


def check_current(queue: Queue, lus: str, attempt: AttemptId, cs: str) -> None:
    """Refuse unless this is the newest attempt at an open task, placed on ``cs``, under a lease that ``lus`` holds.

    Raises RefusedError.
    """
    lease = queue.lease_of(BundleId(attempt.job), attempt.task)
    if lease is None or lease.lus != lus or lease.placed != attempt:
        raise RefusedError(
            "stale-fence", "this attempt is not the current one of its task, or not this LUS's"
        )
    if queue.judge(attempt, cs, "") is not None:
        raise RefusedError("not-placed", f"this attempt was not placed on rjs://cs/{cs}")


@attrs.frozen
class JobTokenDesk:
    """Has tokens issued for the jobs of current attempts."""

    shell: Shell
    members: Members

    async def certify(self, lus: str, request: JobTokenRequest) -> tuple[bytes, ...]:
        """The chain, DER, leaf first, for the job that ``request``, which ``lus`` carried, is for. Raises
        RefusedError."""
        checked = check_job_token(request, self.members.root, self.members.wall())
        self._check(lus, checked)
        chain = await self.members.issuer.certify_job(request)
        self._check(lus, checked)
        _log.info("issued a token to {name}", name=job_name(checked.attempt).uri())
        return chain

    def _check(self, lus: str, checked: CheckedJobToken) -> None:
        check_current(self.shell.queue, lus, checked.attempt, checked.cs.id)


@attrs.frozen
class Progress:
    """What an attempt told: how far it is, from 0 to 1, and in words."""

    attempt: AttemptId
    fraction: float
    text: str

    def words(self) -> str:
        """For a line of text."""
        return f"{self.fraction:.0%}" + (f", {self.text}" if self.text else "")


class ProgressBook:
    """The newest progress of each task that is under way."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._newest: dict[tuple[BundleId, int], Progress] = {}
        self._most = limits.PROGRESS_KEPT

    def note(self, progress: Progress) -> None:
        """A current attempt told this."""
        attempt = progress.attempt
        self._newest[BundleId(attempt.job), attempt.task] = progress
        if len(self._newest) > self._most:
            self._newest = {key: each for key, each in self._newest.items() if self._is_current(each)}
            self._most = max(limits.PROGRESS_KEPT, 2 * len(self._newest))

    def of_task(self, job: BundleId, task: int) -> Progress | None:
        """What the task's current attempt told; None when it told nothing."""
        found = self._newest.get((job, task))
        return found if found is not None and self._is_current(found) else None

    def of_job(self, job: BundleId) -> dict[int, Progress]:
        """The same of all tasks of a job, by task."""
        tasks = sorted(task for known, task in self._newest if known == job)
        return {task: found for task in tasks if (found := self.of_task(job, task)) is not None}

    def _is_current(self, progress: Progress) -> bool:
        attempt = progress.attempt
        lease = self._shell.queue.lease_of(BundleId(attempt.job), attempt.task)
        return lease is not None and lease.placed == attempt
