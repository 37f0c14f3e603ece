"""Processes that announce and browse on the hosts of a LAN: what the tests of discovery share."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from netns import Lan

CLUSTER = "c" * 16
CS = "5" * 32

SERVER = """
import sys
from twisted.internet import reactor
from rjs.clock import use_steady_clock
from rjs.discovery import Announcement, Link, Service

use_steady_clock(reactor)
what, cluster, server, boot, *interfaces = sys.argv[1:]
link = Link(reactor, interfaces)
if what == "announce":
    link.announce(Announcement(Service.CS, server, boot, cluster, 9002))
else:
    link.browse(Service.CS, cluster, lambda seen: print(seen.id, seen.boot, *seen.addresses, flush=True))
reactor.addSystemEventTrigger("before", "shutdown", link.stop)
reactor.run()
"""


class Hosts:
    """Processes that announce and browse on the hosts of a LAN."""

    cluster = CLUSTER

    def __init__(self, lan: Lan) -> None:
        self.lan = lan

    def announce(
        self, host: str, boot: str, *interfaces: str, cluster: str = CLUSTER
    ) -> subprocess.Popen[Any]:
        argv = [sys.executable, "-c", SERVER, "announce", cluster, CS, boot * 32, *interfaces]
        return self.lan.popen(host, argv)

    def browse(self, host: str, *interfaces: str) -> Sightings:
        argv = [sys.executable, "-c", SERVER, "browse", CLUSTER, "", "", *interfaces]
        return Sightings(self.lan.popen(host, argv, stdout=subprocess.PIPE, text=True))


class Sightings:
    """What a browsing process prints, as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.servers = 0
        """How many sightings were read from here, of whomever."""
        self._lines: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.split())

    def addresses(self, boot: str, within: float) -> list[str]:
        """The addresses with which the CS of that boot is seen. Fails when it is not seen in time."""
        deadline = time.monotonic() + within
        while True:
            server, seen_boot, *addresses = self._lines.get(timeout=deadline - time.monotonic())
            self.servers += 1
            if (server, seen_boot) == (CS, boot * 32):
                return addresses

    def nothing(self, seconds: float) -> None:
        """Fails when anything is seen."""
        with pytest.raises(queue.Empty):
            self._lines.get(timeout=seconds)


def started(process: subprocess.Popen[Any]) -> None:
    """Returns when the process has opened the port of multicast DNS."""
    deadline = time.monotonic() + 10
    while b"5353" not in _ports(process.pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ports(pid: int) -> bytes:
    listed = subprocess.run(
        ["nsenter", f"--net=/proc/{pid}/ns/net", "ss", "-Hulnp"], capture_output=True, check=True
    )
    return b"\n".join(line for line in listed.stdout.splitlines() if b"pid=%d," % pid in line)
