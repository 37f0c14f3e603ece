"""``jobs/<bundle>.status.txt``: what became of an upload, true to the end, for people who have only ``scp``.

The text is made from the queue; writing is throttled for a job that runs and immediate for one that ended.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from twisted.logger import Logger

from rjs.background import Tasks, Timers, Workers
from rjs.ids import BundleId
from ws import limits
from ws.homes import Homes
from ws.job import JobState

_log = Logger("ws.status")


class StatusFiles:
    """Writes the status files of jobs and of refused uploads."""

    def __init__(
        self,
        homes: Homes,
        workers: Workers,
        timers: Timers,
        tasks: Tasks,
        job: Callable[[BundleId], JobState],
    ) -> None:
        self._homes = homes
        self._workers = workers
        self._timers = timers
        self._tasks = tasks
        self._job = job
        self._due: set[BundleId] = set()
        self._writing: set[BundleId] = set()
        self._scheduled = False

    def changed(self, job: BundleId) -> None:
        """The job's file is out of date."""
        self._due.add(job)
        if self._job(job).ended:
            self._write_all()
        elif not self._scheduled:
            self._scheduled = True
            self._timers.callLater(limits.STATUS_INTERVAL, self._turn)

    def refused(self, account: str, file_name: str, sentence: str) -> None:
        """An upload that did not become a job."""
        self._tasks.spawn(
            "status file", self._write(account, file_name, f"state: refused\nrefused: {sentence}\n")
        )

    def _turn(self) -> None:
        self._scheduled = False
        self._write_all()

    def _write_all(self) -> None:
        due, self._due = self._due - self._writing, self._due & self._writing
        for job in due:
            self._writing.add(job)
            self._tasks.spawn("status file", self._write_job(job))

    async def _write_job(self, job: BundleId) -> None:
        state = self._job(job)
        try:
            await self._write(state.job.user, state.job.file_name, job_text(state))
        finally:
            self._writing.discard(job)
        if job in self._due:
            self.changed(job)

    async def _write(self, account: str, file_name: str, text: str) -> None:
        try:
            await self._workers.run(partial(self._homes.write_status, account, file_name, text))
        except OSError as error:
            _log.warn("cannot write the status of {file} of {account}: {error}", file=file_name,
                      account=account, error=error)  # fmt: skip


def job_text(state: JobState) -> str:
    """What the file of an accepted job says."""
    line = state.line()
    accepted = dt.datetime.fromtimestamp(line.accepted, dt.UTC)
    lines = [
        f"state: {line.state}",
        f"job: {line.job}",
        f"name: {line.name}",
        f"accepted: {accepted:%Y-%m-%d %H:%M:%S} UTC",
        f"tasks: {line.tasks} (waiting {line.waiting}, running {line.running}, committed {line.committed}, "
        f"failed {line.failed}, cancelled {line.cancelled})",
    ]
    if line.committed:
        lines.append(f"answers: ans/{line.job[:16]}/")
    if line.reason:
        lines.append(f"reason: {line.reason}")
    for task, story in sorted(state.stories.items())[: limits.STORIES]:
        detail = " ".join(story.detail.split())
        lines.append(f"task {task}: {state.state(task).name.lower()}; {detail}")
    return "\n".join(lines) + "\n"
