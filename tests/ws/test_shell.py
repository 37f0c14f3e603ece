"""Durable first, then said: in order, for everyone, whoever stops listening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from samples import A, B, job
from simulated_cluster import disk
from simulated_links import ProcessClock, SimulatedClock, SimulatedStorage
from twisted.internet.defer import CancelledError, Deferred

from rjs.jobs import TaskState
from rjs.storage import Connection
from ws import store
from ws.instructions import JobAdded, JobChanged, TaskEnded
from ws.queue import Queue
from ws.shell import Shell


class Setting:
    """A shell whose storage commits one second after it was asked to."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.db: Connection = disk(store.MIGRATIONS)
        self.said: list[object] = []
        self.broken: list[str] = []
        timers = ProcessClock(self.clock)
        storage = SimulatedStorage(timers, self.db, lambda: 1.0)
        self.shell = Shell(Queue(1), storage, timers, self.broken.append)
        self.shell.changed = self.said.append

    def stored(self) -> list[Any]:
        return [row[0] for row in self.db.execute("SELECT id FROM jobs ORDER BY number")]

    def pass_time(self) -> None:
        self.clock.pass_until(self.clock.now + 1.0)


@pytest.fixture
def setting() -> Setting:
    return Setting()


def fired(deferred: Deferred[None]) -> Callable[[], bool]:
    done: list[None] = []
    deferred.addCallback(done.append)
    return lambda: bool(done)


def test_nothing_is_said_before_it_is_durable(setting: Setting) -> None:
    """Entries reach the disk, then the words are said, then whoever waits goes on."""
    done = fired(setting.shell.perform([JobAdded(job(A)), JobChanged(A)]))
    assert (setting.stored(), setting.said, done()) == ([], [], False)
    setting.pass_time()
    assert (setting.stored(), setting.said, done()) == ([A], [A], True)


def test_words_do_not_overtake_entries(setting: Setting) -> None:
    """A word alone waits for the entries before it; with none under way it is said at once."""
    setting.shell.perform([JobChanged(B)])
    assert setting.said == [B]
    setting.shell.perform([JobAdded(job(A)), JobChanged(A)])
    setting.shell.perform([JobChanged(B)])
    assert setting.said == [B]
    setting.pass_time()
    assert setting.said == [B, A, B]


def test_performing_nothing_is_a_barrier(setting: Setting) -> None:
    """It fires when all that was performed before is durable: what memory knows may then be told."""
    assert fired(setting.shell.perform([]))()
    setting.shell.perform([JobAdded(job(A))])
    done = fired(setting.shell.perform([]))
    assert not done()
    setting.pass_time()
    assert done()


def test_who_leaves_breaks_nothing(setting: Setting) -> None:
    """A caller whose session ends while it waits stops its waiting, not the journal, and not the server."""
    waiting = setting.shell.perform([JobAdded(job(A)), JobChanged(A)])
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    waiting.cancel()
    setting.pass_time()
    assert (setting.stored(), setting.said, setting.broken) == ([A], [A], [])


def test_a_failing_journal_says_nothing(setting: Setting) -> None:
    """What could not be made durable is told to nobody, and the server learns that it must end."""
    wrong = TaskEnded(A, 0, TaskState.FAILED, "why")
    done = fired(setting.shell.perform([wrong, wrong, JobChanged(A)]))
    setting.pass_time()
    assert (setting.said, done(), len(setting.broken)) == ([], False, 1)
