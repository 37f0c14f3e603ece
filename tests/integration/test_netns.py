"""The LAN that other tests stand on is a LAN, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import Lan

pytestmark = pytest.mark.integration

LISTEN = "import socket, time; s = socket.create_server(('', 5000)); print('listening', flush=True); time.sleep(60)"
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], 5000), 0.5)"


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with Lan(["a", "b"]) as lan:
        listener = lan.popen("b", [sys.executable, "-c", LISTEN], stdout=subprocess.PIPE)
        assert listener.stdout is not None
        assert listener.stdout.readline() == b"listening\n"
        yield lan


def reached(lan: Lan) -> bool:
    """A can connect to B."""
    connect = [sys.executable, "-c", CONNECT, lan.address("b")]
    return lan.run("a", connect, stderr=subprocess.DEVNULL).returncode == 0


def carrier(lan: Lan) -> bytes:
    """What B's own network card says of its cable."""
    shown = lan.run("b", ["ip", "-o", "link", "show", "eth0"], capture_output=True, check=True)
    return b"NO-CARRIER" if b"NO-CARRIER" in shown.stdout else b"UP"


def test_hosts_reach_each_other(lan: Lan) -> None:
    """Two hosts of one LAN can connect."""
    assert reached(lan)


def test_an_unplugged_host_knows(lan: Lan) -> None:
    """Without its cable a host is unreachable and sees why; plugged in it is back."""
    lan.unplug("b")
    assert not reached(lan)
    assert carrier(lan) == b"NO-CARRIER"
    lan.plug("b")
    assert carrier(lan) == b"UP"
    assert reached(lan)


def test_a_partitioned_host_does_not_know(lan: Lan) -> None:
    """A host behind a silent partition is unreachable although its link looks healthy."""
    lan.partition("b")
    assert not reached(lan)
    assert carrier(lan) == b"UP"
    lan.plug("b")
    assert reached(lan)


def test_nothing_is_left_behind() -> None:
    """After an error in the middle of a test no namespace and no process remains."""

    def spaces() -> set[str]:
        return {
            path.name for path in Path("/run/netns").glob(f"rjs{os.getpid()}-*")
        }  # others may run tests too

    before = spaces()
    with pytest.raises(ZeroDivisionError), Lan(["lost"]) as lan:
        sleeper = lan.popen("lost", ["sleep", "60"])
        assert spaces() > before
        raise ZeroDivisionError
    assert spaces() == before
    assert sleeper.returncode == -9


def test_a_host_is_alone_with_its_lan(lan: Lan) -> None:
    """No route leads out: what a test starts cannot leave this machine."""
    routes = lan.run("a", ["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in routes.splitlines()} == {"10.77.0.0/24", "224.0.0.0/4"}
