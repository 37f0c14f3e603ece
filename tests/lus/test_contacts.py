"""Contacts: every announced CS is dialled by one patient loop, and only a refusal proves a process dead."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

import lus.contacts
from lus import limits
from lus.contacts import Contacts
from rjs.background import Tasks
from rjs.discovery import Seen, Service
from rjs.errors import UnreachableError
from rjs.ids import BootId, ServerId
from rjs.limits import DIAL_BACKOFF_MOST
from rjs.wire.dial import RefusedConnectionError

CS, BOOT = ServerId("c" * 32), BootId("b" * 32)
LUS, OTHER = ServerId("1" * 32), ServerId("2" * 32)
SEEN = Seen(Service.CS, CS, BOOT, ("10.0.0.1", "10.0.0.2"), 9002, 1)


@attrs.define(eq=False)
class FakeSession:
    """A session with a CS that ends when told."""

    boot: str = BOOT
    closed: list[str] = attrs.field(factory=list)
    ending: list[Deferred[str]] = attrs.field(factory=list)

    @property
    def peer_hello(self) -> FakeSession:
        return self

    def due_in(self) -> float:
        return 3600.0

    def gone(self) -> Deferred[str]:
        self.ending.append(Deferred(self.ending.remove))
        return self.ending[-1]

    def close(self, code: str, sentence: str) -> None:
        self.closed.append(code)

    def end(self) -> None:
        self.ending.pop().callback("the connection was lost")


class Lan:
    """Contacts on a clock; ``hosts`` says what answers at each address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.tasks = Tasks("test")
        self.dialled: list[tuple[float, str, int]] = []
        self.dead: list[str] = []
        self.hosts: dict[str, Callable[[], Any]] = {}

        async def fake(
            reactor: Any, host: str, port: int, me: Any, door: Any, creator: Any, number: int
        ) -> Any:
            self.dialled.append((self.clock.seconds(), host, number))
            return self.hosts.get(host, unreachable)()

        monkeypatch.setattr(lus.contacts, "dial", fake)
        nothing = cast(Any, None)
        self.theirs: FakeSession | None = None
        """The session that the CS dialled."""
        self.contacts = Contacts(
            cast(Any, self.clock), cast(Any, SimpleNamespace(name=f"rjs://lus/{LUS}")), nothing, self.tasks,
            lambda cs: nothing, self.dead.append, current=lambda cs: cast(Any, self.theirs),
        )  # fmt: skip

    def pass_time(self, seconds: float, announced: Seen | None = None) -> None:
        for step in range(round(seconds * 10)):
            if announced is not None and step % 50 == 0:
                self.contacts.seen(announced)
            self.clock.advance(0.1)


def unreachable() -> FakeSession:
    raise UnreachableError("no route to it")


def refused() -> FakeSession:
    raise RefusedConnectionError("nobody listens there")


@pytest.fixture
def lan(monkeypatch: pytest.MonkeyPatch) -> Lan:
    return Lan(monkeypatch)


def test_each_address_is_tried_and_one_session_is_kept(lan: Lan) -> None:
    """The first address that answers gets the session; announcements meanwhile dial nothing more."""
    session = FakeSession()
    lan.hosts["10.0.0.2"] = lambda: session
    lan.pass_time(60, announced=SEEN)
    assert [host for _, host, _ in lan.dialled] == ["10.0.0.1", "10.0.0.2"]
    assert lan.contacts.known[CS].reached == (BOOT, "10.0.0.2", 9002)


def test_dialling_is_bounded_while_it_is_announced(lan: Lan) -> None:
    """A CS that announces itself and cannot be reached is tried every few seconds, never in a tight loop."""
    lan.pass_time(60, announced=SEEN)
    rounds = len(lan.dialled) / 2
    assert 60 / (1.5 * DIAL_BACKOFF_MOST) < rounds < 10 + 60 / (0.5 * DIAL_BACKOFF_MOST)
    assert lan.contacts.known[CS].trouble == "no route to it; no route to it"
    numbers = [number for *_, number in lan.dialled]
    assert numbers == sorted(set(numbers))


def test_a_cs_that_closes_at_once_is_no_tight_loop(lan: Lan) -> None:
    """A CS that serves another LUS takes the session and closes it: it is asked again ever more slowly."""

    class Closing(FakeSession):
        def gone(self) -> Deferred[str]:
            ended: Deferred[str] = Deferred()
            ended.callback("serving-another: not you")
            return ended

    lan.hosts["10.0.0.1"] = Closing
    lan.pass_time(60, announced=SEEN)
    assert len(lan.dialled) < 10 + 60 / (0.5 * DIAL_BACKOFF_MOST)


def test_what_was_never_reached_and_is_silent_is_forgotten(lan: Lan) -> None:
    """An announcement without a CS behind it costs a few attempts."""
    lan.contacts.seen(SEEN)
    lan.pass_time(limits.CONTACT_SILENT + 10)
    tried = len(lan.dialled)
    assert lan.contacts.known == {}
    lan.pass_time(60)
    assert len(lan.dialled) == tried
    lan.contacts.seen(SEEN)
    assert lan.contacts.known and len(lan.dialled) > tried


def test_what_was_reached_is_dialled_for_a_while(lan: Lan) -> None:
    """A CS that was there and is silent now is given up after its time, not before."""
    session = FakeSession()
    lan.hosts["10.0.0.1"] = lambda: session
    lan.contacts.seen(SEEN)
    lan.pass_time(1)
    lan.hosts.clear()
    session.end()
    lan.pass_time(limits.CONTACT_FORGOTTEN - 10)
    assert lan.contacts.known
    lan.pass_time(20)
    assert lan.contacts.known == {} and lan.dead == []


def test_only_a_refusal_where_it_was_reached_proves_death(lan: Lan) -> None:
    """A refused connection at another address, or before it was ever reached, proves nothing; where this boot
    was reached it does, once."""
    session = FakeSession()
    lan.hosts.update({"10.0.0.1": refused, "10.0.0.2": lambda: session})
    lan.contacts.seen(SEEN)
    lan.pass_time(1)
    assert lan.dead == []
    lan.hosts["10.0.0.2"] = unreachable
    session.end()
    lan.pass_time(10, announced=SEEN)
    assert lan.dead == []
    lan.hosts["10.0.0.2"] = refused
    lan.pass_time(20, announced=SEEN)
    assert lan.dead == [CS]


def test_a_new_boot_is_not_the_one_that_died(lan: Lan) -> None:
    """After a restart the old boot's refusal says nothing of the new boot."""
    session = FakeSession(boot="d" * 32)
    lan.hosts["10.0.0.1"] = lambda: session
    lan.contacts.seen(SEEN)
    lan.pass_time(1)
    lan.hosts["10.0.0.1"] = refused
    session.end()
    lan.pass_time(10, announced=SEEN)
    assert lan.dead == []


def test_names_are_bounded(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of announced names ends at the cap."""
    monkeypatch.setattr(limits, "CONTACTS", 3)
    for each in range(10):
        lan.contacts.seen(attrs.evolve(SEEN, id=ServerId(f"{each:032x}")))
    assert len(lan.contacts.known) == 3 and len(lan.dialled) == 6


def test_stopping_closes_the_session(lan: Lan) -> None:
    """Whoever stops the LUS ends the loop and its session, and no timer stays."""
    session = FakeSession()
    lan.hosts["10.0.0.1"] = lambda: session
    lan.contacts.seen(SEEN)
    lan.tasks.cancel_all()
    assert session.closed == ["closing"]
    session.end()
    assert lan.contacts.known == {} and lan.clock.getDelayedCalls() == []


# --- who else dials ---------------------------------------------------------------------------------------


def test_a_cs_that_dialled_us_is_dialled_once(lan: Lan) -> None:
    """While the CS's own session lives, one dial finds out whether its door can be reached, and no more."""
    lan.theirs = FakeSession()
    lan.pass_time(120, announced=SEEN)
    assert len(lan.dialled) == 2 and 0.5 * limits.DOOR_LOOK <= lan.dialled[0][0] <= 1.6 * limits.DOOR_LOOK
    session, lan.theirs = lan.theirs, None
    session.end()
    lan.pass_time(1, announced=SEEN)
    assert len(lan.dialled) > 2


def test_whose_door_was_reached_is_known_dead_whoever_dialled(lan: Lan) -> None:
    """A CS whose door we reached, and that is now there by a session of its own, is known dead when that session ends
    and its door refuses; while the session lives a refusal proves nothing."""
    ours = FakeSession()
    lan.hosts["10.0.0.1"] = lambda: ours
    lan.contacts.seen(SEEN)
    lan.pass_time(1)
    lan.hosts["10.0.0.1"] = refused
    lan.theirs = FakeSession()
    ours.end()
    lan.pass_time(20, announced=SEEN)
    assert lan.dead == []
    session, lan.theirs = lan.theirs, None
    session.end()
    lan.pass_time(1, announced=SEEN)
    assert lan.dead == [CS]


def test_a_cs_that_serves_another_is_left_to_it(lan: Lan) -> None:
    """Announced as served elsewhere it is hardly dialled; announced as free it is dialled at once."""
    elsewhere = attrs.evolve(SEEN, serves=OTHER)
    lan.pass_time(100, announced=elsewhere)
    rounds = len(lan.dialled) / 2
    assert rounds <= 100 / (0.5 * limits.SERVED_ELSEWHERE)
    lan.contacts.seen(SEEN)
    lan.pass_time(0.1)
    assert len(lan.dialled) / 2 == rounds + 1
    lan.pass_time(10, announced=attrs.evolve(SEEN, serves=LUS))
    assert len(lan.dialled) / 2 > rounds + 1  # it serves us, it says: our session with it broke


def test_a_cs_that_says_so_itself_is_left_too(lan: Lan) -> None:
    """One that closes our session because it serves another is not dialled in a storm, also if it announces nothing
    of it; a restart of it is dialled soon."""

    class Serving(FakeSession):
        def gone(self) -> Deferred[str]:
            ended: Deferred[str] = Deferred()
            ended.callback("serving-another: this compute server serves another now")
            return ended

    lan.hosts["10.0.0.1"] = Serving
    lan.pass_time(100, announced=SEEN)
    tried = len(lan.dialled)
    assert tried <= 1 + 100 / (0.5 * limits.SERVED_ELSEWHERE)
    lan.contacts.seen(attrs.evolve(SEEN, boot=BootId("d" * 32)))
    lan.pass_time(2 * limits.WOKEN)
    assert len(lan.dialled) == tried + 1


def beyond_grace() -> FakeSession:
    raise UnreachableError("identity.expired: its certificate has expired (the clock here says 10:00Z)")


class Revoking(FakeSession):
    """It opens a session and says at once that we may not."""

    def gone(self) -> Deferred[str]:
        ended: Deferred[str] = Deferred()
        ended.callback("revoked: this lookup server is revoked")
        return ended


@pytest.mark.parametrize("refusing", [beyond_grace, Revoking])
@pytest.mark.parametrize("other", [unreachable, refused])
def test_a_lasting_refusal_is_met_ever_more_seldom(
    lan: Lan, refusing: Callable[[], Any], other: Callable[[], Any]
) -> None:
    """Whoever is refused for what it is, at one of its addresses, is dialled every few minutes in the end; it is
    found within seconds when it announces a new boot, another port or another address."""
    lan.hosts.update({"10.0.0.1": other, "10.0.0.2": refusing})
    lan.pass_time(600, announced=SEEN)
    begun = len(lan.dialled) / 2
    assert begun <= 20
    lan.pass_time(3600, announced=SEEN)
    assert (
        3600 / (1.6 * limits.REFUSED_DIALLED)
        < len(lan.dialled) / 2 - begun
        < 3600 / (0.5 * limits.REFUSED_DIALLED)
    )
    changed = SEEN
    for news in ({"boot": BootId("d" * 32)}, {"port": 9003}, {"addresses": ("10.0.0.2",)}):
        changed, before = attrs.evolve(changed, **news), len(lan.dialled)
        lan.contacts.seen(changed)
        lan.pass_time(2 * limits.WOKEN)
        assert len(lan.dialled) > before
        lan.pass_time(600, announced=changed)
    session = FakeSession()
    lan.hosts["10.0.0.2"] = lambda: session
    lan.contacts.seen(attrs.evolve(changed, boot=BootId("e" * 32)))
    lan.pass_time(2 * limits.WOKEN)
    assert lan.contacts.known[CS].reached is not None
    session.end()
    lan.hosts["10.0.0.2"] = unreachable
    before = len(lan.dialled)
    lan.pass_time(60, announced=changed)
    assert len(lan.dialled) - before > 60 / (1.6 * DIAL_BACKOFF_MOST)


def test_news_that_come_while_it_is_dialled_are_not_missed(lan: Lan) -> None:
    """What it announces during the dial, or just after it, is dialled too, however long the pause would be."""
    lan.hosts.update({"10.0.0.1": beyond_grace, "10.0.0.2": beyond_grace})
    lan.pass_time(600, announced=SEEN)
    for number in range(2):
        lan.contacts.seen(attrs.evolve(SEEN, boot=BootId(f"{number:032x}")))
        lan.pass_time(0.1)
    before = len(lan.dialled)
    lan.pass_time(2 * limits.WOKEN)
    assert len(lan.dialled) == before + 2


def test_a_refusal_is_logged_once(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is met, and whatever the clock says in it."""
    minutes = iter(range(10**6))

    def expired() -> FakeSession:
        raise UnreachableError(
            f"identity.expired: it has expired (until 1; the clock here says {next(minutes)})"
        )

    lan.hosts.update({"10.0.0.1": expired, "10.0.0.2": expired})
    with capturedLogs() as logged:
        lan.pass_time(600, announced=SEEN)
    assert len(lan.dialled) > 2 and len(logged) == 1


def test_changing_announcements_are_no_tight_loop(lan: Lan) -> None:
    """Whoever announces a CS's boot anew and anew makes us dial no more than twice a second."""
    for number in range(600):
        lan.contacts.seen(attrs.evolve(SEEN, boot=BootId(f"{number:032x}")))
        lan.clock.advance(0.05)
    assert len(lan.dialled) / 2 <= 30 / limits.WOKEN + 10


def test_few_that_were_never_reached_are_dialled_at_a_time(lan: Lan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of names behind which nobody answers takes few sockets, and none from those who were reached."""
    hanging: list[str] = []

    async def hang(reactor: Any, host: str, *_: Any) -> Any:
        hanging.append(host)
        return await Deferred[Any]()

    monkeypatch.setattr(lus.contacts, "dial", hang)
    for number in range(2 * limits.DIALS_AT_ONCE):
        lan.contacts.seen(attrs.evolve(SEEN, id=ServerId(f"{number:032x}")))
    assert len(hanging) == limits.DIALS_AT_ONCE
    lan.tasks.cancel_all()
    assert lan.contacts.known == {} and lan.clock.getDelayedCalls() == []
