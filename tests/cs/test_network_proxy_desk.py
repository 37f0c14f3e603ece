"""Whose word decides what a running job reaches, and how its clients learn of the proxy."""

from __future__ import annotations

import socket
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import attrs
import pytest
from twisted.internet.task import Clock

from cs.network_proxy_clients import environment, java_options
from cs.network_proxy_desk import NetworkDesk, machine_now
from cs.network_proxy_rules import Reach
from cs.trust import Grant, TrustStore
from rjs.bundle.testing import NOW
from rjs.bundle.verify import Signer
from rjs.descriptor.model import Permissions
from rjs.ids import SpkiDigest

ADA = SpkiDigest("a" * 64)
PLACES = ("a.org:443", "nas.lan:80")
GRANT = Grant(ADA, "Ada", "signer", NOW, NOW + timedelta(hours=1), (*PLACES, "more.org:1"), ("nas.lan:80",))


def prepared(*places: str, confined: bool = True) -> Any:
    """As much of an attempt as is looked at."""
    return SimpleNamespace(
        walls=object() if confined else None,
        attempt=SimpleNamespace(task=0, job="b" * 64),
        bundle=SimpleNamespace(signer=Signer(ADA, "CN=Ada", b"", (b"",), NOW)),
        descriptor=SimpleNamespace(permissions=Permissions(network=places)),
    )


@pytest.fixture
def desk() -> NetworkDesk:
    """Of an owner who granted Ada's jobs some places."""
    clock: Any = Clock()
    return NetworkDesk(clock, lambda: TrustStore((GRANT,)), 1000, lambda: NOW)


def test_a_job_reaches_what_it_asked_for(desk: NetworkDesk) -> None:
    """And no more of what was granted; in the form that compares, however the descriptor has it."""
    assert desk.reach(prepared("A.org:443", "nas.lan:80")) == Reach(
        frozenset(PLACES), frozenset({"nas.lan:80"})
    )
    assert desk.reach(prepared()).places == frozenset()


def test_what_is_taken_back_counts_at_once(desk: NetworkDesk) -> None:
    """Another store, an end that has come, a place less: then nothing is reached at all."""
    asked = prepared(*PLACES)
    desk.wall = lambda: NOW + timedelta(hours=2)
    assert desk.reach(asked) == Reach()
    desk.wall = lambda: NOW
    assert desk.reach(asked) != Reach()
    for store in (TrustStore(), TrustStore((attrs.evolve(GRANT, network=PLACES[:1], private=()),))):
        desk.trust = lambda store=store: store  # type: ignore[misc]  # a default of its own
        assert desk.reach(asked) == Reach()


def test_the_status_tells_of_the_last_attempt(desk: NetworkDesk) -> None:
    """What it carried and may carry."""
    assert desk.document() == {}
    network = desk.begin(prepared(*PLACES))
    network.meter.sent("a.org:443", 7)
    assert desk.document() == {
        "used": 7, "most": 1000, "refused": 0,
        "places": {"a.org:443": {"connections": 0, "sent": 7, "received": 0}},
    }  # fmt: skip


def test_a_machine_knows_itself() -> None:
    """Every address that a socket can be bound to here is one of its own."""
    own = machine_now()
    for address in own.addresses:
        if address.is_link_local and address.version == 6:
            continue  # needs a scope
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as bound:
            bound.bind((str(address), 0))
    assert "127.0.0.1" in map(str, own.addresses)
    assert all(any(address in network for network in own.networks) for address in own.addresses)


def test_clients_are_told_where_the_proxy_is() -> None:
    """In both spellings; the job's own loopback needs none."""
    told = environment(prepared("a.org:443"))
    assert {told[name] for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")} == {
        "http://127.0.0.1:3128"
    }
    assert told["no_proxy"] == told["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert java_options(prepared("a.org:443")) == (
        "-Dhttp.proxyHost=127.0.0.1", "-Dhttp.proxyPort=3128",
        "-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=3128",
        "-Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]",
    )  # fmt: skip


def test_the_owners_loopback_is_behind_the_proxy() -> None:
    """Where it was granted, that name is not the job's own any more."""
    assert environment(prepared("127.0.0.1:80"))["no_proxy"] == "localhost,::1"
    assert java_options(prepared("[::1]:80", "LOCALHOST:80"))[-1] == "-Dhttp.nonProxyHosts=127.0.0.1"


@pytest.mark.parametrize("without", [prepared(), prepared("a.org:443", confined=False)])
def test_a_job_without_a_proxy_is_told_nothing(without: Any) -> None:
    """It asked for no place, or is not confined and reaches them itself."""
    assert environment(without) == {}
    assert java_options(without) == ()
