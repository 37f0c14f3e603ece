"""Fetching large answers: few at a time, each with a deadline, whatever a compute server offers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import CS1, CS2, attempt
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs import limits as shared
from rjs.background import ImmediateWorkers
from rjs.errors import RefusedError
from rjs.wire.messages import AnswerOffer, BlobData, BlobRead, Message
from rjs.wire.session import Session
from ws import limits
from ws.answers import AnswerDesk
from ws.queue import Queue
from ws.shell import Shell

NOTHING = cast(Any, None)


class Lus:
    """A LUS's session that never serves what it is asked for."""

    def __init__(self, number: int = 1) -> None:
        self.peer = SimpleNamespace(name=SimpleNamespace(id=f"{number:032x}"))
        self.asked: list[Message] = []

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        assert isinstance(message, BlobRead)
        self.asked.append(message)
        return await Deferred[BlobData]()


class Setting:
    """A desk, with what became of each offer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Clock()
        self.shell = Shell(Queue(1), NOTHING, cast(Any, self.clock), pytest.fail)
        self.desk = AnswerDesk(self.shell, ImmediateWorkers(), folder, NOTHING, dict, NOTHING)

    def offer(self, lus: Lus, cs: str, task: int) -> list[str]:
        """Offer 10 MB; the code of the verdict, once there is one."""
        offer = AnswerOffer(attempt=attempt(task + 1, task=task), cs=cs, size=10_000_000, sha256="0" * 64)
        verdicts: list[str] = []
        self.last = Deferred.fromCoroutine(self.desk.offered(cast(Session, lus), offer))
        self.last.addCallbacks(lambda each: verdicts.append(f"{each.verdict} {each.code}"), lambda _: None)
        return verdicts


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    """What the queue says of an attempt is tested with the queue; here every offer is worth fetching."""
    monkeypatch.setattr(Queue, "judge", lambda *_: None)
    return Setting(tmp_path)


def test_one_cs_has_few_answers_fetched(setting: Setting) -> None:
    """A CS that offers many and serves none takes a few places, each answer one, and only until the deadline."""
    lus = Lus()
    first = [setting.offer(lus, CS1, task) for task in range(limits.PULLS_PER_CS)]
    assert setting.offer(lus, CS1, 0) == ["retry fetched-already"]
    assert setting.offer(lus, CS1, 9) == ["retry fetching-others"]
    assert setting.offer(lus, CS2, 10) == [] and first == [[], []]
    setting.clock.advance(shared.BLOB_STALL)
    assert first == [["retry blob-stalled"]] * 2
    assert list(setting.folder.iterdir()) == [] and setting.offer(lus, CS1, 9) == []
    setting.last.cancel()
    assert not setting.clock.getDelayedCalls()


def test_what_stalls_keeps_no_other_answer_waiting(setting: Setting) -> None:
    """All that is fetched through one LUS fits into what it serves at a time; other LUSs have their own."""
    lus = Lus()
    fetched = [setting.offer(lus, f"{each:032x}", each) for each in range(limits.PULLS)]
    assert fetched == [[]] * limits.PULLS
    assert len(lus.asked) <= shared.BLOB_READS
    assert setting.offer(lus, f"{999:032x}", 999) == ["retry fetching-others"]
    assert setting.offer(Lus(2), f"{999:032x}", 999) == []


def test_a_fetch_that_is_cut_off_leaves_its_place(setting: Setting) -> None:
    """When the LUS's session ends, its place and its file are free for the next offer."""
    for _ in range(2):
        assert setting.offer(Lus(), CS1, 0) == []
        setting.last.cancel()
        assert list(setting.folder.iterdir()) == [] and not setting.clock.getDelayedCalls()


def test_a_revoked_cs_answers_no_more(setting: Setting) -> None:
    """Its answer is refused for good before a byte of it is fetched, and again if it is revoked meanwhile."""
    revoked: list[str] = [CS1]

    def check(cs: str, signer: object) -> None:
        if cs in revoked:
            raise RefusedError("revoked", "its disk was stolen")

    setting.desk.check_signer = check
    lus = Lus()
    assert setting.offer(lus, CS1, 0) == ["refused revoked"] and lus.asked == []
    assert setting.offer(lus, CS2, 0) == [] and lus.asked
    setting.last.cancel()
