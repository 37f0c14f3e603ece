"""The checker accepts every history that keeps the promises, and finds each broken one, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import pytest
from checker import STALE_AFTER, Kind, check
from history import (
    Accepted,
    AnswerFound,
    AnswerSeen,
    AnyEvent,
    Began,
    Cancelled,
    CommitNoticed,
    EndFound,
    FaultBegan,
    FaultEnded,
    Healed,
    HistoryFile,
    JobFound,
    LedgerFound,
    ServerEnded,
    ServerStarted,
    Submitting,
    TaskStarted,
    TaskStopped,
    read_history,
)
from hypothesis import given
from hypothesis import strategies as st
from payload import digest_of

from rjs.attempts import Fence

SERVERS = ("cs1", "cs2", "cs3")
SEED = 7


@attrs.frozen
class Plan:
    """One task's fate: who tried it, and how it ended ("" in place of an end: its job was closed before)."""

    tries: tuple[str, ...]
    end: str


def job_id(number: int) -> str:
    """A job's id; jobs differ in their first 16 digits."""
    return f"{number:016x}" + "ab" * 24


def story(
    number: int, plans: Iterable[Plan], *, heard: bool = True, cancelled: bool = False
) -> list[AnyEvent]:
    """The events of one job that keeps all promises."""
    job, plans, at = job_id(number), list(plans), 10.0 + number
    closed = "cancelled" if cancelled else ""
    events: list[AnyEvent] = [
        Submitting(at=at, job=job, tasks=len(plans), values=SEED, way="file"),
        JobFound(
            at=900, job=job, tasks=len(plans), closed=closed, reason="cancelled by ada" if closed else ""
        ),
    ]
    if heard:
        events.append(Accepted(at=at + 1, job=job))
    if heard and cancelled:
        events.append(Cancelled(at=at + 50, job=job))
    for task, plan in enumerate(plans):
        events += _tries(job, task, plan, at + 2)
        events += _end(job, task, plan, heard)
    return events


def fence(number: int) -> Fence:
    """Of the attempt with this number at a task."""
    return Fence(1, 3 + 2 * number, 1)


def _tries(job: str, task: int, plan: Plan, at: float) -> Iterable[AnyEvent]:
    last: dict[str, Fence] = {}
    for number, cs in enumerate(plan.tries):
        last[cs] = fence(number)
        yield TaskStarted(at=at + number, cs=cs, job=job, task=task, fence=fence(number))
        if plan.end == "committed" and number == len(plan.tries) - 1:
            yield TaskStopped(at=at + number + 0.5, cs=cs, job=job, task=task, fence=fence(number))
    for cs, highest in last.items():
        yield LedgerFound(at=901, cs=cs, job=job, task=task, fence=highest)


def _end(job: str, task: int, plan: Plan, heard: bool) -> Iterable[AnyEvent]:
    if plan.end == "failed":
        yield EndFound(at=902, job=job, task=task, state="failed", reason="it failed three times", sha256="")
    if plan.end == "committed":
        winner, won = len(plan.tries) - 1, plan.tries[-1]
        sha256 = f"{task:064x}"
        yield EndFound(at=902, job=job, task=task, state="committed", reason="", sha256=sha256)
        if heard:
            yield CommitNoticed(at=31, cs=won, job=job, task=task, fence=fence(winner), sha256=sha256)
            yield AnswerSeen(at=32, job=job, task=task, sha256=sha256)
        yield AnswerFound(
            at=903,
            job=job,
            task=task,
            sha256=sha256,
            cs=won,
            fence=fence(winner),
            value=digest_of(SEED, task),
        )


def surroundings() -> list[AnyEvent]:
    """What is done to the machines: it excuses nothing and breaks nothing."""
    return [
        Began(at=1, seed=1, compute_servers=SERVERS),
        ServerStarted(at=2, server="cs1", pid=17),
        FaultBegan(at=15, kind="kill", host="cs1", amount=0),
        ServerEnded(at=15.1, server="cs1", status=-9, wanted=True),
        FaultEnded(at=20, kind="kill", host="cs1"),
        Healed(at=400),
    ]


def sound() -> list[AnyEvent]:
    """A small history with everything in it, and nothing wrong."""
    first = story(
        1, [Plan(("cs1", "cs2"), "committed"), Plan(("cs3",), "committed"), Plan(("cs1",) * 3, "failed")]
    )
    return surroundings() + first + story(2, [Plan((), ""), Plan(("cs2",), "committed")], cancelled=True)


plans = st.one_of(
    st.builds(
        Plan, st.lists(st.sampled_from(SERVERS), min_size=1, max_size=4).map(tuple), st.just("committed")
    ),
    st.builds(Plan, st.lists(st.sampled_from(SERVERS), max_size=5).map(tuple), st.just("failed")),
)
jobs = st.tuples(st.lists(plans, min_size=1, max_size=6), st.booleans())


@given(st.lists(jobs, max_size=5), st.booleans(), st.randoms())
def test_a_sound_history_is_accepted(
    made: list[tuple[list[Plan], bool]], cancel: bool, chance: random.Random
) -> None:
    """Whatever was tried, lost, heard or cancelled, in whatever order the events are given."""
    events = surroundings()
    for number, (tasks, heard) in enumerate(made):
        cancelled = cancel and number == 0
        events += story(
            number, [*tasks, *([Plan((), "")] if cancelled else [])], heard=heard, cancelled=cancelled
        )
    chance.shuffle(events)
    assert check(events) == []


# --- what is planted -------------------------------------------------------------------------------------

Plant = Callable[[list[AnyEvent]], list[AnyEvent]]
JOB = job_id(1)


def without(kind: type, **fields: object) -> Plant:
    """Forgets events."""
    return lambda events: [each for each in events if not _is(each, kind, fields)]


def changed(kind: type, changes: dict[str, object], **fields: object) -> Plant:
    """Changes the events of a kind that have these fields."""

    def plant(events: list[AnyEvent]) -> list[AnyEvent]:
        return [_replaced(each, changes) if _is(each, kind, fields) else each for each in events]

    return plant


def added(*more: AnyEvent) -> Plant:
    """Adds events."""
    return lambda events: [*events, *more]


def _is(event: AnyEvent, kind: type, fields: dict[str, object]) -> bool:
    return isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items())


def _replaced(event: AnyEvent, changes: dict[str, object]) -> AnyEvent:
    kept = {name: getattr(event, name) for name in event.__struct_fields__}
    return type(event)(**(kept | changes))


def both(*plants: Plant) -> Plant:
    """One after the other."""

    def plant(events: list[AnyEvent]) -> list[AnyEvent]:
        for each in plants:
            events = each(events)
        return events

    return plant


OTHER = "f" * 64
LOST = "99" * 32
PLANTED: dict[str, tuple[Plant, Kind]] = {
    "a task that failed to end": (without(EndFound, job=JOB, task=2), Kind.NO_END),
    "a closed job's end lost": (
        both(without(Cancelled), changed(JobFound, {"closed": "", "reason": ""}, job=job_id(2))),
        Kind.NO_END,
    ),
    "a failure that says nothing": (changed(EndFound, {"reason": ""}, job=JOB, task=2), Kind.NO_REASON),
    "a closing that says nothing": (changed(JobFound, {"reason": ""}, job=job_id(2)), Kind.NO_REASON),
    "two ends in the journal": (
        added(EndFound(at=902, job=JOB, task=0, state="committed", reason="", sha256=f"{0:064x}")),
        Kind.TWO_ANSWERS,
    ),
    "an answer in ans/ that changed": (
        changed(AnswerSeen, {"sha256": OTHER}, job=JOB, task=0),
        Kind.TWO_ANSWERS,
    ),
    "ans/ and the journal disagree": (
        changed(EndFound, {"sha256": OTHER}, job=JOB, task=0),
        Kind.TWO_ANSWERS,
    ),
    "two compute servers heard of a commit": (
        added(
            CommitNoticed(at=41, cs="cs1", job=JOB, task=0, fence=fence(0), sha256=OTHER),
        ),
        Kind.TWO_ANSWERS,
    ),
    "a failed task with an answer": (
        added(
            AnswerFound(
                at=903, job=JOB, task=2, sha256=OTHER, cs="cs1", fence=fence(2), value=digest_of(SEED, 2)
            )
        ),
        Kind.TWO_ANSWERS,
    ),
    "another value": (changed(AnswerFound, {"value": OTHER}, job=JOB, task=1), Kind.WRONG_ANSWER),
    "another task's value": (
        changed(AnswerFound, {"value": digest_of(SEED, 0)}, job=JOB, task=1),
        Kind.WRONG_ANSWER,
    ),
    "a file that does not verify": (
        changed(AnswerFound, {"fault": "digest-differs: it does"}, job=JOB, task=1),
        Kind.WRONG_ANSWER,
    ),
    "a job that nobody submitted": (
        added(JobFound(at=900, job=LOST, tasks=1, closed="failed", reason="no reason in particular")),
        Kind.FROM_NOWHERE,
    ),
    "a job of another size": (
        changed(Submitting, {"tasks": 4}, job=JOB),
        Kind.FROM_NOWHERE,
    ),
    "an answer that nobody started": (without(TaskStarted, job=JOB, task=1), Kind.FROM_NOWHERE),
    "an answer of a fence that never was": (
        changed(AnswerFound, {"fence": fence(9)}, job=JOB, task=1),
        Kind.FROM_NOWHERE,
    ),
    "an answer of a stranger": (changed(AnswerFound, {"cs": "cs9"}, job=JOB, task=1), Kind.FROM_NOWHERE),
    "an answer to a task that is none": (
        added(AnswerFound(at=903, job=JOB, task=3, sha256=OTHER, cs="cs1", fence=fence(0), value=digest_of(SEED, 3))),
        Kind.FROM_NOWHERE,
    ),
    "a task of an unknown job that ran": (
        added(
            TaskStarted(at=50, cs="cs1", job=LOST, task=0, fence=fence(0)),
            LedgerFound(at=901, cs="cs1", job=LOST, task=0, fence=fence(0)),
        ),
        Kind.FROM_NOWHERE,
    ),
    "an accepted job that is gone": (
        added(
            Submitting(at=5, job=LOST, tasks=1, values=SEED, way="client"),
            Accepted(at=6, job=LOST),
        ),
        Kind.MISSING,
    ),
    "a cancelling that is forgotten": (added(Cancelled(at=60, job=JOB)), Kind.MISSING),
    "a commit that was heard of and came to nothing": (
        both(without(EndFound, job=JOB, task=0), without(AnswerFound, job=JOB, task=0),
             without(AnswerSeen, job=JOB, task=0),
             changed(JobFound, {"closed": "failed", "reason": "expired"}, job=JOB)),
        Kind.MISSING,
    ),
    "an answer that was seen and is not there": (without(AnswerFound, job=JOB, task=0), Kind.MISSING),
    "a commit that was never delivered": (
        both(without(AnswerFound, job=JOB, task=0), without(AnswerSeen, job=JOB, task=0)),
        Kind.MISSING,
    ),
    "a start that no ledger has": (without(LedgerFound, job=JOB, task=1), Kind.MISSING),
    "a ledger that went back": (
        changed(LedgerFound, {"fence": Fence(1, 1, 1)}, job=JOB, task=1),
        Kind.MISSING,
    ),
    "an attempt that began twice": (
        added(TaskStarted(at=60, cs="cs2", job=JOB, task=0, fence=fence(1))),
        Kind.STALE_FENCE,
    ),
    "an earlier attempt after a later one": (
        added(TaskStarted(at=60, cs="cs2", job=JOB, task=0, fence=Fence(1, 4, 1))),
        Kind.STALE_FENCE,
    ),
    "a start long after the answer": (
        added(
            TaskStarted(at=33 + STALE_AFTER, cs="cs3", job=JOB, task=0, fence=fence(3)),
            LedgerFound(at=901, cs="cs3", job=JOB, task=0, fence=fence(3)),
        ),
        Kind.STALE_FENCE,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("plant", "kind"), PLANTED.values(), ids=PLANTED)
def test_what_is_planted_is_found(plant: Plant, kind: Kind) -> None:
    """It is found, and nothing else is."""
    assert {violation.kind for violation in check(plant(sound()))} == {kind}


def test_every_kind_is_planted() -> None:
    """No rule goes untested."""
    assert {kind for _, kind in PLANTED.values()} == set(Kind)


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Every event comes back from the file, in order of time, and is judged the same."""
    written = HistoryFile(tmp_path / "history.jsonl")
    planted = PLANTED["another value"][0](sound())
    written.tell_all(planted)
    written.close()
    read = read_history(written.path)
    assert read == sorted(planted, key=lambda event: event.at)
    assert check(read) == check(planted)
