"""Flow: what a peer that does not read, or asks without end, can make this side hold."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from rjs import limits
from rjs.needs import Needs
from rjs.wire import messages as m
from rjs.wire.session import Session
from rjs.wire.testing import Wire

WANT = m.TaskWant(outstanding=1, epoch=1)
READ = m.BlobRead(kind="bundle", key="0" * 64, offset=0, length=limits.BLOB_CHUNK)
CHUNK = m.BlobData(data=bytes(limits.BLOB_CHUNK))


def test_calls_wait_in_order_while_the_peer_does_not_read(wire: Wire) -> None:
    """When our bytes pile up, calls are held, in order, and done when the peer has read."""
    done: list[int] = []

    def handler(session: Session, message: m.TaskWant) -> m.Message:
        done.append(message.outstanding)
        return m.Refused(code="x", sentence="s" * 1000)

    wire.route(m.TaskWant, handler)
    wire.open()
    wire.dialled_end.reading = False
    for each in range(500):
        wire.dialled.tell(m.TaskWant(outstanding=each, epoch=1, rid=each + 1))
    wire.turn()
    assert 60 <= len(done) < 200
    assert wire.accepted_end.unsent < 400_000
    wire.dialled_end.reading = True
    wire.turn()
    assert done == list(range(500))
    assert wire.accepted_end.unsent == 0 and not wire.accepted.reason


def test_replies_pass_while_calls_are_held(wire: Wire) -> None:
    """Reading goes on: a reply that this side waits for comes through although the peer's calls are held."""
    wire.caller.door.routes = {m.TaskGrant: lambda *_: m.Done()}
    wire.open()
    wire.accepted.pause()
    brief = m.JobBrief(
        job="0" * 64, name="x", signer="0" * 64, tasks=1, size=1, sha256="0" * 64, needs=Needs()
    )
    grant = m.TaskGrant(generation=1, job=brief, tasks=())
    got: list[Any] = []
    wire.ask(wire.accepted, grant, m.Done).addBoth(got.append)
    assert isinstance(got[0], m.Done)


def test_heartbeats_pass_while_calls_are_held(wire: Wire) -> None:
    """A peer's heartbeat counts although our answer waits, and only the newest answer waits."""
    wire.open()
    wire.accepted.pause()
    before = wire.accepted_end.sent
    for number in range(1000):
        wire.dialled.tell(m.Ping(n=10_000 + number))
    wire.turn()
    assert wire.called.door.events.count("heard") >= 1000
    assert wire.accepted_end.sent == before
    wire.accepted.resume()
    wire.turn()
    assert 0 < wire.accepted_end.sent - before < 200


@pytest.mark.parametrize("what", ["call", "unknown"])
def test_held_calls_are_bounded(wire: Wire, what: str) -> None:
    """A peer that asks on and on without reading is cut off, and reads why if it ever reads."""

    class Novelty(m.Message, frozen=True, kw_only=True, tag="lus.novelty"):
        pass

    wire.open()
    wire.accepted.pause()
    for _ in range(limits.HELD_CALLS + 1):
        wire.dialled.tell(WANT if what == "call" else Novelty())
    wire.turn()
    assert (
        wire.accepted.reason
        == wire.dialled.reason
        == "protocol: it asks for more and more, and waits for nothing"
    )


def test_held_bytes_are_bounded(wire: Wire) -> None:
    """A few long calls count by their bytes."""
    wire.open()
    wire.accepted.pause()
    long = m.LeaseRenew(leases=tuple(range(1 << 40, (1 << 40) + 90_000)), upto=1)
    for _ in range(limits.HELD_BYTES // 800_000 + 2):
        wire.dialled.tell(long)
        wire.turn()
    assert wire.accepted.reason == "protocol: it asks for more and more, and waits for nothing"


def test_calls_wait_in_order_while_much_is_under_way(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a peer tells counts while it is carried out; further calls are held, in order, and none is lost."""
    monkeypatch.setattr(limits, "REQUESTS_IN_FLIGHT", 10)
    started: list[int] = []
    under_way: list[Deferred[None]] = []

    def handler(session: Session, message: m.TaskWant) -> Deferred[None]:
        started.append(message.outstanding)
        under_way.append(Deferred())
        return under_way[-1]

    wire.route(m.TaskWant, handler)
    wire.open()
    for each in range(500):
        wire.dialled.tell(m.TaskWant(outstanding=each, epoch=1))
    wire.turn()
    for done in range(500):
        assert started == list(range(min(500, done + 10)))
        under_way[done].callback(None)
    assert not wire.accepted.reason


def test_held_calls_that_are_done_at_once_need_no_stack(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of held calls that need no waiting themselves are done in a loop."""
    monkeypatch.setattr(limits, "REQUESTS_IN_FLIGHT", 1)
    slow: Deferred[None] = Deferred()
    done: list[int] = []

    async def handler(session: Session, message: m.TaskWant) -> None:
        if not message.outstanding:
            await slow
        done.append(message.outstanding)

    wire.route(m.TaskWant, handler)
    wire.open()
    for each in range(4000):
        wire.dialled.tell(m.TaskWant(outstanding=each, epoch=1))
    wire.turn()
    assert done == []
    slow.callback(None)
    assert done == list(range(4000))


def test_a_flood_of_requests_is_cut_off(wire: Wire) -> None:
    """Requests that are under way are bounded, and so are those that are held."""

    async def never(session: Session, message: m.Message) -> m.Message:
        return await Deferred[m.Message]()

    wire.route(m.TaskWant, never)
    wire.open()
    for _ in range(limits.REQUESTS_IN_FLIGHT + limits.HELD_CALLS + 1):
        wire.dialled.tell(WANT)
    wire.turn()
    assert wire.accepted.reason == "protocol: it asks for more and more, and waits for nothing"
    assert wire.dialled.reason == wire.accepted.reason


def test_a_peer_that_never_reads_is_cut_off(wire: Wire) -> None:
    """Bytes that a peer leaves unread hold our memory for a bounded time, although its own heartbeats come."""
    wire.route(m.TaskWant, lambda *_: m.Refused(code="x", sentence="s" * 1000))
    wire.open()
    wire.dialled_end.reading = False
    for each in range(200):
        wire.dialled.tell(m.TaskWant(outstanding=1, epoch=1, rid=each + 1))
    wire.turn()
    for _ in range(int(limits.SEND_BUFFER_STALL) + 1):
        assert not wire.accepted.reason or wire.accepted.reason == "it does not read what we send"
        wire.dialled.tell(m.Ping(n=1))
        wire.pass_time(1)
        wire.dialled._last_heard = wire.clock.seconds()  # the hostile peer itself is patient
    assert wire.accepted.reason == "it does not read what we send"


def test_bulk_reads_are_served_a_few_at_a_time(wire: Wire) -> None:
    """However many chunks are asked for at once, only a few are in our memory, and all are served in order."""
    reading: list[tuple[int, Deferred[m.Message]]] = []

    async def chunk(session: Session, message: m.BlobRead) -> m.Message:
        reading.append((message.offset, Deferred()))
        return await reading[-1][1]

    wire.route(m.BlobRead, chunk)
    wire.open()
    for each in range(1000):
        wire.dialled.tell(m.BlobRead(kind="bundle", key="k", offset=each, length=1, rid=each + 1))
    wire.turn()
    assert len(reading) == limits.BLOB_READS
    for each in range(1000):
        assert len(reading) <= each + limits.BLOB_READS
        reading[each][1].callback(m.BlobData(data=b"x"))
        wire.turn()
    assert [offset for offset, _ in reading] == list(range(1000))
    assert not wire.accepted.reason


def test_bulk_reads_that_are_done_at_once_need_no_stack(wire: Wire) -> None:
    """Thousands of waiting reads that need no waiting themselves are served in a loop."""
    slow: list[Deferred[None]] = []

    async def chunk(session: Session, message: m.BlobRead) -> m.Message:
        if message.offset < limits.BLOB_READS:
            slow.append(Deferred())
            await slow[-1]
        return m.BlobData(data=b"x")

    wire.route(m.BlobRead, chunk)
    wire.open()
    asked = []
    for each in range(4000):
        read = m.BlobRead(kind="bundle", key="k", offset=each, length=1)
        asked.append(Deferred.fromCoroutine(wire.dialled.request(read, m.BlobData)))
    wire.turn()
    for stopped in slow:
        stopped.callback(None)
    wire.turn()
    assert all(isinstance(each.result, m.BlobData) for each in asked)


def test_a_flood_of_bulk_reads_holds_a_few_chunks(wire: Wire) -> None:
    """A peer that asks for a gigabyte in one breath and reads none of it makes us hold a few chunks."""

    async def chunk(session: Session, message: m.BlobRead) -> m.Message:
        return CHUNK

    wire.route(m.BlobRead, chunk)
    wire.open()
    wire.dialled_end.reading = False
    for _ in range(4000):
        wire.dialled.tell(READ)
    wire.turn()
    assert wire.accepted_end.unsent <= (limits.BLOB_READS + 2) * limits.BLOB_CHUNK
    wire.dialled.tell(READ)


def test_a_flood_of_bulk_reads_is_cut_off(wire: Wire) -> None:
    """Waiting reads count as requests under way."""
    wire.route(m.BlobRead, lambda *_: Deferred())
    wire.open()
    for _ in range(limits.REQUESTS_IN_FLIGHT + limits.HELD_CALLS + 1):
        wire.dialled.tell(READ)
    wire.turn()
    assert wire.accepted.reason == "protocol: it asks for more and more, and waits for nothing"
