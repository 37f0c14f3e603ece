"""Listens to the LAN: a DNS-SD question of ours on each network, and who of the cluster announces itself.

The question is for a name that nobody has, so nobody answers; it comes back to this host, as multicast does, unless
something on this host keeps it from leaving or from arriving. IPv4, which every network of ours has.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Interface

from rjs.discovery import Link, Seen, Service
from rjs.discovery.addresses import choose, read_interfaces
from rjs.doctor.rules.discovery import Heard, NetworkFacts, SeenServer
from rjs.errors import ConfigError
from rjs.ids import ClusterId

GROUP, PORT = "224.0.0.251", 5353
LISTEN = 1.0
"""Seconds for a question to come back, which takes microseconds, and for others to be overheard."""
BROWSE = 3.0
"""Seconds for others' announcements: a cold question is answered within 1.1 s (measured)."""
_REUSE_PORT = getattr(socket, "SO_REUSEPORT", None)


def own_networks(wanted: Sequence[str]) -> list[IPv4Interface]:
    """The IPv4 addresses that discovery uses here: those ``wanted``, or all."""
    chosen = choose(read_interfaces(), wanted).interfaces
    return [each for each in chosen if isinstance(each, IPv4Interface)]


def listen_on(networks: Sequence[IPv4Interface]) -> list[NetworkFacts]:
    """What is heard on each, one after the other in threads of their own; takes LISTEN."""
    found: dict[str, NetworkFacts] = {}
    threads = [
        threading.Thread(target=lambda own=own: found.update({str(own): _ask(own)}), daemon=True)
        for own in networks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * LISTEN)
    return [found.get(str(own), NetworkFacts(str(own), Heard.NOTHING)) for own in networks]


def _ask(own: IPv4Interface) -> NetworkFacts:
    """Join the group on this network, ask, and listen."""
    question, address = _question(), str(own.ip)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if _REUSE_PORT is not None:
            ear.setsockopt(socket.SOL_SOCKET, _REUSE_PORT, 1)
        try:
            ear.bind(("", PORT))
        except OSError as error:
            return NetworkFacts(str(own), Heard.TAKEN, _words(error))
        try:
            member = socket.inet_aton(GROUP) + socket.inet_aton(address)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        except OSError as error:
            return NetworkFacts(str(own), Heard.NOT_JOINED, _words(error))
        try:
            _send(question, address)
        except OSError as error:
            heard = Heard.FORBIDDEN if error.errno in (errno.EPERM, errno.EACCES) else Heard.NOT_SENT
            return NetworkFacts(str(own), heard, _words(error))
        return _listen(ear, question, own)


def _listen(ear: socket.socket, question: bytes, own: IPv4Interface) -> NetworkFacts:
    """What comes to the group within LISTEN: our question, and others' packets from this network."""
    came_back, others, end = False, 0, time.monotonic() + LISTEN
    while (left := end - time.monotonic()) > 0:
        if not select.select([ear], [], [], left)[0]:
            break
        packet, (sender, _) = ear.recvfrom(9000)
        if packet == question:
            came_back = True
        elif (
            sender != str(own.ip)
            and IPv4Interface(f"{sender}/{own.network.prefixlen}").network == own.network
        ):
            others += 1
    return NetworkFacts(str(own), Heard.OWN if came_back else Heard.NOTHING, others=others)


def _send(question: bytes, address: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        mouth.sendto(question, (GROUP, PORT))


def _question() -> bytes:
    """A one-shot query (RFC 6762 section 5.1) for a name that nobody has; no two are the same."""
    labels = [f"rjs-doctor-{os.urandom(8).hex()}".encode(), b"local"]
    name = b"".join(bytes([len(each)]) + each for each in labels) + b"\0"
    return (
        struct.pack("!6H", int.from_bytes(os.urandom(2), "big"), 0, 1, 0, 0, 0)
        + name
        + struct.pack("!2H", 12, 1)
    )


def _words(error: OSError) -> str:
    return error.strerror or str(error)


class _Here:
    """The reactor of a Link that has none: what its thread hands over waits for ours."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], object]] = queue.Queue()

    def callFromThread(self, f: Callable[..., object], *args: object, **kwargs: object) -> None:  # noqa: N802
        """Twisted's name."""
        self._calls.put(lambda: f(*args, **kwargs))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Do what is handed over, for so long or until that holds."""
        end = time.monotonic() + seconds
        while not until() and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                self._calls.get(timeout=left)()


def browse(cluster: ClusterId, wanted: Sequence[str], seconds: float) -> list[SeenServer]:
    """The servers of this cluster that announce themselves; takes ``seconds``."""
    seen: dict[str, Seen] = {}
    here = _Here()
    try:
        link = Link(here, wanted)
    except ConfigError:
        return []  # the settings' own finding
    for service in Service:
        link.browse(service, cluster, lambda each: seen.update({each.id: each}))
    here.run(seconds)
    stopped = link.stop()
    here.run(5.0, lambda: bool(stopped.called))
    return [
        SeenServer("cs" if each.service is Service.CS else "lus", each.id, each.addresses, each.port)
        for each in seen.values()
    ]
