"""Clocks that differ are recognised as such: by both ends, in words, and without refusing anybody for it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec
import pytest
from twisted.logger import LogEvent, globalLogPublisher

from rjs import limits
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.greeting import Clocks, clock_facts, clocks
from rjs.wire.testing import Wire

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
HELLO = m.Hello(protocol=1, release="1.0", cluster="0" * 16, name="rjs://user/ada", boot="0" * 32)


@pytest.mark.parametrize(
    ("said", "travel", "ahead"),
    [
        (0.0, 0.0, 0.0),
        (90.0, 0.0, 90.0),
        (-90.0, 0.0, -90.0),
        (-9.0, 10.0, 0.0),
        (-90.0, 10.0, -80.0),
        (5.0, 10.0, 5.0),
    ],
)
def test_the_least_difference_counts(said: float, travel: float, ahead: float) -> None:
    """What the way of the hello may explain is no difference."""
    found = clocks(msgspec.structs.replace(HELLO, now=NOW.timestamp() + said), NOW, travel)
    assert found is not None and found.ahead == pytest.approx(ahead)
    assert found.disagree == (abs(ahead) > limits.CLOCKS_APART) == bool(found.words())


@pytest.mark.parametrize("now", [0.0, 1e12])
def test_who_does_not_say_the_time(now: float) -> None:
    """A peer of an older release, or one that says what is no date, is compared with nothing."""
    assert clocks(msgspec.structs.replace(HELLO, now=now), NOW, 0.0) is None


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What sessions log."""
    found: list[str] = []

    def observe(event: LogEvent) -> None:
        if event["log_namespace"] == "rjs.session" and "words" in event:
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    yield found
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]  # a function is an observer


def opened(wire: Wire, seconds: float) -> None:
    """Open a wire whose dialled end has a clock that is that far ahead."""
    wire.ahead = dt.timedelta(seconds=seconds)
    wire.open()


@pytest.mark.parametrize("seconds", [-3600.0, 3600.0])
def test_both_ends_hear_of_it_once(organisation: Organisation, told: list[str], seconds: float) -> None:
    """Each logs the other's name and both times, and serves on."""
    wire = Wire(organisation)
    opened(wire, seconds)
    wire.pass_time(5)
    assert len(told) == 2 and all("set the one that is wrong" in each for each in told)
    theirs = wire.wall() + dt.timedelta(seconds=seconds - 5)
    assert any(f"its clock said {theirs:%Y-%m-%d %H:%M}" in each for each in told)
    assert wire.dialled.clocks is not None and wire.dialled.clocks.ahead == pytest.approx(seconds)
    assert wire.accepted.clocks is not None and wire.accepted.clocks.ahead == pytest.approx(-seconds)
    assert not wire.dialled.reason


def test_clocks_that_agree_are_not_talked_of(organisation: Organisation, told: list[str]) -> None:
    """Nothing is logged within the bound, and status says by how much they differ."""
    wire = Wire(organisation)
    opened(wire, limits.CLOCKS_APART - 1)
    assert told == [] and wire.dialled.clocks is not None
    assert clock_facts([wire.dialled]) == {"ahead": {wire.dialled.peer.common_name: 59.0}, "trouble": ""}


def test_status_says_which_clock(organisation: Organisation) -> None:
    """Whose it is, both times, and whoever was refused."""
    wire = Wire(organisation)
    opened(wire, 86400)
    facts = clock_facts([wire.dialled], "whoever called from 192.0.2.9: its clock said …")
    assert facts["ahead"] == {wire.dialled.peer.common_name: 86400.0}
    assert facts["trouble"].startswith(f"{wire.dialled.peer.common_name}: its clock said ")
    assert facts["trouble"].endswith("; whoever called from 192.0.2.9: its clock said …")


def test_a_certificate_that_only_seems_expired(organisation: Organisation) -> None:
    """Where a door refuses an expired certificate and the clocks disagree, both ends read that one may be wrong."""
    wire = Wire(organisation, organisation.expired(Role.CS), Role.LUS)
    wire.called.door.welcome = frozenset({Role.CS})
    opened(wire, 86400)
    for reason in (wire.dialled.reason, wire.accepted.reason):
        assert reason.startswith("certificate-expired: ") and "set the one that is wrong" in reason


def test_words_name_both_times() -> None:
    """Both, so that people see which is wrong."""
    words = Clocks(NOW + dt.timedelta(days=2), NOW, 172800.0).words()
    assert "2026-06-03 12:00:00Z" in words and "2026-06-01 12:00:00Z" in words
