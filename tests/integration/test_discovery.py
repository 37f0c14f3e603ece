"""Servers find each other: real multicast DNS between hosts, or on a host's loopback alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from discovery_hosts import CS, Hosts, started
from netns import Lan

from rjs import limits

pytestmark = pytest.mark.integration

AT_ONCE = 10.0
"""Seconds for what takes a third of one on an idle machine (``bench/discovery.py``), starts of processes included."""
AGAIN = 3 * limits.DISCOVERY_RENEWAL
"""Seconds until a server is seen again. The browser looks at its next renewal after the announcer's next repeat, so
two renewals are exactly the worst case; the third is a busy machine's."""


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    with Lan(["lus", "cs1", "cs2"]) as lan:
        yield Hosts(lan)


def test_a_new_server_is_seen_at_once(hosts: Hosts) -> None:
    """Whoever browses sees a server that comes, under its addresses of both versions."""
    lus = hosts.browse("lus")
    started(lus.process)
    hosts.announce("cs1", "1")
    addresses = lus.addresses("1", within=AT_ONCE)
    assert addresses[:2] == [hosts.lan.address("cs1"), "fd77::2"]


def test_a_running_server_is_found(hosts: Hosts) -> None:
    """Whoever comes later finds those who are there."""
    started(hosts.announce("cs1", "1"))
    assert hosts.lan.address("cs1") in hosts.browse("lus").addresses("1", within=AT_ONCE)


def test_a_restart_is_an_event(hosts: Hosts) -> None:
    """A server that was killed and came back is seen with its new boot id."""
    lus = hosts.browse("lus")
    first = hosts.announce("cs1", "1")
    lus.addresses("1", within=AT_ONCE)
    first.kill()
    hosts.announce("cs1", "2")
    lus.addresses("2", within=AT_ONCE)


def test_a_server_that_started_alone_is_seen_after_healing(hosts: Hosts) -> None:
    """A cable that was out when the server announced itself costs no more than two renewals."""
    lus = hosts.browse("lus")
    hosts.lan.unplug("cs1")
    started(hosts.announce("cs1", "1"))
    lus.nothing(seconds=3)
    hosts.lan.plug("cs1")
    assert hosts.lan.address("cs1") in lus.addresses("1", within=AGAIN)


def test_a_server_is_seen_after_a_partition(hosts: Hosts) -> None:
    """The same when neither side could notice that it was cut off."""
    hosts.lan.partition("cs1")
    lus = hosts.browse("lus")
    started(hosts.announce("cs1", "1"))
    lus.nothing(seconds=3)
    hosts.lan.plug("cs1")
    lus.addresses("1", within=AGAIN)


def test_a_new_address_is_announced(hosts: Hosts) -> None:
    """A machine that gets another address while it runs is found under it without a restart."""
    lus = hosts.browse("lus")
    hosts.announce("cs1", "1")
    assert "10.77.0.99" not in lus.addresses("1", within=AT_ONCE)
    hosts.lan.run("cs1", ["ip", "address", "add", "10.77.0.99/24", "dev", "eth0"], check=True)
    while "10.77.0.99" not in lus.addresses("1", within=AGAIN):
        assert lus.servers < 5


def test_a_live_server_is_seen_again_and_again(hosts: Hosts) -> None:
    """Who missed the first sight, or could not dial then, gets another one soon."""
    lus = hosts.browse("lus")
    hosts.announce("cs1", "1")
    for _ in range(2):
        lus.addresses("1", within=AGAIN)


def test_another_cluster_is_not_seen(hosts: Hosts) -> None:
    """Two clusters share a LAN and do not see each other."""
    lus = hosts.browse("lus")
    started(hosts.announce("cs2", "2", cluster="d" * 16))
    lus.nothing(seconds=3)


def test_loopback_alone_is_enough(hosts: Hosts) -> None:
    """Restricted to loopback, servers of one machine meet there, and no other machine hears of them."""
    elsewhere = hosts.browse("cs2")
    here = hosts.browse("lus", "127.0.0.1")
    hosts.announce("lus", "1", "127.0.0.1")
    assert here.addresses("1", within=AT_ONCE) == ["127.0.0.1"]
    elsewhere.nothing(seconds=3)


def test_stopping_is_quick_and_clean(hosts: Hosts) -> None:
    """A server says goodbye and ends within a few seconds, with status 0. (The goodbyes take 0.25 s; the rest is the
    interpreter's end, on which a machine with four processes to a core spent up to 3 s.)"""
    server = hosts.announce("cs1", "1")
    started(server)
    server.terminate()
    assert server.wait(timeout=6) == 0


WITNESS = """
import time
from zeroconf import ServiceBrowser, Zeroconf

def changed(name, state_change, **_):
    print(name.split(".")[0], state_change.name, flush=True)

browser = ServiceBrowser(Zeroconf(), "_rjs-cs._tcp.local.", handlers=[changed])
time.sleep(60)
"""


def test_a_stopped_server_says_goodbye(hosts: Hosts) -> None:
    """Any DNS-SD client sees a server come, and go at once when it stops."""
    witness = hosts.lan.popen("cs2", [sys.executable, "-c", WITNESS], stdout=subprocess.PIPE, text=True)
    assert witness.stdout is not None
    started(witness)
    server = hosts.announce("cs1", "1")
    assert witness.stdout.readline().split() == [CS, "Added"]
    server.terminate()
    assert witness.stdout.readline().split() == [CS, "Removed"]
