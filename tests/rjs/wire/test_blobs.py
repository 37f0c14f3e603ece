"""Blobs: a bounded window ahead, exactly the bytes that were promised, or nothing."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from rjs import limits
from rjs.background import ImmediateWorkers, Timers
from rjs.errors import RefusedError
from rjs.wire.blobs import chunk_of, joined, read_blob, read_blob_to_file, read_ranges
from rjs.wire.messages import BlobData, BlobRead, Message
from rjs.wire.session import SessionLostError
from rjs.wire.testing import Wire

CONTENT = bytes(range(256)) * 12_345
"""More than a window, and no whole number of chunks."""
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Peer:
    """Has a blob, and answers reads when told, in the order asked."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content = content
        self.asked: list[tuple[BlobRead, Deferred[BlobData]]] = []
        self.most = 0

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        assert isinstance(message, BlobRead)
        self.asked.append((message, Deferred()))
        self.most = max(self.most, len(self.asked))
        return await self.asked[-1][1]

    def serve(self, change: Callable[[BlobRead, bytes], bytes] = lambda _, data: data) -> None:
        """Answer until nothing more is asked."""
        while self.asked:
            read, deferred = self.asked.pop(0)
            data = self.content[read.offset : read.offset + read.length]
            deferred.callback(BlobData(data=change(read, data)))


def read(peer: Peer, size: int = len(CONTENT), sha256: str = DIGEST) -> tuple[list[Any], bytearray]:
    """What reading ends with, and what was written."""
    written, ended = bytearray(), list[Any]()
    Deferred.fromCoroutine(read_blob(peer, "bundle", "k" * 64, size, sha256, written.extend)).addBoth(
        ended.append
    )
    return ended, written


def test_the_window_is_bounded() -> None:
    """No more than a window of chunks is asked for ahead, each chunk once, and the bytes are those promised."""
    peer = Peer()
    ended, written = read(peer)
    assert len(peer.asked) == limits.BLOB_WINDOW
    peer.serve()
    assert ended == [None] and written == CONTENT
    assert peer.most == limits.BLOB_WINDOW


def test_nothing_is_asked_for_an_empty_blob() -> None:
    """A blob without bytes is there at once, if its digest is that of no bytes."""
    peer = Peer(b"")
    ended, written = read(peer, 0, hashlib.sha256(b"").hexdigest())
    assert ended == [None] and written == b"" and peer.most == 0
    assert read(peer, 0, DIGEST)[0][0].value.code == "blob-differs"


@pytest.mark.parametrize(
    "change",
    [
        lambda read, data: data[:-1],
        lambda read, data: b"",
        lambda read, data: data + b"x",
        lambda read, data: data if read.offset < limits.BLOB_CHUNK else data[::-1],
    ],
    ids=["short", "empty", "long", "other bytes"],
)
def test_other_bytes_than_promised_are_refused(change: Callable[[BlobRead, bytes], bytes]) -> None:
    """A chunk of another length, or a whole with another digest, ends the reading as a difference."""
    peer = Peer()
    ended, _ = read(peer)
    peer.serve(change)
    assert ended[0].value.code == "blob-differs"


@pytest.mark.parametrize("lie", [-1, 1, limits.BLOB_CHUNK])
def test_lying_sizes_are_refused(lie: int) -> None:
    """A blob that is shorter or longer than was said is a difference, and no more than was said is written."""
    peer = Peer()
    ended, written = read(peer, len(CONTENT) + lie)
    peer.serve()
    assert ended[0].value.code == "blob-differs"
    assert len(written) <= len(CONTENT) + lie


def test_refused_in_the_middle() -> None:
    """The peer's refusal is the reading's; what was asked ahead is given up without a trace."""
    peer = Peer()
    ended, _ = read(peer)
    first, second, *others = peer.asked
    first[1].callback(BlobData(data=CONTENT[: limits.BLOB_CHUNK]))
    second[1].errback(RefusedError("no-blob", "it is gone"))
    assert ended[0].value.code == "no-blob"
    assert all(deferred.called for _, deferred in others)


def test_cancelled_in_the_middle() -> None:
    """Whoever cancels the reading cancels what was asked ahead."""
    peer = Peer()
    ended = list[Any]()
    reading = Deferred.fromCoroutine(read_blob(peer, "bundle", "k", len(CONTENT), DIGEST, lambda _: None))
    reading.addErrback(lambda failure: ended.append(failure.type))
    reading.cancel()
    assert ended == [CancelledError]
    assert all(deferred.called for _, deferred in peer.asked)


def test_a_writer_that_fails_ends_the_reading() -> None:
    """A full disk is the reading's end, not a defect of the session."""
    peer, ended = Peer(), list[Any]()

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    Deferred.fromCoroutine(read_blob(peer, "bundle", "k", len(CONTENT), DIGEST, full)).addBoth(ended.append)
    peer.asked[0][1].callback(BlobData(data=CONTENT[: limits.BLOB_CHUNK]))
    assert isinstance(ended[0].value, OSError)
    assert all(deferred.called for _, deferred in peer.asked)


# --- ranges ----------------------------------------------------------------------------------------------


SOME = [range(5, 6), range(100, 100 + 3 * limits.BLOB_CHUNK), range(len(CONTENT) - 7, len(CONTENT))]


def ranges(peer: Peer, timers: Timers | None = None) -> tuple[list[Any], dict[int, bytes]]:
    """What reading ``SOME`` ends with, and what was written where."""
    written, ended = dict[int, bytes](), list[Any]()
    reading = read_ranges(peer, "bundle", "k", SOME, written.__setitem__, timers, window=2)
    Deferred.fromCoroutine(reading).addBoth(ended.append)
    return ended, written


def test_ranges_and_nothing_else_are_read() -> None:
    """Each byte asked for comes once, in order, in pieces of at most a chunk; one window holds over all ranges."""
    peer = Peer()
    ended, written = ranges(peer)
    peer.serve()
    assert ended == [None] and peer.most == 2
    assert list(written) == sorted(written)
    assert max(map(len, written.values())) == limits.BLOB_CHUNK
    assert b"".join(written.values()) == b"".join(CONTENT[each.start : each.stop] for each in SOME)


@pytest.mark.parametrize(
    "change", [lambda _, data: data[:-1], lambda _, data: data + b"x"], ids=["short", "long"]
)
def test_a_range_of_another_length_is_refused(change: Callable[[BlobRead, bytes], bytes]) -> None:
    """What is too short or too long is not written, and nothing more is asked for."""
    peer = Peer()
    ended, written = ranges(peer)
    peer.serve(change)
    assert ended[0].value.code == "blob-differs" and written == {} and not peer.asked


def test_a_range_that_does_not_come_is_given_up() -> None:
    """Every piece has its time, however many came before it."""
    peer, clock = Peer(), Clock()
    ended, _ = ranges(peer, cast(Timers, clock))
    asked, deferred = peer.asked.pop(0)
    deferred.callback(BlobData(data=CONTENT[asked.offset : asked.offset + asked.length]))
    clock.advance(limits.BLOB_STALL)
    assert ended[0].value.code == "blob-stalled" and not clock.getDelayedCalls()


def test_ranges_that_lie_close_become_one() -> None:
    """Ranges less than a gap apart, or overlapping, are joined; empty ones vanish; others stay as they are."""
    given = [range(20, 25), range(0, 5), range(9, 9), range(14, 15), range(3, 4), range(30, 31)]
    assert joined(given, gap=6) == [range(0, 5), range(14, 31)]
    assert joined([range(0, 5), range(5, 7)], gap=1) == [range(0, 7)]
    assert joined([range(0, 5), range(6, 7)], gap=1) == [range(0, 5), range(6, 7)]
    assert joined([]) == []


# --- files ------------------------------------------------------------------------------------------------


def to_file(peer: Peer, path: Path) -> tuple[Deferred[None], list[Any]]:
    ended = list[Any]()
    reading = Deferred.fromCoroutine(
        read_blob_to_file(peer, "bundle", "k", len(CONTENT), DIGEST, path, ImmediateWorkers())
    )
    reading.addBoth(ended.append)
    return reading, ended


def test_a_file_is_there_whole_and_private(tmp_path: Path) -> None:
    """Its name appears when its bytes are all there; nobody else can read it."""
    path, peer = tmp_path / "x.jar", Peer()
    _, ended = to_file(peer, path)
    assert not path.exists()
    peer.serve()
    assert ended == [None] and path.read_bytes() == CONTENT
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", ["refused", "cancelled", "lost", "differs"])
def test_a_file_that_did_not_come_whole_is_not_there(tmp_path: Path, end: str) -> None:
    """However the reading ends early, neither the file nor a part of it stays."""
    path, peer = tmp_path / "x.jar", Peer()
    reading, ended = to_file(peer, path)
    peer.asked[0][1].callback(BlobData(data=CONTENT[: limits.BLOB_CHUNK]))
    if end == "cancelled":
        reading.cancel()
    elif end == "differs":
        peer.asked = peer.asked[1:]
        peer.serve(lambda _, data: data[:3])
    else:
        error = RefusedError("no-blob", "gone") if end == "refused" else SessionLostError("gone")
        peer.asked[1][1].errback(error)
    assert len(ended) == 1 and ended[0] is not None
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    """What an earlier process did not finish does not stand in the way."""
    (tmp_path / ".x.jar.part").write_bytes(b"half")
    peer = Peer()
    _, ended = to_file(peer, tmp_path / "x.jar")
    peer.serve()
    assert ended == [None] and [each.name for each in tmp_path.iterdir()] == ["x.jar"]


def test_chunks_of_a_file(tmp_path: Path) -> None:
    """Exactly the bytes asked for, fewer only at the end; a file that is not there, or a link, is refused."""
    path = tmp_path / "x.jar"
    path.write_bytes(CONTENT)
    ask = BlobRead(kind="bundle", key="k", offset=10, length=20)
    assert chunk_of(path, ask).data == CONTENT[10:30]
    beyond = BlobRead(kind="bundle", key="k", offset=len(CONTENT) - 5, length=20)
    assert chunk_of(path, beyond).data == CONTENT[-5:]
    (tmp_path / "link.jar").symlink_to(path)
    for absent in ("y.jar", "link.jar"):
        with pytest.raises(RefusedError, match="is not here"):
            chunk_of(tmp_path / absent, ask)


def test_a_blob_over_a_session_that_stops_reading_now_and_then(wire: Wire, tmp_path: Path) -> None:
    """Over real sessions, with a sender that is held up again and again, the bytes arrive as promised."""
    path = tmp_path / "x.jar"
    path.write_bytes(CONTENT)
    wire.route(BlobRead, lambda _, message: chunk_of(path, message))
    wire.open()
    written, ended = bytearray(), list[Any]()
    Deferred.fromCoroutine(
        read_blob(wire.dialled, "bundle", "k", len(CONTENT), DIGEST, written.extend)
    ).addBoth(ended.append)
    wire.dialled_end.piece = 100_000
    for _ in range(5):
        wire.dialled_end.reading = False
        wire.turn()
        assert wire.accepted_end.unsent <= 4 * limits.BLOB_CHUNK
        wire.dialled_end.reading = True
        for _ in range(7):
            wire.clock.advance(0)
            wire.accepted_end.deliver()
            wire.dialled_end.deliver()
    wire.turn()
    assert ended == [None] and written == CONTENT


def test_a_peer_that_sends_nothing_more_is_given_up() -> None:
    """Each chunk has its time, counted from the one before; after that nothing is waited for any more."""
    peer, clock, ended = Peer(), Clock(), list[Any]()
    timers = cast(Timers, clock)
    reading = read_blob(peer, "answer", "k", len(CONTENT), DIGEST, lambda _: None, timers, window=2)
    Deferred.fromCoroutine(reading).addBoth(ended.append)
    for _ in range(3):
        assert len(peer.asked) == 2
        clock.advance(limits.BLOB_STALL - 1)
        asked, deferred = peer.asked.pop(0)
        deferred.callback(BlobData(data=CONTENT[asked.offset : asked.offset + asked.length]))
        assert ended == []
    clock.advance(limits.BLOB_STALL)
    assert ended[0].value.code == "blob-stalled" and not clock.getDelayedCalls()
