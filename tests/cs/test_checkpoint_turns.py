"""A job asks for checkpoints through its control channel: one at a time, and not all the time."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import attempt
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cs import limits
from cs.control_channel import JobDesk, JobLink
from cs.prepared import Prepared
from rjs.background import Tasks
from rjs.errors import RefusedError


class Job:
    """A job whose checkpoints are taken when the test says so."""

    def __init__(self, *, takes: bool = True) -> None:
        self.clock = Clock()
        self.taking: list[Deferred[int]] = []
        self.said: list[Any] = []
        desk = SimpleNamespace(
            reactor=self.clock, tasks=Tasks("test"), checkpoints=self if takes else None, contexts=set(),
        )  # fmt: skip
        prepared = cast(Prepared, SimpleNamespace(attempt=attempt(1)))
        self.link = JobLink(cast(JobDesk, desk), prepared, cast(Any, self))

    async def take(self, prepared: Prepared) -> int:
        self.taking.append(Deferred())
        return await self.taking[-1]

    def say(self, data: bytes) -> None:
        self.said.append(json.loads(data))

    def hush(self) -> None:
        self.said.append("hushed")

    def ask(self, number: int) -> None:
        """It asks, and what can be begun now is."""
        self.link.heard(json.dumps({"ask": "checkpoint", "id": number}).encode() + b"\n")
        self.clock.advance(0)


def test_it_hears_when_it_is_taken() -> None:
    """Not before; and the sequence with it."""
    job = Job()
    job.ask(1)
    assert job.said == []
    job.taking[0].callback(3)
    assert job.said == [{"id": 1, "checkpoint": 3}]


@pytest.mark.parametrize(
    ("error", "code"),
    [(RefusedError("checkpoint-kind", "a link"), "checkpoint-kind"), (OSError(28, "full"), "disk")],
)
def test_it_hears_why_none_was_taken(error: Exception, code: str) -> None:
    """And may ask again."""
    job = Job()
    job.ask(1)
    job.taking[0].errback(Failure(error))
    assert job.said[0]["error"] == code
    job.ask(2)
    job.clock.advance(limits.CHECKPOINT_PAUSE)
    assert len(job.taking) == 2


def test_one_at_a_time() -> None:
    """Also while it only waits for its turn."""
    job = Job()
    job.ask(1)
    job.ask(2)
    assert job.said[-1]["error"] == "busy"
    job.taking[0].callback(1)
    job.ask(3)
    job.ask(4)
    assert job.said[-1] == {
        "id": 4,
        "error": "busy",
        "sentence": "a checkpoint is being taken already; wait for it",
    }


def test_it_has_the_disk_a_fifth_of_the_time() -> None:
    """After one that took two seconds, the next one begins eight seconds later; whoever asks waits."""
    job = Job()
    job.ask(1)
    job.clock.advance(2.0)
    job.taking[0].callback(1)
    job.ask(2)
    job.clock.advance(7.9)
    assert len(job.taking) == 1
    job.clock.advance(0.2)
    assert len(job.taking) == 2


def test_the_end_waits_for_what_is_under_way() -> None:
    """What waits for its turn is not begun any more."""
    job = Job()
    job.ask(1)
    ended: list[None] = []
    Deferred.fromCoroutine(job.link.end()).addCallback(ended.append)
    assert ended == []
    job.taking[0].callback(1)
    assert ended == [None]
    waiting = Job()
    waiting.ask(1)
    waiting.taking[0].callback(1)
    waiting.ask(2)
    Deferred.fromCoroutine(waiting.link.end())
    assert not waiting.clock.getDelayedCalls()
    assert len(waiting.taking) == 1


def test_where_none_are_taken() -> None:
    """It is told so."""
    job = Job(takes=False)
    job.ask(1)
    assert job.said[0]["error"] == "unsupported"
