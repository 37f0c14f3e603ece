"""Judges a history: what the cluster promised and did not keep. In the manner of Jepsen's checkers: pure, events in,
violations out; it knows nothing of how the history came about.

Faults may cost time, never an outcome, so no rule here excuses anything by a fault. An unheard reply proves nothing
either way: what counts is what was heard (``Accepted``, ``CommitNoticed``, ``AnswerSeen``, ``Cancelled``) and what is
found in the end.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

import attrs
from history import (
    Accepted,
    AnswerFound,
    AnswerSeen,
    AnyEvent,
    Began,
    Cancelled,
    CommitNoticed,
    EndFound,
    JobFound,
    LedgerFound,
    Submitting,
    TaskStarted,
    in_time,
)
from payload import digest_of

from rjs.attempts import Fence
from rjs.limits import CS_LEASE, LUS_LEASE

STALE_AFTER = LUS_LEASE + CS_LEASE + 30.0
"""Seconds after which nothing may start any more of a task whose answer was seen: both leases, and as long as the
schedule holds up a process at most."""

Task = tuple[str, int]
"""A job's id, and the index of a task."""


class _OfTask(Protocol):
    @property
    def job(self) -> str: ...

    @property
    def task(self) -> int: ...


E = TypeVar("E")
EventOfTask = TypeVar("EventOfTask", bound=_OfTask)


class Kind(enum.StrEnum):
    """What can be wrong."""

    NO_END = "a task with no end"
    TWO_ANSWERS = "a task with two committed answers"
    WRONG_ANSWER = "a wrong answer"
    FROM_NOWHERE = "an answer from nowhere"
    MISSING = "an acknowledged thing missing"
    STALE_FENCE = "a stale fence obeyed"
    NO_REASON = "an end with no reason"


@attrs.frozen
class Violation:
    """One broken promise."""

    kind: Kind
    job: str
    task: int | None
    sentence: str

    def __str__(self) -> str:
        task = "" if self.task is None else f" task {self.task}"
        return f"{self.kind}: job {self.job[:16]}{task}: {self.sentence}"


class Facts:
    """The history, sorted by what the rules ask of it."""

    def __init__(self, events: Iterable[AnyEvent]) -> None:
        by_type: dict[type, list[AnyEvent]] = defaultdict(list)
        for event in in_time(events):
            by_type[type(event)].append(event)
        self._by_type = by_type
        self.submitted = {each.job: each for each in self.all(Submitting)}
        self.jobs = {each.job: each for each in self.all(JobFound)}
        self.ends = _by_task(self.all(EndFound))
        self.files = _by_task(self.all(AnswerFound))
        self.starts = _by_task(self.all(TaskStarted))
        self.servers = {name for each in self.all(Began) for name in each.compute_servers}

    def all(self, kind: type[E]) -> list[E]:
        """The events of one kind, in time."""
        return [event for event in self._by_type[kind] if isinstance(event, kind)]

    def state_of(self, task: Task) -> str:
        """How the task ended by the journal; empty if it did not."""
        ends, job = self.ends.get(task), self.jobs.get(task[0])
        if ends:
            return ends[0].state
        return job.closed if job is not None else ""


def check(events: Iterable[AnyEvent]) -> list[Violation]:
    """Every violation in a complete history, none twice. The events may come in any order."""
    facts = Facts(events)
    return list(dict.fromkeys(found for rule in RULES for found in rule(facts)))


def _by_task(events: list[EventOfTask]) -> dict[Task, list[EventOfTask]]:
    found: dict[Task, list[EventOfTask]] = defaultdict(list)
    for event in events:
        found[event.job, event.task].append(event)
    return dict(found)


# --- the rules -------------------------------------------------------------------------------------------


def every_task_ends(facts: Facts) -> Iterator[Violation]:
    """Each task of each job in the journal has an end, and each end but a commit has its reason."""
    for job in facts.jobs.values():
        for task in range(job.tasks):
            ends = facts.ends.get((job.job, task), [])
            if not facts.state_of((job.job, task)):
                yield Violation(Kind.NO_END, job.job, task, "it has not ended")
            elif (ends[0].state != "committed" and not ends[0].reason) if ends else not job.reason:
                yield Violation(Kind.NO_REASON, job.job, task, "nothing says why it ended so")


def one_answer(facts: Facts) -> Iterator[Violation]:
    """All who know a task's answer know the same, and only a committed task has one."""
    digests: dict[Task, set[str]] = defaultdict(set)
    for seen in facts.all(AnswerSeen):
        digests[seen.job, seen.task].add(seen.sha256)
    for notice in facts.all(CommitNoticed):
        digests[notice.job, notice.task].add(notice.sha256)
    for key, files in facts.files.items():
        digests[key] |= {file.sha256 for file in files}
    for key, ends in facts.ends.items():
        digests[key] |= {end.sha256 for end in ends if end.state == "committed"}
        if len(ends) > 1:
            yield Violation(Kind.TWO_ANSWERS, *key, f"the journal has {len(ends)} ends of it")
    for key, known in digests.items():
        if len(known) > 1:
            yield Violation(Kind.TWO_ANSWERS, *key, f"{len(known)} answers of it are known")
        elif key in facts.files and facts.state_of(key) in ("failed", "cancelled"):
            yield Violation(Kind.TWO_ANSWERS, *key, f"it ended as {facts.state_of(key)} and has an answer")


def right_answers(facts: Facts) -> Iterator[Violation]:
    """Each file in ``ans/`` is a valid answer with the value that its task must have."""
    for key, files in facts.files.items():
        job = facts.submitted.get(key[0])
        for file in files:
            if file.fault:
                yield Violation(Kind.WRONG_ANSWER, *key, file.fault)
            elif job is not None and file.value != digest_of(job.values, key[1]):
                yield Violation(Kind.WRONG_ANSWER, *key, "its value is not what the task computes")


def nothing_from_nowhere(facts: Facts) -> Iterator[Violation]:
    """What is there was submitted, and what was answered was started, under that fence on that CS."""
    for job in facts.jobs.values():
        submitted = facts.submitted.get(job.job)
        if submitted is None or submitted.tasks != job.tasks:
            yield Violation(Kind.FROM_NOWHERE, job.job, None, "nobody submitted this job")
    for key, files in facts.files.items():
        job_found = facts.jobs.get(key[0])
        if job_found is None or key[1] >= job_found.tasks:
            yield Violation(Kind.FROM_NOWHERE, *key, "the journal knows no such task")
            continue
        for file in files:
            begun = {(start.cs, start.fence) for start in facts.starts.get(key, [])}
            if not file.fault and (file.cs not in facts.servers or (file.cs, file.fence) not in begun):
                yield Violation(Kind.FROM_NOWHERE, *key, f"{file.cs} did not start it as {file.fence}")


def nothing_started_from_nowhere(facts: Facts) -> Iterator[Violation]:
    """No task runs of a job that nobody submitted."""
    for key in facts.starts:
        submitted = facts.submitted.get(key[0])
        if submitted is None or key[1] >= submitted.tasks:
            yield Violation(Kind.FROM_NOWHERE, *key, "it ran, and nobody submitted it")


def nothing_missing(facts: Facts) -> Iterator[Violation]:
    """What somebody was told of is still there."""
    for accepted in facts.all(Accepted):
        if accepted.job not in facts.jobs:
            yield Violation(
                Kind.MISSING, accepted.job, None, "it was accepted, and the journal has no such job"
            )
    for cancelled in facts.all(Cancelled):
        job = facts.jobs.get(cancelled.job)
        if job is not None and job.closed != "cancelled":
            yield Violation(
                Kind.MISSING, job.job, None, "it was cancelled, and the journal has it as never cancelled"
            )
    for seen in facts.all(AnswerSeen):
        if (seen.job, seen.task) not in facts.files:
            yield Violation(
                Kind.MISSING, seen.job, seen.task, "its answer was in ans/, and is not there any more"
            )
    for notice in facts.all(CommitNoticed):
        if facts.state_of((notice.job, notice.task)) != "committed":
            yield Violation(
                Kind.MISSING, notice.job, notice.task, f"{notice.cs} heard of a commit that is none"
            )


def what_is_committed_is_delivered(facts: Facts) -> Iterator[Violation]:
    """Each answer that the journal has committed is in ``ans/``."""
    for key in facts.ends:
        if facts.state_of(key) == "committed" and key not in facts.files:
            yield Violation(Kind.MISSING, *key, "it is committed, and its answer is not in ans/")


def fences_rise(facts: Facts) -> Iterator[Violation]:
    """No attempt begins twice, none on a CS after a later one of its task there, and all are in that CS's ledger."""
    ledger = {(each.cs, each.job, each.task): each.fence for each in facts.all(LedgerFound)}
    for key, starts in facts.starts.items():
        begun: set[Fence] = set()
        last: dict[str, Fence] = {}
        for start in starts:
            if start.fence in begun:
                yield Violation(Kind.STALE_FENCE, *key, f"{start.fence} began twice")
            elif start.cs in last and start.fence < last[start.cs]:
                yield Violation(Kind.STALE_FENCE, *key, f"{start.fence} after {last[start.cs]} on {start.cs}")
            begun.add(start.fence)
            last[start.cs] = max(start.fence, last.get(start.cs, start.fence))
        for cs, fence in last.items():
            if (cs, *key) not in ledger or ledger[cs, *key] < fence:
                yield Violation(Kind.MISSING, *key, f"{fence} ran on {cs} and is not in its ledger")


def nothing_starts_after_its_end(facts: Facts) -> Iterator[Violation]:
    """Once everybody must have heard of an answer, no attempt at its task begins."""
    seen_at: dict[Task, float] = {}
    for seen in facts.all(AnswerSeen):
        seen_at.setdefault((seen.job, seen.task), seen.at)
    for key, at in seen_at.items():
        for start in facts.starts.get(key, []):
            if start.at > at + STALE_AFTER:
                late = start.at - at
                yield Violation(Kind.STALE_FENCE, *key, f"{start.fence} began {late:.0f} s after its answer")


RULES: tuple[Callable[[Facts], Iterator[Violation]], ...] = (
    every_task_ends,
    one_answer,
    right_answers,
    nothing_from_nowhere,
    nothing_started_from_nowhere,
    nothing_missing,
    what_is_committed_is_delivered,
    fences_rise,
    nothing_starts_after_its_end,
)
