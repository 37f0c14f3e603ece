"""What must be true of each machine of rules after every event, whoever tests it."""

from __future__ import annotations

import copy
from collections import Counter

from cs import limits as cs_limits
from cs.task_machine import Slot, TaskMachine
from lus.board import Board
from lus.held import Stage
from rjs.jobs import ENDED, TaskState
from ws import why_words as words
from ws.instructions import LeaseGranted
from ws.job import JobState
from ws.queue import Queue
from ws.why import Known, line, open_code, why


def check_queue(queue: Queue) -> None:
    """Counts add up; every leased task has exactly one lease, its holder's clock runs, and only tasks that have
    not ended have placements; no task failed more often than its job allows; whoever could be given a task is in a
    rotation for it."""
    leased = set()
    live: Counter[str] = Counter()
    for job, state in queue.jobs.items():
        found = Counter(map(TaskState, state.states))
        assert {each: found[each] for each in TaskState} == state.counts
        leased |= {(job, task) for task, each in enumerate(state.states) if each == TaskState.LEASED}
        live[state.job.user] += not state.ended
        for task, placed in queue._placements._known.get(job, {}).items():
            assert not placed or state.state(task) in (TaskState.OPEN, TaskState.LEASED)
        for task, story in state.stories.items():
            assert len(story.failed) <= state.job.attempts
            assert not story.verdict(state.job.attempts) or state.state(task) in ENDED
        for lus in queue._lus.values():
            assert not state.open or job in lus._ready or job in lus._aside, "a job that nobody is offered"
    leases = queue.leases.all()
    assert leased == {(each.job, each.task) for each in leases} == set(queue.leases._by_task)
    assert len(queue.leases._clock) == len(queue.leases) == len(leased)
    for lease in leases:
        assert queue.lease_of(lease.job, lease.task) is lease is queue.leases.get(lease.number)
        assert queue.leases.holds(lease.lus, lease.boot, lease.number)
        assert lease.number < queue.leases.next_number
        if lease.placed is not None:
            assert lease.placed.fence.lease == lease.number
            there = queue._placements.get(lease.placed)
            assert there is not None
            assert lease.until == there.until
    assert queue._live == {user: count for user, count in live.items() if count}


def check_reasons(queue: Queue, now: float) -> None:
    """Whatever happened, each task has its reason, and each job counts all of its tasks once; and what is said of
    tasks that wait is what the next want makes of them."""
    for state in queue.jobs.values():
        reasons = why(queue, state, Known(now))
        assert sum(each.tasks for each in reasons if each.code not in BESIDES) == len(state.states)
        for task in range(len(state.states)):
            own = [each for each in why(queue, state, Known(now), task) if each.code not in BESIDES]
            assert len(own) == 1, (task, own)
            assert (state.state(task) in ENDED) == (own[0].code in words.STATE_OF)
        if state.open:
            _check_waiting(queue, state, now)


BESIDES = {"tried-before", "may-still-run", "no-word"}


def _check_waiting(queue: Queue, state: JobState, now: float) -> None:
    """What takes its turn is given to a LUS that wants more; what stands aside only where something changed."""
    code, sentence = open_code(queue, state)
    assert sentence == line(queue, state).reason
    assert code != "being-leased", "there is room, and nobody was given anything"
    enough = 1 + len(queue.leases) + sum(each.open for each in queue.jobs.values())
    as_it_is = _granted_by(queue, state, enough, 0, now)
    changed = _granted_by(queue, state, enough, 1, now)
    if code == "no-lus":
        assert not as_it_is and not changed
    elif code == "not-taken":
        serving = {lus for lus, each in queue.dispatch.luses.items() if each.connected and each.want}
        assert not as_it_is & serving and serving <= changed
    else:
        assert changed, code
        assert as_it_is or code == "no-cs"


def _granted_by(queue: Queue, state: JobState, want: int, rise: int, now: float) -> set[str]:
    """The LUSs that would be given a task of the job if they alone wanted so many, at the same or a later epoch."""
    found = set()
    for lus in queue.luses():
        tried = copy.deepcopy(queue)
        instructions = tried.want(lus, want, queue.dispatch.luses[lus].epoch + rise, now)
        if any(isinstance(each, LeaseGranted) and each.job == state.job.id for each in instructions):
            found.add(lus)
    return found


def check_board(board: Board) -> None:
    """A lease waits, or has one attempt at one live CS; a CS has at most one attempt that it is not done with."""
    held = board._held
    assert set(held.turns) == {number for number, each in held.items() if each.stage is Stage.WAITING}
    attempts = [each.attempt for each in held.values() if each.attempt is not None]
    assert len(attempts) == len(set(attempts))
    for number, each in held.items():
        assert (each.attempt is None) == (each.cs == "") == (each.stage is Stage.WAITING)
        if each.attempt is not None:
            assert each.attempt.fence.lease == number == each.lease
            assert (each.attempt.job, each.attempt.task) == (each.job.job, each.task)
            assert board.registry.get(each.cs) is not None, "an attempt at a CS that is gone"
        assert number <= board._upto
    for server in board.registry.all():
        assert not server.strays & set(attempts)
        if server.attempt is not None:
            mine = held[server.attempt.fence.lease]
            assert (mine.attempt, mine.cs) == (server.attempt, server.cs)
        assert (
            len([each for each in held.values() if each.cs == server.cs and each.stage is Stage.STARTING])
            <= 1
        )


def check_machine(machine: TaskMachine) -> None:
    """The slot is free or has one attempt, which is in no other place; what waits is bounded."""
    assert (machine.attempt is None) == (machine.slot is Slot.FREE)
    assert machine.attempt not in machine.holding
    assert len(machine.reports) <= cs_limits.REPORTS
    assert len(set(machine.untold)) == len(machine.untold)
