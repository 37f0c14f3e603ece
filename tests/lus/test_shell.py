"""The LUS's shell: what waits for the WS is bounded, whatever compute servers say."""

from __future__ import annotations

from typing import Any, cast

import pytest
from samples import CS1, CS2, attempt, brief, cs_state
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus import limits
from lus.board import Board
from lus.shell import Shell
from rjs.background import Tasks
from rjs.wire import messages as m
from rjs.wire.session import Session


class Ws:
    """A session with the WS that is content with everything."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []

    async def request(self, message: m.Message, kind: type[m.Message]) -> m.Message:
        self.asked.append(message)
        return m.LeaseRenewed() if isinstance(message, m.LeaseRenew) else m.Done()

    def tell(self, message: m.Message) -> None:
        pass

    def ends(self) -> list[m.Message]:
        return [each for each in self.asked if isinstance(each, m.AttemptEnded)]


class Cs:
    """A compute server's session that takes every start."""

    async def request(self, message: m.Message, kind: type[m.Message]) -> m.Message:
        return m.Done()


class Setting:
    """A LUS that was given tasks and whose WS has gone."""

    def __init__(self) -> None:
        self.shell = Shell(Board(), cast(Any, Clock()), Tasks("test"))
        self.shell.servers[CS1] = cast(Session, Cs())
        board = self.shell.board
        board.ws_opened(0.0)
        board.renewed(0.0, (), 0.0)
        board.cs_state(CS1, "b", "192.0.2.1", cs_state(), True, 0.0)

    def say(self, number: int, cs: str = CS1) -> tuple[Deferred[None], list[Any]]:
        """A CS tells the end of an attempt: what it hears."""
        heard: list[Any] = []
        ended = m.AttemptEnded(attempt=attempt(number, task=number), cs=cs, kind="failed", detail="exit 1")
        said = Deferred.fromCoroutine(self.shell.relay_end(ended))
        said.addBoth(lambda result: heard.append(getattr(getattr(result, "value", None), "code", "done")))
        return said, heard


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_an_end_waits_once_however_often_it_is_said(setting: Setting) -> None:
    """A CS that comes back and says its end again makes nothing grow, and the WS hears it once."""
    for _ in range(1000):
        said, _ = setting.say(1)
        said.cancel()  # its session ended
    heard = [setting.say(1)[1] for _ in range(2)]
    ws = Ws()
    setting.shell.ws_opened(cast(Session, ws))
    assert heard == [["done"], ["done"]] and len(ws.ends()) == 1
    assert setting.say(1)[1] == ["done"] and len(ws.ends()) == 2


def test_unknown_ends_are_few(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of attempts that were not started here a CS has few ends waiting, all together too; then there is room."""
    for number in range(limits.STRANGE_ENDS_PER_CS):
        assert setting.say(number)[1] == []
    assert setting.say(99)[1] == ["too-many-ends"]
    assert setting.say(0)[1] == [] and setting.say(0, CS2)[1] == []
    monkeypatch.setattr(limits, "STRANGE_ENDS", limits.STRANGE_ENDS_PER_CS + 1)
    assert setting.say(1, CS2)[1] == ["too-many-ends"]
    ws = Ws()
    setting.shell.ws_opened(cast(Session, ws))
    setting.shell.ws_closed(cast(Session, ws))
    assert setting.say(99)[1] == []


def test_ends_of_what_was_started_all_wait(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """However quickly tasks fail while the WS is away, no end of one that was started here is refused."""
    monkeypatch.setattr(limits, "STRANGE_ENDS_PER_CS", 0)
    board, count = setting.shell.board, 50
    tasks = [m.LeasedTask(number, number) for number in range(1, count + 1)]
    board.granted(1, brief(tasks=count + 1), tasks, 0.0)
    heard = []
    for _ in range(count):
        current = board.registry.all()[0].attempt
        assert current is not None
        ended = m.AttemptEnded(attempt=current, cs=CS1, kind="failed", detail="exit 1")
        heard.append(Deferred.fromCoroutine(setting.shell.relay_end(ended)))
    assert not any(each.called for each in heard)
    ws = Ws()
    setting.shell.ws_opened(cast(Session, ws))
    assert all(each.called for each in heard) and len(ws.ends()) == count


def test_offers_on_their_way_are_few(setting: Setting) -> None:
    """Of a CS's answers a few wait for the WS, the others are offered again; a lost one leaves its place."""

    def offer(number: int) -> Deferred[Any]:
        message = m.AnswerOffer(
            attempt=attempt(number, task=number), cs=CS1, size=1, sha256="0" * 64, data=b"x"
        )
        return Deferred.fromCoroutine(setting.shell.relay_answer(message))

    waiting = [offer(number) for number in range(limits.OFFERS_PER_CS)]
    refused = cast(m.AnswerVerdict, offer(999).result)
    assert refused.verdict == "retry" and not any(each.called for each in waiting)
    waiting[0].addErrback(lambda _: None)
    waiting[0].cancel()
    assert not offer(999).called
