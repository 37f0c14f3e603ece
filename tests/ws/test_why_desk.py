"""What answers `job.why` waits for no lookup server longer than it says, and asks for nobody more than it may."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import A, job
from simulated_cluster import disk
from simulated_links import ProcessClock, SimulatedClock
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from rjs.errors import RefusedError
from rjs.wire import messages as m
from rjs.wire.session import SessionLostError
from ws import limits, store
from ws.job_tokens import ProgressBook
from ws.queue import Queue
from ws.shell import Shell
from ws.why_desk import WhyDesk


class Lus:
    """A session with a LUS that replies when told."""

    def __init__(self) -> None:
        self.asked: list[m.LusJobWhy] = []
        self.replies: list[Deferred[m.LusJobReasons]] = []

    async def request(self, message: m.LusJobWhy, kind: type[m.LusJobReasons]) -> m.LusJobReasons:
        self.asked.append(message)
        self.replies.append(Deferred())
        return await self.replies[-1]


class Desk:
    """A desk with job A of two tasks, one leased to a LUS, and a clock."""

    def __init__(self) -> None:
        self.clock, self.queue, self.lus, db = Clock(), Queue(1), Lus(), disk(store.MIGRATIONS)
        storage = SimpleNamespace(read=lambda operation: succeed(operation(db)))
        shell = Shell(self.queue, cast(Any, storage), ProcessClock(SimulatedClock()), pytest.fail)
        shell.timers = cast(Any, self.clock)
        self.queue.lus_opened("l", "b1", 0.0)
        self.queue.want("l", 1, 1, 0.0)
        self.queue.add_job(job(A, 2), 0.0)
        self.desk = WhyDesk(shell, ProgressBook(shell), cast(Any, {"l": self.lus}))

    def ask(self, task: int | None = None) -> list[Any]:
        """What is replied, once it is."""
        said: list[Any] = []
        Deferred.fromCoroutine(self.desk.of_job("ada", self.queue.jobs[A], task)).addBoth(said.append)
        return said


def codes(said: list[Any]) -> list[str]:
    return [each.code for each in said[0].reasons]


def test_what_the_lus_says_is_part_of_the_answer() -> None:
    """It is asked for the job, and for the task with where it failed."""
    desk = Desk()
    said = desk.ask(0)
    desk.lus.replies[0].callback(m.LusJobReasons(servers=(m.CsReason(code="busy", sentence="it runs"),)))
    assert codes(said) == ["cs-busy"]
    assert desk.lus.asked == [m.LusJobWhy(job=A, needs=desk.queue.jobs[A].job.brief.needs, task=0)]
    assert not desk.clock.getDelayedCalls()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "did not answer within 2 s"),
        (
            RefusedError("unsupported", "the peer's release does not know it"),
            "did not say what it knows: unsupported: ",
        ),
        (SessionLostError("gone"), "left while it was asked"),
    ],
    ids=["silent", "older", "lost"],
)
def test_a_lus_that_says_nothing_is_a_reason(error: Exception | None, words: str) -> None:
    """The rest of the answer comes in any case."""
    desk = Desk()
    said = desk.ask()
    if error is None:
        desk.clock.advance(limits.WHY_WAIT)
    else:
        desk.lus.replies[0].errback(error)
    assert codes(said) == ["in-turn", "at-lus", "no-word"]
    assert words in said[0].reasons[2].sentence


def test_one_account_asks_a_few_at_a_time() -> None:
    """Each question makes lookup servers look at all that they have."""
    desk = Desk()
    said = [desk.ask() for _ in range(limits.WHYS + 1)]
    assert said[-1][0].value.code == "too-many-questions"
    assert not any(said[:-1])
    desk.clock.advance(limits.WHY_WAIT)
    assert all(said)
    assert not desk.ask(), "it is asked again"
    assert len(desk.lus.asked) == limits.WHYS + 1


def test_an_unknown_task_is_refused() -> None:
    """Its number is beyond the job's last."""
    (failure,) = Desk().ask(2)
    assert failure.value.code == "no-such-task"
