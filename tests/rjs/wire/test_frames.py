"""Frames: the same messages however the stream is cut, and no more memory than a peer has earned."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from rjs import limits
from rjs.wire.frames import HEADER, FrameFactory, FrameProtocol


class Received:
    """A frame protocol on a transport, with what it handed over."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost: list[Failure] = []
        self.protocol = FrameProtocol(lambda _: None, self.frames.append, self.lost.append)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)


def framed(*frames: bytes) -> bytes:
    return b"".join(len(each).to_bytes(HEADER, "big") + each for each in frames)


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(1, 700), min_size=1, max_size=30))
def test_any_cutting_gives_the_same_frames(frames: list[bytes], sizes: list[int]) -> None:
    """However the network cuts the stream, the frames come out whole and in order."""
    end, stream = Received(), framed(*frames)
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        end.protocol.dataReceived(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert end.frames == frames


def test_what_is_sent_is_what_is_received() -> None:
    """Sending frames what receiving takes apart."""
    sender, receiver = Received(), Received()
    for frame in (b"", b"one", b"x" * 5000):
        sender.protocol.send(frame)
    receiver.protocol.dataReceived(sender.transport.value())
    assert receiver.frames == [b"", b"one", b"x" * 5000]


@pytest.mark.parametrize(("trusted", "most"), [(False, limits.HELLO_FRAME), (True, limits.FRAME)])
def test_a_frame_longer_than_earned_is_cut_off_at_its_header(trusted: bool, most: int) -> None:
    """The longest frame passes; one byte more is cut off before its first byte is kept, and nothing follows."""
    end = Received()
    if trusted:
        end.protocol.trust_longer_frames()
    end.protocol.dataReceived(framed(b"x" * most))
    assert len(end.frames) == 1
    end.protocol.dataReceived((most + 1).to_bytes(HEADER, "big"))
    assert end.transport.disconnected and end.protocol.too_long == most + 1
    end.protocol.dataReceived(framed(b"more"))
    assert len(end.frames) == 1 and not end.protocol._buffer


def test_frames_after_an_abort_are_not_heard() -> None:
    """A listener that drops the connection at one frame hears none that came in the same piece."""
    heard: list[bytes] = []

    def hear(frame: bytes) -> None:
        heard.append(frame)
        protocol.abort()

    protocol = FrameProtocol(lambda _: None, hear, lambda _: None)
    protocol.makeConnection(StringTransport())
    protocol.dataReceived(framed(b"one", b"two"))
    assert heard == [b"one"]


def test_single_bytes_cost_no_more_than_linear_time() -> None:
    """A peer that sends a long frame byte by byte buys no quadratic work: twice as long takes about twice."""

    def seconds(size: int) -> float:
        end = Received()
        end.protocol.trust_longer_frames()
        stream = framed(b"x" * size)
        start = time.process_time()
        for at in range(len(stream)):
            end.protocol.dataReceived(stream[at : at + 1])
        assert len(end.frames) == 1
        return time.process_time() - start

    short = min(seconds(100_000) for _ in range(3))
    assert min(seconds(800_000) for _ in range(2)) < 8 * short * 3


def test_a_factory_may_refuse() -> None:
    """A factory whose builder returns None refuses the connection."""
    assert FrameFactory(lambda _: None).buildProtocol(None) is None
