"""A LAN of several hosts on this machine: network namespaces joined by a bridge in a namespace of its own.

    with Lan(["ws", "lus", "cs1"]) as lan:
        server = lan.popen("lus", ["rjs", "lus", "run", folder])
        lan.unplug("cs1")          # the cable is out: both ends see no link
        lan.partition("cs1")       # the switch forwards nothing: the host sees a healthy link
        lan.plug("cs1")            # either is healed

Needs root and iproute2. Each host has eth0 with ``lan.address(host)`` (IPv4), an fd77:: and a link-local
address, a route for multicast, lo, and no other route: nothing leaves this machine. Names carry the pid of the
process that made them, so that runs do not meet.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_numbers = itertools.count(1)


class Lan:
    """The bridge, its hosts, and the processes started on them. A context manager; made once."""

    def __init__(self, hosts: Sequence[str]) -> None:
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nsenter"):
            raise RuntimeError("a LAN of network namespaces needs root, iproute2 and util-linux")
        self._prefix = f"rjs{os.getpid()}-{next(_numbers)}-"
        self._hosts = list(hosts)
        self._switch = self._prefix + "switch"
        self._processes: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        try:
            self._ip(f"netns add {self._switch}")
            self._ip(f"-n {self._switch} link add lan type bridge mcast_snooping 0")
            self._ip(f"-n {self._switch} link set lan up")
            for host in self._hosts:
                self._add(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def address(self, host: str) -> str:
        """The host's IPv4 address."""
        return f"10.77.0.{self._hosts.index(host) + 1}"

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a process on a host; it is killed at the end if it still runs. Options as subprocess.Popen."""
        process = subprocess.Popen(self._on(host, argv), **options)
        self._processes.append(process)
        return process

    def run(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.CompletedProcess[Any]:
        """Run a process on a host to its end. Options as subprocess.run."""
        return subprocess.run(self._on(host, argv), **options)

    def unplug(self, host: str) -> None:
        """Take the host's cable out: its eth0 loses the carrier and keeps its addresses."""
        self._ip(f"-n {self._switch} link set {_port(host)} down")

    def partition(self, host: str) -> None:
        """Let the switch forward nothing to or from the host, which notices nothing."""
        self._ip(f"-n {self._switch} link set {_port(host)} nomaster")

    def plug(self, host: str) -> None:
        """Undo ``unplug`` and ``partition``."""
        self._ip(f"-n {self._switch} link set {_port(host)} master lan up")

    def _add(self, host: str) -> None:
        number, space = self._hosts.index(host) + 1, self._prefix + host
        self._ip(f"netns add {space}")
        self._ip(f"-n {self._switch} link add {_port(host)} type veth peer name eth0 netns {space}")
        self._ip(f"-n {space} link set lo up")
        self._ip(f"-n {space} address add 10.77.0.{number}/24 dev eth0")
        self._ip(f"-n {space} address add fd77::{number}/64 dev eth0 nodad")
        self._ip(f"-n {space} link set eth0 up")
        self._ip(f"-n {space} route add 224.0.0.0/4 dev eth0")
        self.plug(host)

    def _on(self, host: str, argv: Sequence[str | Path]) -> list[str]:
        if host not in self._hosts:
            raise KeyError(host)
        return ["nsenter", f"--net=/run/netns/{self._prefix}{host}", "--", *map(str, argv)]

    def _remove(self) -> None:
        for process in self._processes:
            with process:  # closes its pipes and waits for it
                process.kill()
        for space in (self._switch, *(self._prefix + host for host in self._hosts)):
            if Path("/run/netns", space).exists():
                self._ip(f"netns delete {space}")

    def _ip(self, command: str) -> None:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ip {command}: {done.stderr.strip()}")


def _port(host: str) -> str:
    """The switch's end of the host's cable."""
    return f"to-{host}"
