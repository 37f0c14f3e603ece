"""The ways to the web server: which is tried when, and what is said of those that lead nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from rjs.errors import RefusedError, UnreachableError
from rjs.identity.names import Role
from rjs.limits import LAN_LOOK
from rjs.ways import Way, by_any_way, ways_of
from rjs.wire.dial import OwnCertificateError

WS, LUS = Way(Role.WS, "ws.example.org", 9000), Way(Role.LUS, "10.0.7.2", 9001)
FOUND = Way(Role.LUS, "fe80::1%2", 9001)


class Network:
    """Ways that lead somewhere, and what was tried."""

    def __init__(self, *good: Way, error: Exception | None = None) -> None:
        self.good, self.error = good, error
        self.tried: list[Way] = []
        self.told: list[str] = []

    async def ask(self, ways: Sequence[Way]) -> tuple[str, Way]:
        for way in ways:
            self.tried.append(way)
            if self.error is not None:
                raise self.error
            if way in self.good:
                return "done", way
        raise UnreachableError("cannot reach " + ", ".join(map(str, ways)))

    async def look(self) -> list[Way]:
        return [LUS, FOUND]

    def outcome(self, known: list[Way], look: bool = True) -> Any:
        got: list[Any] = []
        more = self.look if look else None
        Deferred.fromCoroutine(by_any_way(self.ask, known, more, self.told.append)).addBoth(got.append)
        return getattr(got[0], "value", got[0])


def test_known_ways_come_first() -> None:
    """The web server's, then the lookup servers' of the invitation, in their order; nothing is looked for then."""
    assert ways_of(["ws.example.org:9000"], ["10.0.7.2:9001", "[fd77::1]:9001"]) == [
        WS, LUS, Way(Role.LUS, "fd77::1", 9001),
    ]  # fmt: skip
    network = Network(LUS)
    assert network.outcome([WS, LUS]) == ("done", LUS)
    assert network.tried == [WS, LUS] and network.told == []


def test_the_lan_comes_last() -> None:
    """What the known ways said is told, and none of them is tried twice."""
    network = Network(FOUND)
    assert network.outcome([WS, LUS]) == ("done", FOUND)
    assert network.tried == [WS, LUS, FOUND]
    (told,) = network.told
    assert f"{WS}, {LUS}" in told and f"looking for {LAN_LOOK:.0f} s for lookup servers" in told


def test_every_fault_is_told_and_what_to_do() -> None:
    """Of the known ways and of those that were found."""
    error = Network().outcome([WS])
    assert isinstance(error, UnreachableError)
    for part in (str(WS), str(LUS), "[fe80::1%2]:9001", "rjs ca invite --lus HOST:PORT"):
        assert part in str(error)
    assert "no lookup server of this cluster announces itself" in str(Network().outcome([WS, LUS, FOUND]))


@pytest.mark.parametrize("error", [RefusedError("invitation-used", "…"), OwnCertificateError("it expired")])
def test_what_is_no_fault_of_the_way_ends_it(error: Exception) -> None:
    """A refusal is the answer, and with an expired certificate of one's own no way is worth trying."""
    network = Network(error=error)
    assert network.outcome([WS, LUS]) is error and network.tried == [WS]


def test_nothing_is_looked_for_unasked() -> None:
    """Where the LAN shall not be looked at, the first error stands."""
    network = Network(FOUND)
    assert isinstance(network.outcome([WS], look=False), UnreachableError) and network.told == []
