"""The proxy of a confined job with real sockets: what it carries, what it refuses, and that nothing outlives it."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.base import ReactorBase
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, globalLogPublisher
from zope.interface import directlyProvides, providedBy

from cs import limits
from cs.network_proxy import JobNetwork
from cs.network_proxy_addresses import Machine
from cs.network_proxy_rules import Reach

PATIENCE = 10.0
"""Seconds that a test waits for what takes milliseconds."""


class World:
    """A reactor whose names are a table, and whose public addresses all lead to this machine's loopback."""

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self.names: dict[str, list[str]] = {}
        self.looked_up: list[str] = []
        self.dialled: list[str] = []
        self.held: list[Callable[[], None]] | None = None
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> World:
        return self

    def resolveHostName(self, receiver: Any, host: str) -> None:
        """Answer, at once or when a test lets it."""
        self.looked_up.append(host)
        found = self.names.get(host, [])

        def answer() -> None:
            for address in found:
                receiver.addressResolved(IPv4Address("TCP", address, 0))
            receiver.resolutionComplete()

        self.held.append(answer) if self.held is not None else answer()

    def connectTCP(self, host: str, port: int, *args: Any, **options: Any) -> Any:
        """What leads elsewhere leads to loopback; 8.8.4.4 to nobody."""
        self.dialled.append(host)
        port = _nobody() if host == "8.8.4.4" else port
        return cast(Any, self._reactor).connectTCP("127.0.0.1", port, *args, **options)


def _nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return cast(int, free.getsockname()[1])


class Server(Protocol):
    """A place: records what it hears, and answers as the test says."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def connectionMade(self) -> None:
        self._place.callers.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._place.heard += data
        self._place.answer(cast(Any, self.transport), data)

    def connectionLost(self, reason: Any = None) -> None:
        self._place.callers.remove(self)


class Place:
    """A server on loopback."""

    def __init__(self, reactor: ReactorBase) -> None:
        self.heard = b""
        self.callers: list[Server] = []
        self.answer: Callable[[Any, bytes], object] = lambda wire, data: wire.write(data.upper())
        listening: Any = reactor
        self.listening = listening.listenTCP(
            0, Factory.forProtocol(lambda: Server(self)), interface="127.0.0.1"
        )
        self.port: int = self.listening.getHost().port


class Client:
    """The job's end of one connection; the reactor turns while it waits."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.wire = socket.create_connection(bench.door)
        self.wire.setblocking(False)
        self.heard = b""
        self.over = False

    def say(self, data: bytes) -> Client:
        """Written as far as the proxy takes it."""
        while data:
            with suppress(BlockingIOError):
                data = data[self.wire.send(data) :]
            self._bench.turn()
        return self

    def ask(self, place: str) -> Client:
        return self.say(f"CONNECT {place} HTTP/1.1\r\n\r\n".encode())

    def look(self) -> bool:
        """Read what is there; whether the proxy has closed."""
        with suppress(BlockingIOError):
            try:
                data = self.wire.recv(1 << 16)
            except ConnectionResetError:
                data = b""
            self.heard += data
            self.over = not data
        return self.over

    def hears(self, words: bytes) -> bytes:
        """Everything so far, once these words are in it."""
        self._bench.until(lambda: self.look() or words in self.heard)
        assert words in self.heard, self.heard
        return self.heard

    def ends(self) -> bytes:
        """Everything, once the proxy has closed."""
        self._bench.until(self.look)
        self.wire.close()
        return self.heard


class Bench:
    """One attempt's network, a place, and clients."""

    def __init__(self, reactor: ReactorBase, most: int = 1 << 20) -> None:
        self.reactor = reactor
        self.world = World(reactor)
        self.place = Place(reactor)
        self.reach = Reach()
        machine = Machine(frozenset({ip_address("9.9.9.9"), ip_address("127.0.0.1")}))
        self.network = JobNetwork(
            cast(ReactorBase, self.world), "task 0", most, lambda: self.reach, lambda: machine
        )
        self._clients: list[Client] = []
        inside = socket.create_server(("127.0.0.1", 0))
        self.door = inside.getsockname()
        self.descriptor = inside.detach()
        self.network.listened(self.descriptor)
        self.here = f"127.0.0.1:{self.place.port}"
        self.named = f"data.example.org:{self.place.port}"
        self.grant(self.here, self.named)

    def grant(self, *places: str, private: tuple[str, ...] = ()) -> None:
        self.reach = Reach(frozenset(places), frozenset(private))

    def client(self) -> Client:
        self._clients.append(Client(self))
        return self._clients[-1]

    def turn(self) -> None:
        self.reactor.iterate(0.005)

    def until(self, reached: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not reached():
            assert time.monotonic() < end, "it hangs"
            self.turn()

    def close(self) -> None:
        self.network.end()
        self.place.listening.stopListening()
        for caller in tuple(self.place.callers):
            cast(Any, caller.transport).abortConnection()
        self.until(lambda: not self.place.callers and not self.network.connections)
        for client in self._clients:
            client.wire.close()
        for _ in range(3):
            self.turn()


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, turned by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    reactor.iterate(0)
    return reactor


@pytest.fixture
def bench(reactor: ReactorBase) -> Iterator[Bench]:
    """Afterwards no socket and no timer is left, and nothing failed that nobody heard of."""
    anything: Any = reactor
    before = set(anything.getReaders()), len(anything.getDelayedCalls())
    failures: list[LogEvent] = []

    def observer(event: LogEvent) -> None:
        if "log_failure" in event:
            failures.append(event)

    publisher: Any = globalLogPublisher
    publisher.addObserver(observer)
    made = Bench(reactor)
    yield made
    made.close()
    gc.collect()  # a Deferred tells of its failure when it goes
    publisher.removeObserver(observer)
    assert failures == []
    assert (set(anything.getReaders()), len(anything.getDelayedCalls())) == before


def test_a_tunnel_carries_both_ways_and_is_counted(bench: Bench) -> None:
    """Bytes pass as they are, those that came with the request too."""
    client = bench.client().say(f"CONNECT {bench.here} HTTP/1.1\r\n\r\nfirst ".encode())
    assert client.hears(b"FIRST ") == b"HTTP/1.1 200 Connection established\r\n\r\nFIRST "
    client.say(b"\x00\xffsecond").hears(b"SECOND")
    assert bench.network.facts() == {
        "used": 28, "most": 1 << 20, "refused": 0,
        "places": {bench.here: {"connections": 1, "sent": 14, "received": 14}},
    }  # fmt: skip
    cast(Any, bench.place.callers[0].transport).loseConnection()
    client.ends()


def test_the_place_hears_the_end(bench: Bench) -> None:
    """What the job said last arrives, and then that it left."""
    client = bench.client().ask(bench.here)
    client.hears(b"200")
    client.say(b"last words")
    client.wire.close()
    bench.until(lambda: bench.place.heard == b"last words" and not bench.place.callers)


def test_a_plain_request_is_forwarded_and_nothing_after_it(bench: Bench) -> None:
    """A second one on the same connection would go to the first one's place: it goes nowhere."""
    bench.place.answer = lambda wire, data: None
    client = bench.client()
    client.say(
        f"POST http://{bench.here}/x HTTP/1.1\r\nHost: evil\r\nContent-Length: 4\r\n\r\nbodyGET http://ev".encode()
    )
    client.say(b"il/ HTTP/1.1\r\n\r\n")
    bench.until(lambda: bench.place.heard.endswith(b"body"))
    wire = cast(Any, bench.place.callers[0].transport)
    wire.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    wire.loseConnection()
    assert client.ends() == b"HTTP/1.1 204 No Content\r\n\r\n"
    head = f"POST /x HTTP/1.1\r\nHost: {bench.here}\r\nContent-Length: 4\r\nVia: 1.1 rjs\r\nConnection: close"
    assert bench.place.heard == f"{head}\r\n\r\nbody".encode()


@pytest.mark.parametrize(
    "asked", ["data.example.org:1", "evil.example:443", "www.data.example.org:443", "8.8.8.8:53"]
)
def test_what_was_not_granted_is_neither_looked_up_nor_dialled(bench: Bench, asked: str) -> None:
    """Not even a question for its name leaves the machine, and the job reads why."""
    said = bench.client().ask(asked).ends()
    assert said.startswith(f"HTTP/1.1 403 {asked} is no place that this job asked for".encode())
    assert bench.world.looked_up == bench.world.dialled == []
    assert bench.network.facts()["refused"] == 1


def test_a_name_is_looked_up_once(bench: Bench) -> None:
    """Its holder changes the answer to loopback: the first one stays, also for those that ask meanwhile."""
    bench.world.names["data.example.org"] = ["8.8.8.8"]
    bench.world.held = []
    clients = [bench.client().ask(bench.named) for _ in range(3)]
    bench.until(lambda: bench.world.held)
    bench.world.names["data.example.org"] = ["127.0.0.1"]
    for answer in bench.world.held:
        answer()
    for client in [*clients, bench.client().ask(bench.named)]:
        client.hears(b"200")
    assert bench.world.looked_up == ["data.example.org"]
    assert set(bench.world.dialled) == {"8.8.8.8"}


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "9.9.9.9", "0.0.0.0"]
)
def test_a_name_that_leads_inside_is_not_dialled(bench: Bench, address: str) -> None:
    """Neither to this machine, whatever its address, nor to its neighbours, nor to a cloud's metadata."""
    bench.world.names["data.example.org"] = [address]
    assert b"HTTP/1.1 403 data.example.org:" in bench.client().ask(bench.named).ends()
    assert bench.world.dialled == []


def test_a_name_granted_as_private_leads_inside(bench: Bench) -> None:
    """Until the owner takes it back, which counts from the next connection on."""
    bench.world.names["data.example.org"] = ["192.168.0.1"]
    bench.grant(bench.named, private=(bench.named,))
    bench.client().ask(bench.named).hears(b"200")
    bench.grant(bench.named)
    assert b" 403 " in bench.client().ask(bench.named).ends()
    bench.grant()
    assert b"not-granted" in bench.client().ask(bench.named).ends()
    assert bench.world.dialled == ["192.168.0.1"]


def test_a_name_without_an_address_is_looked_up_again(bench: Bench) -> None:
    """A failure is no answer."""
    assert b"HTTP/1.1 502 the name data.example.org has no address" in bench.client().ask(bench.named).ends()
    bench.world.names["data.example.org"] = ["8.8.8.8"]
    bench.client().ask(bench.named).hears(b"200")


def test_of_several_addresses_one_that_answers_is_dialled(bench: Bench) -> None:
    """Those inside are left out; the one that answered comes first the next time."""
    bench.world.names["data.example.org"] = ["8.8.4.4", "127.0.0.1", "8.8.8.8"]
    bench.client().ask(bench.named).hears(b"200")
    bench.client().ask(bench.named).hears(b"200")
    assert bench.world.dialled == ["8.8.4.4", "8.8.8.8", "8.8.8.8"]


def test_nobody_there(bench: Bench) -> None:
    """The job reads that it could not be reached."""
    bench.world.names["data.example.org"] = ["8.8.4.4"]
    assert b"HTTP/1.1 502 " in bench.client().ask(bench.named).ends()


def test_all_is_closed_when_the_bytes_are_used_up(bench: Bench) -> None:
    """Other connections too, no byte beyond the bound is told, and later requests read why."""
    bench.network.meter.most = 1000
    other = bench.client().ask(bench.here)
    other.hears(b"200")
    client = bench.client().ask(bench.here)
    client.hears(b"200")
    bench.place.answer = lambda wire, data: wire.write(b"x" * 990)
    client.say(b"more than is left")
    assert b"x" not in client.ends()
    other.ends()
    assert (
        b" 403 this task has sent and received what it may, 1000 B" in bench.client().ask(bench.here).ends()
    )
    assert bench.network.facts()["used"] == 1000


def test_a_job_that_does_not_read_stops_the_place(bench: Bench) -> None:
    """What it does not take is not kept in memory here, and nothing is lost of it."""
    bench.network.meter.most = 1 << 30
    size = 16 << 20
    bench.place.answer = lambda wire, data: wire.write(b"x" * size)
    client = bench.client().ask(bench.here)
    client.hears(b"200")
    client.say(b"go")
    came = -1
    while bench.network.meter.used > came:
        came = bench.network.meter.used
        for _ in range(20):
            bench.turn()
    assert came < size // 2  # sockets' buffers are some MiB
    start = len(client.heard)
    bench.until(lambda: client.look() or len(client.heard) - start == size)


@pytest.mark.parametrize("size", [1 << 10, limits.NETWORK_UNHEARD - 200])
def test_whoever_is_refused_hears_why(bench: Bench, size: int) -> None:
    """Also a client that sends its whole body before it reads."""
    client = bench.client()
    client.say(f"POST http://evil.example/ HTTP/1.1\r\nContent-Length: {size}\r\n\r\n".encode()).say(
        b"x" * size
    )
    assert b"HTTP/1.1 403 " in client.ends()


def test_who_is_refused_is_not_heard_without_end(bench: Bench) -> None:
    """Reading what goes nowhere costs, too."""
    client = bench.client().ask("evil.example:1")
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        client.say(b"x" * (64 << 20))
    bench.until(lambda: not bench.network.connections)


def test_a_head_has_a_length(bench: Bench) -> None:
    """One that goes on is refused before it fills memory, however it comes."""
    client = bench.client().say(b"CONNECT " + b"a" * limits.NETWORK_HEAD)
    client.say(b"a")
    assert b"HTTP/1.1 431 " in client.ends()
    assert b"HTTP/1.1 431 " in bench.client().say(b"A" * limits.NETWORK_HEAD + b" x HTTP/1.1\r\n\r\n").ends()


def test_a_head_that_comes_byte_by_byte_is_read(bench: Bench) -> None:
    """Its end is found wherever it is cut."""
    client = bench.client()
    for letter in f"CONNECT {bench.here} HTTP/1.1\r\nX: y\r\n\r\n".encode():
        client.say(bytes([letter]))
    client.hears(b"200")


def test_who_says_nothing_is_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the head, after a refusal that it does not read to its end, and in a tunnel."""
    monkeypatch.setattr(limits, "NETWORK_HEAD_TIME", 0.05)
    monkeypatch.setattr(limits, "NETWORK_IDLE", 0.1)
    assert b"HTTP/1.1 408 " in bench.client().say(b"CONNECT ").ends()
    bench.until(lambda: not bench.network.connections)
    client = bench.client().ask(bench.here)
    client.hears(b"200")
    client.ends()
    bench.until(lambda: not bench.place.callers)


def test_an_address_that_does_not_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job waits for a bounded time, also for a name."""
    monkeypatch.setattr(limits, "NETWORK_REACH", 0.05)
    bench.world.held = []
    assert b"HTTP/1.1 504 data.example.org:" in bench.client().ask(bench.named).ends()
    for answer in bench.world.held:
        answer()


def test_a_place_hears_nothing_of_who_left_meanwhile(bench: Bench) -> None:
    """A job that hangs up while its name is looked up is not connected afterwards."""
    bench.world.names["data.example.org"] = ["8.8.8.8"]
    bench.world.held = []
    client = bench.client().ask(bench.named)
    bench.until(lambda: bench.world.held)
    client.wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.wire.close()
    for answer in bench.world.held:
        answer()
    bench.until(lambda: not bench.network.connections)
    assert bench.place.heard == b""


def test_connections_beyond_the_bound_wait(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And are served when others leave."""
    monkeypatch.setattr(limits, "NETWORK_CONNECTIONS", 2)
    first, second = bench.client().ask(bench.here), bench.client().ask(bench.here)
    first.hears(b"200")
    second.hears(b"200")
    third = bench.client().ask(bench.here)
    for _ in range(20):
        bench.turn()
        third.look()
    assert third.heard == b""
    first.wire.close()
    third.hears(b"200")


def test_connections_have_a_pace(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the burst they come one by one; nobody is turned away."""
    monkeypatch.setattr(limits, "NETWORK_A_SECOND", 20)
    bench.network._pace.left = 2
    started = time.monotonic()
    for _ in range(6):
        bench.client().ask(bench.here).hears(b"200")
    assert time.monotonic() - started > 0.15


def test_all_ends_with_the_attempt(bench: Bench) -> None:
    """At once: tunnels, connections under way, the door; and nothing is carried any more."""
    bench.world.names["data.example.org"] = ["8.8.8.8"]
    tunnel = bench.client().ask(bench.here)
    tunnel.hears(b"200")
    bench.world.held = []
    waiting = bench.client().ask(bench.named)
    bench.until(lambda: bench.world.held)
    bench.network.end()
    tunnel.ends()
    waiting.ends()
    for answer in bench.world.held:
        answer()
    bench.until(lambda: not bench.network.connections and not bench.place.callers)
    assert bench.world.dialled == ["127.0.0.1"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(bench.door)
    bench.network.end()


def test_a_cells_next_attempt_is_served_at_the_same_door(reactor: ReactorBase) -> None:
    """The socket outlives a network; what an attempt said there that nobody heard is not heard for the next one."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        first, second = (JobNetwork(reactor, "task", 1000, Reach, Machine) for _ in range(2))
        first.listened(os.dup(door.fileno()))
        left = socket.create_connection(door.getsockname())
        left.sendall(b"CONNECT left.example:1 HTTP/1.1\r\n\r\n")
        first.end()
        second.listened(os.dup(door.fileno()))
        client = socket.create_connection(door.getsockname())
        client.sendall(b"CONNECT next.example:1 HTTP/1.1\r\n\r\n")
        client.setblocking(False)
        said = b""
        end = time.monotonic() + PATIENCE
        while not said and time.monotonic() < end:
            reactor.iterate(0.005)
            with suppress(BlockingIOError):
                said = client.recv(1000)
        assert b" 403 next.example:1 " in said
        assert (first.facts()["refused"], second.facts()["refused"]) == (0, 1)
        for each in (left, client):
            each.close()
        while second.connections and time.monotonic() < end:
            reactor.iterate(0.005)
        second.end()
        reactor.iterate(0.005)


def test_a_second_socket_or_one_that_comes_late_is_closed(bench: Bench) -> None:
    """Whatever hands it in: a network has one door, and none after its end."""
    for _ in range(2):
        other = socket.create_server(("127.0.0.1", 0))
        address = other.getsockname()
        bench.network.listened(other.detach())
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        bench.network.end()


@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket(),
        lambda: socket.socket(type=socket.SOCK_DGRAM),
        lambda: socket.socket(socket.AF_UNIX),
    ],
)
def test_what_is_no_listening_socket_is_no_door(
    reactor: ReactorBase, make: Callable[[], socket.socket]
) -> None:
    """It is closed, and the server goes on."""
    network = JobNetwork(reactor, "task 0", 1, Reach, Machine)
    descriptor = make().detach()
    network.listened(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    network.end()


def test_the_door_is_closed_here(bench: Bench) -> None:
    """The number that was handed over is nobody's any more: Twisted has its own."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(bench.descriptor)


def test_an_address_of_ipv6_is_reached(reactor: ReactorBase) -> None:
    """As it was granted, in brackets."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as place:
        place.setblocking(False)
        reach = Reach(frozenset({f"[::1]:{place.getsockname()[1]}"}))
        network = JobNetwork(reactor, "task", 1000, lambda: reach, Machine)
        door = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(door.getsockname())
        network.listened(door.detach())
        client.sendall(f"CONNECT [0:0::1]:{place.getsockname()[1]} HTTP/1.1\r\n\r\n".encode())
        came = None
        end = time.monotonic() + PATIENCE
        while came is None and time.monotonic() < end:
            reactor.iterate(0.005)
            with suppress(BlockingIOError):
                came, _ = place.accept()
        assert came is not None
        client.close()
        came.close()
        while network.connections and time.monotonic() < end:
            reactor.iterate(0.005)
        network.end()
        reactor.iterate(0.005)
