"""``jobs/<bundle>.status.txt``: what became of an upload, true to the end, for people who have only ``scp``.

The text is made from the queue; writing is throttled for a job that runs and immediate for one that ended.
"""

from __future__ import annotations

import datetime as dt
import errno
from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import TypeAlias

from twisted.logger import Logger

from rjs.background import Tasks, Timers, Workers
from rjs.errors import OverloadedError
from rjs.ids import BundleId
from rjs.wire.messages import JobLine
from ws import limits
from ws.homes import Homes
from ws.job import JobState
from ws.job_tokens import Progress

_log = Logger("ws.status")

_File: TypeAlias = tuple[str, str]
"""The account and the file name of the bundle that a status file stands beside."""

_Text: TypeAlias = Callable[[], str]
"""Says what to write when it is written."""


class StatusFiles:
    """Writes the status files of jobs and of refused uploads: a few at once, again when too much is to do, and again
    at ``retry`` when the disk failed."""

    def __init__(
        self,
        homes: Homes,
        workers: Workers,
        timers: Timers,
        tasks: Tasks,
        job: Callable[[BundleId], JobState],
        line: Callable[[JobState], JobLine] = JobState.line,
        progress: Callable[[BundleId], Mapping[int, Progress]] = lambda _: {},
    ) -> None:
        self._homes = homes
        self._workers = workers
        self._timers = timers
        self._tasks = tasks
        self._job = job
        self._line = line
        self._progress = progress
        self._live: dict[_File, BundleId] = {}
        self._notes: dict[_File, tuple[BundleId, str]] = {}
        self._due: dict[_File, _Text] = {}
        self._ready: dict[_File, _Text] = {}
        self._writing: set[_File] = set()
        self._failed: dict[_File, _Text] = {}
        self._writers = 0
        self._scheduled = False

    def accepted(self, job: BundleId) -> None:
        """The file in ``jobs/`` is this job's: nothing that was said of another file of its name stands."""
        state = self._job(job)
        self._notes.pop((state.job.user, state.job.file_name), None)
        self.changed(job)

    def changed(self, job: BundleId) -> None:
        """The job's file is out of date."""
        state = self._job(job)
        file, text = (state.job.user, state.job.file_name), partial(self._text, state)
        if state.ended:
            if self._live.get(file) == job:
                del self._live[file]
            self._write_now(file, text)
        else:
            self._live[file] = job
            self._write_soon(file, text)

    def refused(self, account: str, file_name: str, sentence: str) -> None:
        """An upload that did not become a job."""
        self._note((account, file_name), f"state: refused\nrefused: {sentence}\n")

    def waiting(self, account: str, file_name: str, sentence: str) -> None:
        """An upload that is judged again by itself, and why not now."""
        self._note((account, file_name), f"state: waiting\nreason: {sentence}\n")

    def part(self, account: str, file_name: str, leads: tuple[str, ...]) -> None:
        """A JAR that is judged together with the files that name it."""
        listed = ", ".join(leads[:20]) + (" and others" if len(leads) > 20 else "")
        self._note(
            (account, file_name), f"state: part\nof: {listed}\nreason: the status of these says more\n"
        )

    def known_as(self, account: str, file_name: str, job: BundleId) -> None:
        """An upload whose very files are a job already, which was found by another name."""
        other = self._job(job).job.file_name
        self._note(
            (account, file_name),
            f"state: accepted\njob: {job}\nreason: it was found as {other} before; {other}.status.txt says more\n",
        )

    def retry(self) -> None:
        """Write what could not be written, unless something newer is about to be."""
        for file, text in self._failed.items():
            if file not in self._due and file not in self._writing:
                self._ready.setdefault(file, text)
        self._begin()

    def _note(self, file: _File, note: str) -> None:
        """What became of a new file; when an earlier one of its name is a job that lives, both are told."""
        job = self._live.get(file)
        if job is None:
            self._write_now(file, lambda: note)
        else:
            self._notes[file] = job, note
            self._write_now(file, partial(self._text, self._job(job)))

    def _text(self, state: JobState) -> str:
        job, note = self._notes.get((state.job.user, state.job.file_name), (None, ""))
        text = job_text(state, self._line(state), self._progress(state.job.id))
        return text if job != state.job.id else f"{note}\nan earlier file of this name is this job:\n{text}"

    def _write_soon(self, file: _File, text: _Text) -> None:
        self._due[file] = text
        if not self._scheduled:
            self._scheduled = True
            self._timers.callLater(limits.STATUS_INTERVAL, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._ready.update(self._due)
        self._due.clear()
        self._begin()

    def _write_now(self, file: _File, text: _Text) -> None:
        self._due.pop(file, None)
        self._ready[file] = text
        self._begin()

    def _begin(self) -> None:
        for _ in range(min(len(self._ready), limits.STATUS_AT_ONCE - self._writers)):
            self._writers += 1
            self._tasks.spawn("status files", self._write_all())

    async def _write_all(self) -> None:
        try:
            while (file := self._next()) is not None:
                self._writing.add(file)
                try:
                    await self._write(file, self._ready.pop(file))
                finally:
                    self._writing.discard(file)
        finally:
            self._writers -= 1

    def _next(self) -> _File | None:
        return next((file for file in self._ready if file not in self._writing), None)

    async def _write(self, file: _File, text: _Text) -> None:
        account, file_name = file
        try:
            await self._workers.run(partial(self._homes.write_status, account, file_name, text()))
        except OverloadedError:
            if file not in self._ready and file not in self._due:
                self._write_soon(file, text)
        except OSError as error:
            self._not_written(file, text, error)
        else:
            self._failed.pop(file, None)

    def _not_written(self, file: _File, text: _Text, error: OSError) -> None:
        """It is written when ``retry`` finds that it can be, unless its name is too long for ever. A disk that fails
        is told of once, for the log may be on it."""
        if not self._failed:
            _log.warn("cannot write the status of {file} of {account}, nor perhaps of others, and tries again: "
                      "{error}", file=file[1], account=file[0], error=error)  # fmt: skip
        self._failed.pop(file, None)
        if error.errno != errno.ENAMETOOLONG:
            self._failed[file] = text
        if len(self._failed) > limits.STATUS_KEPT:
            del self._failed[next(iter(self._failed))]


def job_text(state: JobState, line: JobLine, progress: Mapping[int, Progress] = MappingProxyType({})) -> str:
    """What the file of an accepted job says: its status line, and ``progress``, what its running tasks told."""
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
        lines.append(f"reason: {one_line(line.reason)}")
    for task, story in sorted(state.stories.items())[: limits.STORIES]:
        lines.append(f"task {task}: {state.state(task).name.lower()}; {one_line(story.detail)}")
    for task, told in islice(progress.items(), limits.STORIES):
        lines.append(f"task {task}: {one_line(told.words())}")
    return "\n".join(lines) + "\n"


def one_line(text: str) -> str:
    """What a compute server said, as one line that no terminal acts upon: these files are read with ``cat``."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in " ".join(text.split()))
