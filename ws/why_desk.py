"""Answers ``job.why``: gathers what is known of a job here, and asks the lookup servers that have to do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from rjs.errors import RefusedError
from rjs.jobs import TaskState
from rjs.wire import messages as m
from rjs.wire.session import Session, SessionLostError
from ws import limits, store
from ws.dispatch import Standing
from ws.job import JobState
from ws.job_tokens import ProgressBook
from ws.shell import Shell
from ws.why import Known, line, why
from ws.why_uploads import Upload, why_no_job

_Said: TypeAlias = m.LusJobReasons | str
"""What a LUS replied, or why nothing came."""


@attrs.define(eq=False)
class WhyDesk:
    """``luses``: the sessions with LUSs, by id. ``faults``: why answers cannot be delivered, by account. ``uploads``:
    what is known of an account's file in ``jobs/``."""

    shell: Shell
    progress: ProgressBook
    luses: Mapping[str, Session]
    faults: Mapping[str, str] = attrs.field(factory=dict)
    uploads: Callable[[str, str], Upload] = lambda account, file_name: Upload()
    _asking: Counter[str] = attrs.field(factory=Counter, init=False)

    async def of_job(self, account: str, state: JobState, task: int | None) -> m.JobReasons:
        """Why the job, or one task of it, stands as it does. Raises RefusedError when there is no such task, and when
        this account asks too much at a time."""
        if task is not None and task >= len(state.states):
            raise RefusedError("no-such-task", f"the job has {len(state.states)} tasks, from 0 on")
        if self._asking[account] >= limits.WHYS:
            raise RefusedError(
                "too-many-questions", f"{limits.WHYS} of yours are not answered yet; wait for one"
            )
        self._asking[account] += 1
        try:
            known = await self._known(state, task)
        finally:
            self._asking -= Counter((account,))
        queue = self.shell.queue
        return m.JobReasons(job=line(queue, state), reasons=why(queue, state, known, task))

    async def of_upload(self, account: str, file_name: str) -> m.Reason | None:
        """Why this file is no job; None when it is one, or nothing is known of it."""
        read = partial(store.refusal_of, account=account, file_name=file_name)
        refused = await self.shell.storage.read(read)
        return why_no_job(self.uploads(account, file_name), refused)

    async def _known(self, state: JobState, task: int | None) -> Known:
        """LUSs and disk are asked at once, for nothing of the answer is to be older than it must."""
        asked = self._ask(state, task)
        late, cs_name = await self._delivered(state, task)
        names = await self.shell.storage.read(store.lus_names)
        said = {lus: await reply for lus, reply in asked.items()}
        told = self.progress.of_job(state.job.id)
        return Known(
            now=self.shell.now(),
            names=names,
            progress={number: each.words() for number, each in told.items()},
            said=said,
            undelivered=late,
            fault=self.faults.get(state.job.user, ""),
            cs_name=cs_name,
        )

    async def _delivered(self, state: JobState, task: int | None) -> tuple[int, str]:
        """How many answers are not in ``ans/`` yet, and who gave that of the one task."""
        job, read = state.job.id, self.shell.storage.read
        if task is None:
            return await read(partial(store.count_undelivered, job=job)), ""
        ended = (await read(partial(store.ended_tasks, job=job, first=task, count=1))).get(task)
        if ended is None or ended.state is not TaskState.COMMITTED:
            return 0, ""
        return int(not ended.delivered), ended.cs_name

    def _ask(self, state: JobState, task: int | None) -> dict[str, Deferred[_Said]]:
        """What the LUSs say that have tasks of the job, or could be given some."""
        story = state.stories.get(task) if task is not None else None
        question = m.LusJobWhy(
            job=state.job.id,
            needs=state.job.brief.needs,
            task=task,
            avoid=tuple(story.avoid) if story is not None else (),
        )
        here = [lus for lus in self._concerned(state, task) if lus in self.luses]
        return {lus: self._ask_one(self.luses[lus], question) for lus in here[: limits.WHY_LUSES]}

    def _concerned(self, state: JobState, task: int | None) -> list[str]:
        queue, job = self.shell.queue, state.job.id
        if task is not None and state.state(task) is TaskState.LEASED:
            lease = queue.lease_of(job, task)
            return [] if lease is None else [lease.lus]
        having = [each.lus for each in queue.leases.all() if each.job == job] if task is None else []
        open_tasks = state.open if task is None else state.state(task) is TaskState.OPEN
        serving = [
            lus
            for lus in queue.dispatch.luses
            if open_tasks and queue.dispatch.standing(job, lus) not in (Standing.AWAY, Standing.NO_CS)
        ]
        return list(dict.fromkeys([*having, *serving]))

    def _ask_one(self, session: Session, question: m.LusJobWhy) -> Deferred[_Said]:
        asked: Deferred[_Said] = Deferred.fromCoroutine(_ask(session, question))
        clock = cast(IReactorTime, self.shell.timers)  # all that it needs of a clock is callLater
        return asked.addTimeout(limits.WHY_WAIT, clock).addErrback(_not_answered)


async def _ask(session: Session, question: m.LusJobWhy) -> _Said:
    try:
        return await session.request(question, m.LusJobReasons)
    except SessionLostError:
        return "left while it was asked"
    except RefusedError as error:
        return f"did not say what it knows: {error.code}: {error.sentence}"


def _not_answered(failure: Failure) -> str:
    failure.trap(TimedOutError, CancelledError)
    return f"did not answer within {limits.WHY_WAIT:.0f} s"
