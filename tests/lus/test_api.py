"""The LUS's doors: what the WS asks of a compute server that says nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from samples import CS1
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus.api import WsDoor
from lus.board import Board
from lus.shell import Shell
from rjs import limits
from rjs.background import Tasks
from rjs.wire.messages import BlobData, BlobRead, Message

NOTHING = cast(Any, None)


class SilentCs:
    """A compute server's session that never answers."""

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        return await Deferred[BlobData]()


def test_a_silent_cs_holds_no_read_for_long() -> None:
    """A read that is handed on to a CS fails in time, so that the next one has its place."""
    clock, ended = Clock(), list[Any]()
    shell = Shell(Board(), cast(Any, clock), Tasks("test"))
    shell.servers[CS1] = cast(Any, SilentCs())
    door = WsDoor(shell, cast(Any, SimpleNamespace()))
    read = BlobRead(kind="answer", key=f"job.0.1.1.1.{CS1}", offset=0, length=1)
    outcome = cast(Any, door.routes[BlobRead](NOTHING, read))
    Deferred.fromCoroutine(outcome).addBoth(ended.append)
    clock.advance(limits.BLOB_STALL - 1)
    assert ended == []
    clock.advance(1)
    assert ended[0].value.code == "blob-stalled" and not clock.getDelayedCalls()
