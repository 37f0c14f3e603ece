"""The WS's door: what a LUS tells is under way until it is durable, and never ends the process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from samples import CS1, A, attempt, job
from simulated_cluster import disk
from simulated_links import ProcessClock, SimulatedClock
from twisted.internet.defer import Deferred

from rjs.errors import OverloadedError
from rjs.storage import GroupCommit
from rjs.wire import messages as m
from ws import store
from ws.api import WsDoor
from ws.queue import Queue
from ws.shell import Shell

NOTHING = cast(Any, None)
LUS = "1" * 32


class FullStorage:
    """A storage in which too much waits: it takes what must be written, writes it when told, and refuses the rest."""

    def __init__(self) -> None:
        self._commit = GroupCommit(disk(store.MIGRATIONS))
        self._waiting: list[tuple[Any, Deferred[Any]]] = []

    def write(self, operation: Any, *, always: bool = False) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        if always:
            self._waiting.append((operation, done))
        else:
            done.errback(OverloadedError("storage", "too much waits"))
        return done

    def sync(self) -> None:
        while self._waiting:
            operation, done = self._waiting.pop(0)
            done.callback(self._commit.run([operation])[0])


def test_what_a_lus_tells_is_under_way_until_it_is_durable() -> None:
    """Wants, placements and returns count against their session while the disk is behind, and break nothing."""
    storage, broken, clock = FullStorage(), list[str](), SimulatedClock()
    shell = Shell(Queue(1), cast(Any, storage), ProcessClock(clock), broken.append)
    door = WsDoor(shell, NOTHING, NOTHING, NOTHING, NOTHING)
    session = SimpleNamespace(peer=SimpleNamespace(name=SimpleNamespace(id=LUS)), tell=lambda _: None)
    door.luses[LUS] = cast(Any, session)
    shell.queue.lus_opened(LUS, "boot", 0.0)
    shell.perform(shell.queue.add_job(job(), 0.0))
    storage.sync()
    for message in (
        m.TaskWant(outstanding=2, epoch=1),
        m.TaskPlaced(attempt=attempt(1), cs=CS1, cs_name="cs"),
        m.TaskReturn(job=A, leases=(2,), epoch=1, code="x", sentence="s"),
    ):
        under_way = cast("Deferred[None]", door.routes[type(message)](cast(Any, session), message))
        assert not bool(under_way.called), message
        storage.sync()
        assert bool(under_way.called) and not broken
