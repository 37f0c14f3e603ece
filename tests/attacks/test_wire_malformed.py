"""Attack: bytes that are no messages, before and after the hello. Each ends one session with one reason."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from rjs import limits
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.frames import HEADER
from rjs.wire.messages import MalformedMessageError, UnknownMessageError
from rjs.wire.session import Session
from rjs.wire.testing import Member, Wire, accepting, dialling, join, turn

DEEP = b"\x91" * 200_000
"""A list in a list in a list…"""

HUGE_HEADERS = [
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
]
"""Announce four thousand million elements and bring none."""

ORGANISATION = Organisation(dt.datetime.now(dt.UTC))

_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=40) | st.sampled_from(sorted(m.TAGS)),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["t", "rid", "re", "n", "job", "attempt", "leases"]), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip
maps = st.builds(
    lambda tag, rest: msgspec.msgpack.encode({**rest, "t": tag}),
    st.sampled_from([*sorted(m.TAGS), "lus.novelty", ""]),
    st.dictionaries(st.sampled_from(["rid", "re", "n", "job", "code", "data", "leases", "upto"]), _values),
)
frames = st.one_of(
    st.binary(max_size=200), maps, _values.map(msgspec.msgpack.encode), st.sampled_from(HUGE_HEADERS)
)


def framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(HEADER, "big") + frame


class Stranger(Protocol):
    """Has a certificate and speaks no RJS."""

    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class Attack:
    """A stranger at the door of a web server."""

    def __init__(self) -> None:
        self.clock = Clock()
        called = Member.of(ORGANISATION, ORGANISATION.member(Role.WS))
        self.door = called.door
        self.session = Session(self.clock, called.hello, called.door)
        self.endings: list[str] = []
        self.session.ready.addErrback(lambda failure: self.endings.append(failure.getErrorMessage()))
        self.stranger = Stranger()
        self.ends = join(
            self.clock,
            dialling(self.clock, ORGANISATION.member(Role.LUS), Role.WS, self.stranger),
            accepting(self.clock, called.identity, self.session.protocol),
        )
        turn(self.clock, self.ends)

    def say(self, data: bytes) -> None:
        self.stranger.say(data)
        turn(self.clock, self.ends)


@given(frames)
@settings(max_examples=1000)
def test_decoding_gives_a_message_or_one_of_two_errors(frame: bytes) -> None:
    """Whatever a frame holds, decoding says what it is: a message, an unknown one, or malformed."""
    try:
        message = m.decode(frame)
    except UnknownMessageError as unknown:
        assert unknown.tag not in m.TAGS and len(unknown.tag) <= 64 and 0 <= unknown.rid < 2**63
    except MalformedMessageError:
        pass
    else:
        assert type(message) in m.TYPES


@pytest.mark.parametrize("frame", [DEEP, *HUGE_HEADERS, b"", b"\x81\xa1t\xa4\xff\xff\xff\xff"], ids=repr)
def test_bombs_are_malformed(frame: bytes) -> None:
    """Nesting without end and lengths without bytes cost nothing and are told as malformed."""
    with pytest.raises(MalformedMessageError, match=r"^malformed message"):
        m.decode(frame[: limits.FRAME])


@given(st.binary(min_size=1, max_size=400))
@settings(max_examples=40, deadline=None)
def test_bytes_instead_of_a_hello(data: bytes) -> None:
    """A stranger's bytes open nothing: the session waits for more, or ends with one reason."""
    attack = Attack()
    attack.say(data)
    attack.clock.advance(limits.HANDSHAKE)
    turn(attack.clock, attack.ends)
    attack.clock.advance(limits.LINGER)
    turn(attack.clock, attack.ends)
    assert attack.session.ended and len(attack.endings) == 1
    assert attack.door.events == []
    assert attack.clock.getDelayedCalls() == []


@given(frames)
@settings(max_examples=40, deadline=None)
def test_a_frame_instead_of_a_hello(frame: bytes) -> None:
    """No message but a hello opens a session, however well it is formed."""
    attack = Attack()
    attack.say(framed(frame))
    assert attack.session.reason
    assert attack.door.events == []


def test_a_long_frame_instead_of_a_hello() -> None:
    """A stranger may not make us buffer more than a hello's length: the header alone ends it."""
    attack = Attack()
    attack.say((limits.HELLO_FRAME + 1).to_bytes(HEADER, "big"))
    assert attack.endings == [f"a frame of {limits.HELLO_FRAME + 1} bytes is longer than allowed"]


@given(st.lists(frames, max_size=8), st.binary(max_size=60))
@settings(max_examples=80, deadline=None)
def test_frames_of_a_member_gone_mad(said: list[bytes], rest: bytes) -> None:
    """In an open session nothing that a peer says raises, and the session ends once, with one reason, or goes on."""
    wire = Wire(ORGANISATION)
    wire.route(m.TaskWant, lambda *_: None)
    wire.open()
    transport = wire.dialled.protocol.transport
    assert transport is not None
    for frame in said:
        transport.write(framed(frame))
    transport.write(rest)
    wire.turn()
    wire.dialled_end.cut()
    opened, *others = wire.called.door.milestones
    assert opened.startswith("opened ") and others == [f"closed {wire.accepted.reason}"]
    assert wire.accepted.reason
    assert wire.clock.getDelayedCalls() == []


def test_a_second_hello_changes_nobody() -> None:
    """Who is there was said once: a later hello under another name is no message of an open session."""
    wire = Wire(ORGANISATION)
    wire.open()
    name = wire.accepted.peer.name
    wire.dialled.tell(
        m.Hello(protocol=1, release="2", cluster="0" * 16, name="rjs://ws/" + "0" * 32, boot="0" * 32)
    )
    wire.turn()
    assert wire.accepted.peer.name == name and wire.accepted.peer_hello.release == "1.0"
    assert wire.called.door.milestones == [f"opened {name.uri()}"]


def test_last_words_are_bounded() -> None:
    """A goodbye longer than its cap is malformed, and reaches no log or terminal."""
    wire = Wire(ORGANISATION)
    wire.open()
    wire.dialled.tell(m.Bye(code="x", sentence="s" * 1025))
    wire.turn()
    assert wire.accepted.reason.startswith("protocol: malformed bye: Expected `str` of length <= 1024")
