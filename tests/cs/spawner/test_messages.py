"""The frames between server and spawner: whatever arrives in whatever pieces."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs.spawner import limits
from cs.spawner.messages import (
    Beat,
    Ended,
    Inbox,
    LimitHit,
    Limits,
    Report,
    Request,
    Run,
    Started,
    Stop,
    frame,
)
from rjs.errors import ProtocolError

_RUN = Run(("/bin/x", "a"), "/cwd", {"A": "ü"}, "/out", "/err", Limits(1, 0.5))
_ENDED = Ended(None, 9, LimitHit("memory", 1, 2), False, 1.5, 0.5, 7, 2)


@given(cuts=st.lists(st.integers(min_value=0, max_value=400), max_size=8))
def test_messages_survive_any_fragmentation(cuts: list[int]) -> None:
    """However the stream is cut, the same messages come out in the same order."""
    sent: list[Request] = [_RUN, Stop(0.5), Stop()]
    stream = b"".join(frame(message) for message in sent)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    inbox = Inbox()
    received = [message for start, end in pairwise(edges) for message in inbox.requests(stream[start:end])]
    assert received == sent


def test_reports_come_back_as_they_were() -> None:
    """Every report keeps its type and its fields."""
    sent: list[Report] = [Started(5), Beat(1, 2), _ENDED]
    assert Inbox().reports(b"".join(frame(message) for message in sent)) == sent


@pytest.mark.parametrize(
    "data",
    [
        (limits.MESSAGE + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x01\xc1",
        b"\x00\x00\x00\x00",
        frame(_ENDED),
        len(body := msgspec.msgpack.encode({"type": "stop", "extra": 1})).to_bytes(4, "big") + body,
        len(body := msgspec.msgpack.encode({"type": "stop", "grace": -1.0})).to_bytes(4, "big") + body,
    ],
    ids=["too long", "not msgpack", "empty", "the other direction", "unknown field", "negative grace"],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """Nothing is guessed, and nothing is collected beyond the cap."""
    with pytest.raises(ProtocolError):
        Inbox().requests(data)


def test_a_message_over_the_cap_is_never_sent() -> None:
    """The sender learns it, rather than the receiver."""
    with pytest.raises(ProtocolError, match="cap"):
        frame(msgspec.structs.replace(_RUN, argv=("x" * limits.MESSAGE,)))
