"""Leases as a grantor keeps them."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rjs.leases import LeaseTable, holder_until
from rjs.limits import LEASE_LOOK

LEASE = 10.0


def table(looked: float = 0.0) -> LeaseTable[str, str]:
    """A table that has just been looked at."""
    made: LeaseTable[str, str] = LeaseTable(LEASE)
    assert made.expire(looked) == {}
    return made


def look(leases: LeaseTable[str, str], start: float, end: float) -> dict[str, frozenset[str]]:
    """Look as often as promised; what expired."""
    lapsed: dict[str, frozenset[str]] = {}
    while start < end:
        start = min(end, start + LEASE_LOOK)
        lapsed |= leases.expire(start)
    return lapsed


def test_a_lease_ends_when_it_is_not_renewed() -> None:
    """All that a silent holder had ends together, one lease after its first grant, not before."""
    leases = table()
    leases.grant("a", "x", 0.0)
    leases.grant("b", "x", 5.0)
    assert look(leases, 0.0, LEASE - 0.1) == {}
    assert leases.expire(LEASE) == {"x": frozenset("ab")}
    assert (len(leases), leases.held("x"), leases.holder("a")) == (0, frozenset(), None)


def test_renewal_counts_from_when_it_came() -> None:
    """A renewal gives one full lease from its time, and an old one takes nothing away."""
    leases = table()
    leases.grant("a", "x", 0.0)
    leases.renew("x", 8.0)
    leases.renew("x", 3.0)
    assert look(leases, 0.0, 17.9) == {}
    assert leases.expire(18.0) == {"x": frozenset("a")}


def test_a_renewal_of_nothing_is_no_lease() -> None:
    """Who holds nothing cannot save up time."""
    leases = table()
    leases.renew("x", 0.0)
    look(leases, 0.0, 5.0)
    leases.grant("a", "x", 5.0)
    assert look(leases, 5.0, 14.9) == {}
    assert leases.expire(15.0) == {"x": frozenset("a")}


def test_the_holder_stops_believing_first() -> None:
    """Sending comes before receiving, so a holder's lease ends no later than its grantor's."""
    leases = table()
    leases.grant("a", "x", 0.0)
    sent, received = 4.0, 4.5
    leases.renew("x", received)
    look(leases, 0.0, 14.0)
    assert leases.expire(holder_until(sent, LEASE)) == {}


def test_time_without_looking_is_forgiven() -> None:
    """A grantor that slept has not listened: its holders get that time back."""
    leases = table()
    leases.grant("a", "x", 0.0)
    assert leases.expire(1000.0) == {}
    assert look(leases, 1000.0, 1000.0 + LEASE - LEASE_LOOK - 0.1) == {}
    assert look(leases, 1000.0 + LEASE - LEASE_LOOK - 0.1, 1000.0 + LEASE) == {"x": frozenset("a")}


def test_time_between_the_first_grant_and_the_first_look_is_forgiven() -> None:
    """A grantor that restores its leases and then starts slowly expires none of them for that."""
    leases: LeaseTable[str, str] = LeaseTable(LEASE)
    leases.grant("a", "x", 0.0)
    assert leases.expire(60.0) == {}
    assert leases.holder("a") == "x"


def test_a_key_has_one_holder() -> None:
    """A grant to another holder ends the lease of the one before."""
    leases = table()
    leases.grant("a", "x", 0.0)
    leases.grant("a", "y", 1.0)
    assert (leases.holder("a"), leases.held("x"), leases.count("x"), leases.count("y")) == (
        "y",
        frozenset(),
        0,
        1,
    )


class Model(RuleBasedStateMachine):
    """A table against the plainest description of it: when each key was granted, to whom, and renewals."""

    def __init__(self) -> None:
        super().__init__()
        self.leases = table()
        self.now = 0.0
        self.until: dict[str, float] = {}
        self.holder: dict[str, str] = {}

    @rule(key=st.sampled_from("abcd"), holder=st.sampled_from("xyz"))
    def grant(self, key: str, holder: str) -> None:
        self.leases.grant(key, holder, self.now)
        self.holder[key] = holder
        self.forget_idle()
        self.until.setdefault(holder, self.now + LEASE)

    @rule(holder=st.sampled_from("xyz"))
    def renew(self, holder: str) -> None:
        self.leases.renew(holder, self.now)
        if holder in self.until:
            self.until[holder] = self.now + LEASE

    @rule(key=st.sampled_from("abcd"))
    def end(self, key: str) -> None:
        self.leases.end(key)
        self.holder.pop(key, None)
        self.forget_idle()

    @rule(seconds=st.floats(0.1, LEASE_LOOK))
    def look(self, seconds: float) -> None:
        self.now += seconds
        lapsed = self.leases.expire(self.now)
        late = {each for each, until in self.until.items() if self.now >= until}
        assert set(lapsed) == late
        for each in late:
            assert lapsed[each] == {key for key, holder in self.holder.items() if holder == each}
        self.holder = {key: holder for key, holder in self.holder.items() if holder not in late}
        self.forget_idle()

    def forget_idle(self) -> None:
        self.until = {each: until for each, until in self.until.items() if each in self.holder.values()}

    @invariant()
    def the_same(self) -> None:
        assert len(self.leases) == len(self.holder)
        for key in "abcd":
            assert self.leases.holder(key) == self.holder.get(key)
        for holder in "xyz":
            assert self.leases.held(holder) == {key for key, each in self.holder.items() if each == holder}
            assert self.leases.count(holder) == len(self.leases.held(holder))


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, deadline=None)
