"""Lookup servers as a CS dials them: only while none serves it, the last one first, and no storm."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

import cs.lookup_servers
from cs import limits
from cs.lookup_servers import LookupServers
from rjs.background import Tasks
from rjs.discovery import Seen, Service
from rjs.errors import UnreachableError
from rjs.ids import BootId, ServerId
from rjs.limits import DIAL_BACKOFF_MOST

ONE, TWO = (ServerId(digit * 32) for digit in "12")


def announced(lus: ServerId, host: str) -> Seen:
    return Seen(Service.LUS, lus, BootId("b" * 32), (host,), 9001, 1)


@attrs.define(eq=False)
class FakeSession:
    """A session with a LUS that ends when told."""

    lus: str
    closed: list[str] = attrs.field(factory=list)
    waiting: list[Deferred[str]] = attrs.field(factory=list)

    @property
    def peer(self) -> Any:
        return SimpleNamespace(name=SimpleNamespace(id=self.lus))

    def due_in(self) -> float:
        return 3600.0

    def gone(self) -> Deferred[str]:
        if self.closed:
            return succeed("closing")
        self.waiting.append(Deferred(self.waiting.remove))
        return self.waiting[-1]

    def close(self, code: str, sentence: str) -> None:
        self.closed.append(code)
        self.end()

    def end(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback("lost")


class Machine:
    """A CS's side on a clock: ``hosts`` says what answers where, ``served`` is the session of whoever it serves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.tasks = Tasks("test")
        self.dialled: list[tuple[float, str]] = []
        self.hosts: dict[str, Callable[[], Any]] = {}
        self.served: FakeSession | None = None

        async def fake(
            reactor: Any, host: str, port: int, me: Any, door: Any, creator: Any, number: int, to_renew: bool
        ) -> Any:
            self.dialled.append((self.clock.seconds(), host))
            session = self.hosts.get(host, unreachable)()
            if self.served is None:
                self.served = session
            return session

        monkeypatch.setattr(cs.lookup_servers, "dial", fake)
        nothing = cast(Any, None)
        self.lookup = LookupServers(
            cast(Any, self.clock),
            nothing,
            nothing,
            self.tasks,
            lambda lus: nothing,
            lambda: cast(Any, self.served),
        )

    def pass_time(self, seconds: float, *seen: Seen) -> None:
        for step in range(round(seconds * 20)):
            if step % 100 == 0:
                for each in seen:
                    self.lookup.seen(each)
            self.clock.advance(0.05)

    def lose(self) -> None:
        lost, self.served = self.served, None
        assert lost is not None
        lost.end()


def unreachable() -> FakeSession:
    raise UnreachableError("no route to it")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_named_ones_are_dialled_at_once_and_for_ever(machine: Machine) -> None:
    """An address of the configuration is tried, every few seconds at most, and needs no announcement."""
    machine.lookup.always(["lus:9001", "lus:9001"])
    machine.clock.advance(0)
    assert machine.dialled == [(0.0, "lus")]
    machine.pass_time(300)
    assert 300 / (1.5 * DIAL_BACKOFF_MOST) < len(machine.dialled) < 10 + 300 / (0.5 * DIAL_BACKOFF_MOST)
    assert machine.lookup.known["lus:9001"].trouble == "no route to it"


def test_an_announced_one_may_dial_first(machine: Machine) -> None:
    """A LUS that announces itself and dials us is not dialled; one that cannot is, soon."""
    machine.lookup.seen(announced(ONE, "one"))
    machine.pass_time(0.2)
    machine.served = FakeSession(ONE)
    machine.pass_time(60, announced(ONE, "one"))
    assert machine.dialled == []
    machine.lose()
    machine.pass_time(1.5 * limits.LUS_FIRST + 0.1, announced(ONE, "one"))
    assert [host for _, host in machine.dialled][:1] == ["one"]


def test_while_one_serves_none_is_dialled(machine: Machine) -> None:
    """One session, however many lookup servers there are; when it is lost the last one comes first, and the next one
    within two seconds."""
    machine.hosts.update(one=lambda: FakeSession(ONE), two=lambda: FakeSession(TWO))
    machine.lookup.seen(announced(ONE, "one"))
    machine.pass_time(2)
    machine.pass_time(60, announced(ONE, "one"), announced(TWO, "two"))
    assert [host for _, host in machine.dialled] == ["one"]
    machine.lose()
    machine.pass_time(2, announced(ONE, "one"), announced(TWO, "two"))
    assert [host for _, host in machine.dialled] == ["one", "one"]
    del machine.hosts["one"]
    machine.lose()
    lost = machine.clock.seconds()
    machine.pass_time(2, announced(ONE, "one"), announced(TWO, "two"))
    assert machine.served is not None and machine.served.lus == TWO
    assert next(when for when, host in machine.dialled if host == "two") - lost < 2


def test_what_is_long_unheard_is_forgotten(machine: Machine) -> None:
    """A LUS that left costs nothing after a minute; one that announces itself again is dialled again."""
    machine.lookup.seen(announced(ONE, "one"))
    machine.pass_time(limits.LUS_FORGOTTEN + 10)
    tried = len(machine.dialled)
    assert machine.lookup.known == {} and machine.clock.getDelayedCalls() == []
    machine.pass_time(5, announced(ONE, "one"))
    assert len(machine.dialled) > tried


def test_names_are_bounded(machine: Machine) -> None:
    """A flood of announced names ends at the cap, and keeps out none that the owner named."""
    for number in range(2 * limits.LOOKUP_SERVERS):
        machine.lookup.seen(announced(ServerId(f"{number:032x}"), "flood"))
    machine.lookup.always(["lus:9001"])
    assert len(machine.lookup.known) == limits.LOOKUP_SERVERS + 1


def test_a_defect_ends_nothing(machine: Machine) -> None:
    """Whatever goes wrong in one dial is a fault of that dial, and the next one comes."""
    machine.hosts["lus"] = lambda: 1 / 0
    machine.lookup.always(["lus:9001"])
    machine.pass_time(20)
    assert len(machine.dialled) > 3 and "a defect on this side" in machine.lookup.known["lus:9001"].trouble


def test_stopping_ends_every_loop(machine: Machine) -> None:
    """Whoever stops the CS says goodbye to the LUS that it dialled, and no timer stays, wherever each loop was."""
    machine.hosts["lus"] = lambda: FakeSession(ONE)
    machine.lookup.always(["lus:9001"])
    machine.lookup.seen(announced(TWO, "two"))
    machine.pass_time(5)
    served = machine.served
    machine.tasks.cancel_all()
    assert served is not None and served.closed == ["closing"]
    assert machine.lookup.known == {} and machine.clock.getDelayedCalls() == []


def test_stopping_in_mid_dial(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dial under way is given up, not taken for a defect."""
    hanging, dialling = Deferred[Any](), list[bool]()

    async def hang(*_: Any, **__: Any) -> Any:
        dialling.append(True)
        return await hanging

    monkeypatch.setattr(cs.lookup_servers, "dial", hang)
    machine.lookup.always(["lus:9001"])
    machine.clock.advance(0)
    assert dialling
    machine.tasks.cancel_all()
    assert machine.lookup.known == {} and machine.clock.getDelayedCalls() == []


def test_an_ended_session_is_waited_for_once(machine: Machine) -> None:
    """A session that has ended and is still taken for the one that serves makes no tight loop."""
    machine.served = FakeSession(ONE, closed=["closing"])
    machine.lookup.always(["lus:9001"])
    machine.pass_time(60)
    assert machine.dialled == []
    machine.tasks.cancel_all()
