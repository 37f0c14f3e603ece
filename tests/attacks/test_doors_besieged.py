"""Peers who flood, stall, and send half frames to real servers: each is cut off with a reason in the door's log,
while others are served, and memory stays bounded. All of them come at once, at every door."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import psutil
import pytest
from cluster import LOOPBACK, PATIENCE, Cluster, Server, running_cluster, wait_for
from strangers import context, frame

from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.limits import HANDSHAKE, KIB, MIB, PROTOCOL, SEND_BUFFER_STALL, SILENCE
from rjs.wire import messages as m
from rjs.wire.frames import HEADER

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

DROP = 0.25
"""Seconds between two bytes of one who drips."""
CROWD = 5_000
"""Connections of one stranger at once."""
EACH = 96 * KIB
"""Bytes of memory that a connection may cost which says nothing: TLS takes two thirds of that."""
PING = frame(m.Ping(n=1))
HALF = frame(m.JobList(rid=1))[:-3]


class Peer:
    """A member's connection, byte by byte."""

    def __init__(self, door: Door) -> None:
        plain = socket.create_connection((LOOPBACK, door.port), PATIENCE)
        self.connection = door.tls.wrap_socket(plain)
        self.hello = door.hello

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def greet(self) -> None:
        """Both hellos are in."""
        self.connection.sendall(self.hello)
        assert isinstance(self.read(), m.Hello)

    def read(self) -> m.Message:
        """The next message."""
        return m.decode(self._exactly(int.from_bytes(self._exactly(HEADER), "big")))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self.connection.recv(size - len(data))
            if not part:
                raise ConnectionError("closed")
            data += part
        return data

    def drip(self, data: bytes) -> None:
        """Send it one byte at a time, reading nothing; returns when cut off."""
        with suppress(OSError):
            for byte in data:
                self.connection.sendall(bytes([byte]))
                time.sleep(DROP)

    def pour(self, data: bytes) -> None:
        """Send it again and again, reading nothing; returns when cut off."""
        self.connection.settimeout(SEND_BUFFER_STALL + PATIENCE)
        with suppress(OSError):
            while True:
                self.connection.sendall(data)

    def wait(self) -> None:
        """Say nothing more, and read what comes, until the door closes."""
        with suppress(OSError):
            while self.connection.recv(1 << 16):
                pass


class Door:
    """A server's door, and who comes there: ``identity``."""

    def __init__(self, server: Server, identity: Identity, name: str, folder: Path) -> None:
        self.server = server
        self.port: int = server.document()["port"]
        self.tls = context(ssl.PROTOCOL_TLS_CLIENT, identity, folder)
        cluster = next((server.folder / "clusters").iterdir()).name
        self.hello = frame(
            m.Hello(
                protocol=PROTOCOL, release="0", cluster=cluster, name=name, boot="1" * 32, boot_count=1 << 40
            )
        )
        assert server.process is not None
        self.process = psutil.Process(server.process.pid)
        self.before = self.process.memory_info().rss
        self._seen = server.log.stat().st_size

    def told(self, words: str) -> int:
        """New lines of its log with these words."""
        return self.server.log.read_bytes()[self._seen :].decode(errors="replace").count(words)

    def grown(self) -> int:
        """Bytes of memory more than before."""
        return self.process.memory_info().rss - self.before


def silent_before_tls(door: Door) -> None:
    """Half a TLS record, and silence."""
    with socket.create_connection((LOOPBACK, door.port), PATIENCE) as plain:
        plain.sendall(b"\x16\x03\x01\x02\x00\x01")
        with suppress(OSError):
            plain.recv(1)


def half_a_hello(door: Door) -> None:
    """TLS, half a hello, and silence."""
    with Peer(door) as peer:
        peer.connection.sendall(peer.hello[:-9])
        peer.wait()


def dripped_hello(door: Door) -> None:
    """A hello, byte by byte."""
    with Peer(door) as peer:
        peer.drip(peer.hello)


def half_a_frame(door: Door) -> None:
    """A welcome member who sends half a frame, and then nothing."""
    with Peer(door) as peer:
        peer.greet()
        peer.connection.sendall(HALF)
        peer.wait()


def dripped_frame(door: Door) -> None:
    """A welcome member who sends a frame of a megabyte, byte by byte."""
    with Peer(door) as peer:
        peer.greet()
        peer.drip(MIB.to_bytes(HEADER, "big") + bytes(1_000))


def too_long(door: Door) -> None:
    """A welcome member who announces a frame of four gigabytes."""
    with Peer(door) as peer:
        peer.greet()
        peer.connection.sendall(b"\xff" * HEADER)
        peer.wait()


def unread_pings(door: Door) -> None:
    """Pings without end, and no pong is read."""
    with Peer(door) as peer:
        peer.greet()
        peer.pour(PING * 100)


def unread_requests(door: Door) -> None:
    """Requests without end, and no reply is read."""
    asked = b"".join(frame(m.RevocationRead(rid=number)) for number in range(1, 200))
    with Peer(door) as peer:
        peer.greet()
        peer.pour(asked)


REASONS: dict[Callable[[Door], None], str] = {
    silent_before_tls: "became no session: no hello within 10 s",
    half_a_hello: "became no session: no hello within 10 s",
    dripped_hello: "became no session: no hello within 10 s",
    half_a_frame: "nothing heard for 15",
    dripped_frame: "nothing heard for 15",
    too_long: "a frame of 4294967295 bytes is longer than allowed",
}
UNREAD = (
    "it does not read what we send", "protocol: it asks for more and more, and waits for nothing",
    "the connection was lost",
)  # fmt: skip
"""How one ends who reads nothing, by which is first: our patience, its measure, or the kernel's patience."""


class Well:
    """A member who behaves: pings once in a while, and notes the longest that a pong took."""

    def __init__(self, door: Door) -> None:
        self.slowest = 0.0
        self.pongs = 0
        self._stopped = threading.Event()
        self._peer = Peer(door)
        self._peer.greet()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE)
        self._peer.connection.close()

    def _run(self) -> None:
        while not self._stopped.wait(0.1):
            self.pongs += 1
            began = time.monotonic()
            self._peer.connection.sendall(frame(m.Ping(n=self.pongs)))
            while self._peer.read() != m.Pong(n=self.pongs):
                pass
            self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made
        assert all(server.serves() for server in made.servers.values())


def door_of(cluster: Cluster, name: str, who: str, folder: Path) -> Door:
    """The door of server ``name``, for a member of the cluster: a machine that was broken into."""
    holder = cluster.servers.get(who) or cluster.people[who]
    keys = IdentityFolder(next(holder.folder.glob("clusters/*/identity")))
    return Door(cluster[name], keys.token(), keys.member().name.uri(), folder)


def besiege(door: Door, attacks: Iterable[Callable[[Door], None]]) -> list[threading.Thread]:
    """All of these attacks on the door at once."""
    started = [threading.Thread(target=attack, args=(door,), name=attack.__name__) for attack in attacks]
    for each in started:
        each.start()
    return started


def ended(attacks: list[threading.Thread], within: float) -> None:
    """Every one of them was cut off."""
    deadline = time.monotonic() + within
    for each in attacks:
        each.join(max(0.0, deadline - time.monotonic()))
    assert not [each.name for each in attacks if each.is_alive()]


MAD = {
    "ada": (silent_before_tls, half_a_hello, dripped_hello, too_long),
    "bob": (half_a_frame, dripped_frame),
    "eve": (unread_pings, unread_requests),
}
"""Who does what: a LUS serves two visits of one person at a time."""


def unread(door: Door) -> int:
    """How many who read nothing were cut off for it."""
    return sum(door.told(f"user/eve left: {reason}") for reason in UNREAD)


def test_members_gone_mad(cluster: Cluster, tmp_path: Path) -> None:
    """At a WS's and a LUS's door: each is cut off for what it did, a pong takes less than a second all the while,
    and memory does not grow by more than what a few peers may hold."""
    for name in ("bob", "eve"):
        cluster.add_user(name)
    doors = {name: {who: door_of(cluster, name, who, tmp_path) for who in MAD} for name in ("ws", "lus")}
    with Well(doors["ws"]["ada"]) as at_ws, Well(doors["lus"]["ada"]) as at_lus:
        attacks = [
            each
            for people in doors.values()
            for who, door in people.items()
            for each in besiege(door, MAD[who])
        ]
        ended(attacks, SEND_BUFFER_STALL + PATIENCE)
    for people in doors.values():
        door = people["ada"]
        for reason in REASONS.values():
            wait_for(partial(door.told, reason), 5.0, door.server.tail)
        assert unread(door) == 2, door.server.tail()
        assert door.told("no hello within 10 s") == 3 and door.told("nothing heard for 15") == 2
        assert door.grown() < 96 * MIB
    for well in (at_ws, at_lus):
        assert well.pongs > 50 and well.slowest < 1.0, (well.pongs, well.slowest)


def test_a_lookup_server_gone_mad(cluster: Cluster, tmp_path: Path) -> None:
    """At a CS's door, where LUSs speak: cut off likewise, and the CS is free for the next one at once."""
    cluster["lus"].stop()
    door = door_of(cluster, "cs1", "lus", tmp_path)
    attacks = besiege(door, [silent_before_tls, half_a_hello, dripped_hello, half_a_frame])
    ended(attacks, HANDSHAKE + SILENCE + PATIENCE)
    wait_for(
        lambda: door.told("no hello within 10 s") == 3 and door.told("nothing heard for 15"),
        5.0,
        door.server.tail,
    )
    ended(besiege(door, [too_long]), PATIENCE)
    wait_for(lambda: door.told(REASONS[too_long]), 5.0, door.server.tail)
    cluster["lus"].start()
    wait_for(lambda: cluster["cs1"].document()["lus"], story=cluster.story)
    assert door.grown() < 32 * MIB


@pytest.mark.parametrize("name", ["ws", "lus", "cs1"])
def test_a_crowd(cluster: Cluster, tmp_path: Path, name: str) -> None:
    """5,000 connections that say nothing are dropped after ten seconds, or at once where there are too many:
    meanwhile members are served, new ones too, and each costs what TLS does."""
    who = "lus" if name == "cs1" else "ada"
    door = door_of(cluster, name, who, tmp_path)
    files = door.process.num_fds()
    crowd = [socket.socket() for _ in range(CROWD)]
    try:
        for each in crowd:
            each.setblocking(False)
            each.connect_ex((LOOPBACK, door.port))
        if name == "cs1":
            assert cluster["lus"].serves() and cluster["cs1"].document()["lus"]
        else:
            with Well(door) as well:
                wait_for(lambda: well.pongs > 20, PATIENCE, door.server.tail)
            assert well.slowest < 1.0
        wait_for(lambda: door.process.num_fds() < files + 50, HANDSHAKE + 20, door.server.tail)
        assert door.grown() < CROWD * EACH
    finally:
        for each in crowd:
            each.close()
    assert cluster[name].serves()


def test_a_crowd_at_the_status_socket(cluster: Cluster) -> None:
    """Two hundred who ask for the status and never read it keep nobody from it."""
    for server in cluster.servers.values():
        askers = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        try:
            for each in askers:
                each.setblocking(False)
                with suppress(BlockingIOError):  # more than the kernel lets wait
                    each.connect(str(server.folder / "status.sock"))
            wait_for(server.serves, 5.0, server.tail)
        finally:
            for each in askers:
                each.close()
