"""A place on the LAN whose addresses come and go. Loopback alone, in this process."""

from __future__ import annotations

from collections.abc import Callable
from queue import Queue

import psutil
import pytest
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import provider

from rjs.discovery import Announcement, Link, Seen, Service
from rjs.ids import BootId, ClusterId, ServerId

HERE, ELSEWHERE, ELSEWHERE_6 = "127.0.0.1", "192.0.2.1", "2001:db8::1"
CLUSTER, NAME, BOOT = ClusterId("c1" * 8), ServerId("5e" * 16), BootId("b0" * 16)
PATIENCE = 20.0


class Calls:
    """The reactor of a Link: what its thread hands over waits in a queue."""

    def __init__(self) -> None:
        self._calls: Queue[Callable[[], object]] = Queue()

    def callFromThread(self, f: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Twisted's name."""
        self._calls.put(lambda: f(*args, **kwargs))

    def until(self, reached: Callable[[], object]) -> None:
        """Do what is handed over until that is so. Raises Empty when nothing more comes."""
        while not reached():
            self._calls.get(timeout=PATIENCE)()

    def end(self, link: Link) -> None:
        """Stop it, to the end of its thread."""
        stopped: Deferred[None] = link.stop()
        self.until(lambda: stopped.called)


@pytest.fixture
def calls() -> Calls:
    """See there."""
    return Calls()


@pytest.mark.parametrize("wanted", [[ELSEWHERE], [ELSEWHERE_6], [ELSEWHERE, ELSEWHERE_6]], ids=str)
def test_an_address_that_is_not_here_leaves_no_socket_open(calls: Calls, wanted: list[str]) -> None:
    """Not even where somebody keeps what was logged, as Twisted does until its observers are there."""
    logged: Queue[LogEvent] = Queue()

    @provider(ILogObserver)
    def keep(event: LogEvent) -> None:
        logged.put(event)

    globalLogPublisher.addObserver(keep)
    try:
        link = Link(calls, wanted)
        link.browse(Service.LUS, CLUSTER, lambda seen: None)
        said = logged.get(timeout=PATIENCE)
        calls.end(link)
    finally:
        globalLogPublisher.removeObserver(keep)
    left = [each for each in psutil.Process().net_connections() if each.laddr.port == 5353]
    assert left == [] and "nobody can find us" in said["log_format"]


def test_an_address_that_is_here_serves_beside_one_that_is_not(calls: Calls) -> None:
    """A machine that is at two networks, one of them down, is found on the other."""
    heard: list[Seen] = []
    both, listening = Link(calls, [ELSEWHERE, HERE, ELSEWHERE_6]), Link(calls, [HERE])
    both.announce(Announcement(Service.CS, NAME, BOOT, CLUSTER, 4711))
    listening.browse(Service.CS, CLUSTER, heard.append)
    calls.until(lambda: heard)
    assert (heard[0].id, heard[0].addresses, heard[0].port) == (NAME, (HERE,), 4711)
    calls.end(both)
    calls.end(listening)
