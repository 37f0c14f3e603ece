"""Checkpoints through a LUS: who may read which, what it passes on, and what a start says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import CS1, CS2, A, attempt, brief, cs_state
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus import limits
from lus.board import Board
from lus.checkpoints import CheckpointRelay
from lus.instructions import Start
from lus.shell import Shell
from rjs.attempts import Fence
from rjs.errors import RefusedError
from rjs.wire import messages as m
from rjs.wire.session import Session, SessionLostError

REF = m.CheckpointRef(0, Fence(1, 1, 1), 2, 100, "ab" * 32)
NEWER = m.CheckpointRef(0, Fence(1, 7, 1), 1, 200, "cd" * 32)
KEY = f"{A}.0.{REF.sha256}"


class Ws:
    """The session with the WS."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []
        self.reply: m.Message | Exception | Deferred[m.Message] = m.BlobData(data=b"bytes")

    async def request(self, message: m.Message, kind: object) -> m.Message:
        self.asked.append(message)
        if isinstance(self.reply, Exception):
            raise self.reply
        return await self.reply if isinstance(self.reply, Deferred) else self.reply


class Site:
    """A LUS that started an attempt at task 0 of A on CS1."""

    def __init__(self) -> None:
        self.board, self.ws = Board(), Ws()
        self.board.renewed(0.0, (), 0.0)
        self.board.cs_state(CS1, "boot", "address", cs_state(), True, 0.0)
        granted = self.board.granted(1, brief(), [m.LeasedTask(7, 0)], 0.0, [REF])
        self.starts = [each for each in granted if isinstance(each, Start)]
        shell = SimpleNamespace(board=self.board, ws=self.ws, timers=Clock(), to_ws=self.ws.request)
        self.relay = CheckpointRelay(cast(Shell, shell))
        self.shell = shell

    def ask(self, message: m.Message, cs: str = CS1) -> Any:
        """What a CS gets for it: the reply, the refusal's code, or nothing yet."""
        session = cast(
            Session, SimpleNamespace(peer=SimpleNamespace(name=SimpleNamespace(id=cs, uri=lambda: cs)))
        )
        handler: Any = self.relay.routes().get(type(message), self.relay.read)
        got: list[Any] = []
        Deferred.fromCoroutine(handler(session, message)).addBoth(got.append)
        error = getattr(got[0], "value", None) if got else None
        return error.code if isinstance(error, RefusedError) else (got or [None])[0]


def read(key: str = KEY) -> m.BlobRead:
    return m.BlobRead(kind="checkpoint", key=key, offset=0, length=100)


def offer(sequence: int = 1) -> m.CheckpointOffer:
    return m.CheckpointOffer(
        attempt=attempt(7), cs=CS1, sequence=sequence, size=NEWER.size, sha256=NEWER.sha256
    )


def test_a_start_says_what_to_continue_from() -> None:
    """As the lease did; tasks without one say nothing."""
    site = Site()
    assert [each.checkpoint for each in site.starts] == [REF]
    site.board.cs_state(CS2, "boot", "address", cs_state(), True, 0.0)
    (other,) = (
        each
        for each in site.board.granted(1, brief(), [m.LeasedTask(8, 1)], 0.0, [REF])
        if isinstance(each, Start)
    )
    assert other.checkpoint is None


def test_the_same_leases_next_start_says_what_was_kept_since() -> None:
    """The WS has nothing older any more."""
    site = Site()
    site.ws.reply = m.CheckpointVerdict(verdict="kept")
    assert site.ask(offer()) == site.ws.reply
    site.board.cs_state(CS2, "boot", "address", cs_state(), True, 0.0)
    again = site.board.start_refused(CS1, attempt(7), "busy", "it runs another", 0.0)
    assert [each.checkpoint for each in again if isinstance(each, Start)] == [NEWER]


@pytest.mark.parametrize("verdict", ["refused", "retry"])
def test_what_is_not_kept_changes_nothing(verdict: str) -> None:
    """The next start says what the lease did."""
    site = Site()
    site.ws.reply = m.CheckpointVerdict(verdict=verdict)
    assert site.ask(offer()) == site.ws.reply
    site.board.cs_state(CS2, "boot", "address", cs_state(), True, 0.0)
    again = site.board.start_refused(CS1, attempt(7), "busy", "it runs another", 0.0)
    assert [each.checkpoint for each in again if isinstance(each, Start)] == [REF]


def test_only_for_its_own_attempt() -> None:
    """A CS reads that of the task that it was given, and of no other; whoever was given none reads nothing."""
    site = Site()
    assert site.ask(read()) == m.BlobData(data=b"bytes")
    assert site.ask(read(), CS2) == site.ask(read(f"{A}.1.{REF.sha256}")) == site.ask(read("")) == "no-blob"
    assert site.ws.asked == [read()]


def test_a_ws_that_is_away() -> None:
    """That is said as such, for a task is not to begin from zero for it."""
    site = Site()
    site.ws.reply = SessionLostError("lost")
    assert site.ask(read()) == "ws-away"
    site.shell.ws = None
    assert site.ask(read()) == "ws-away"


def test_few_wait_for_the_ws() -> None:
    """A CS that offers and offers while the WS is away is told to come again."""
    site = Site()
    site.ws.reply = Deferred()
    assert [site.ask(offer(each)) for each in range(1, limits.CHECKPOINT_OFFERS_PER_CS + 1)] == [
        None
    ] * limits.CHECKPOINT_OFFERS_PER_CS
    assert site.ask(offer(99)).verdict == "retry"


def test_nobody_speaks_for_another() -> None:
    """Neither an offer nor a rejection is passed on in another CS's name."""
    site = Site()
    rejected = m.CheckpointRejected(attempt=attempt(7), cs=CS1, sha256=REF.sha256, code="c", sentence="s")
    assert site.ask(offer(), CS2) == site.ask(rejected, CS2) == "wrong-cs"
    assert site.ws.asked == []
    site.ws.reply = m.Done()
    assert site.ask(rejected) == m.Done()
