"""Peers of other releases: served, or refused with a sentence, and never misunderstood.

The other release is simulated by its bytes: maps of this test's own, over real TLS, which no code of ours wrote.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock

from rjs import limits
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.frames import HEADER
from rjs.wire.session import Session
from rjs.wire.testing import Member, accepting, dialling, join, turn

Said = dict[str, Any]


class Other(Protocol):
    """A peer of another release: it says maps, and keeps those that it heard."""

    def __init__(self) -> None:
        self.heard: list[Said] = []
        self._buffer = b""

    def say(self, **fields: object) -> None:
        frame = msgspec.msgpack.encode(fields)
        assert self.transport is not None
        self.transport.write(len(frame).to_bytes(HEADER, "big") + frame)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEADER:
            end = HEADER + int.from_bytes(self._buffer[:HEADER], "big")
            if len(self._buffer) < end:
                return
            self.heard.append(msgspec.msgpack.decode(self._buffer[HEADER:end]))
            self._buffer = self._buffer[end:]


class Skew:
    """A lookup server of another release at the door of a web server of this one."""

    def __init__(self, organisation: Organisation) -> None:
        self.clock = Clock()
        caller = Member.of(organisation, organisation.member(Role.LUS))
        called = Member.of(organisation, organisation.member(Role.WS))
        self.door = called.door
        self.known: list[m.Message] = []
        self.door.routes = {m.TaskWant: lambda _, message: self.known.append(message)}
        self.session = Session(self.clock, called.hello, called.door)
        self.session.ready.addErrback(lambda _: None)
        self.other = Other()
        self.ends = join(
            self.clock,
            dialling(self.clock, caller.identity, Role.WS, self.other),
            accepting(self.clock, called.identity, self.session.protocol),
        )
        self.hello: Said = {
            "t": "hello", "protocol": limits.PROTOCOL, "release": "0.0", "cluster": caller.hello.cluster,
            "name": caller.hello.name, "boot": "1" * 32,
        }  # fmt: skip
        turn(self.clock, self.ends)

    def says(self, **fields: object) -> list[Said]:
        """What this release said to that, heartbeats aside."""
        before = len(self.other.heard)
        self.other.say(**fields)
        turn(self.clock, self.ends)
        return [each for each in self.other.heard[before:] if each["t"] != "ping"]


@pytest.fixture
def skew(organisation: Organisation) -> Skew:
    return Skew(organisation)


def test_one_protocol_too_old(skew: Skew) -> None:
    """It is refused at its hello, and reads which number is needed, by which release, and what to do."""
    (bye,) = skew.says(**{**skew.hello, "protocol": limits.OLDEST_PROTOCOL - 1})
    assert (bye["t"], bye["code"]) == ("bye", "old-protocol")
    assert bye["sentence"].endswith(f"needs {limits.OLDEST_PROTOCOL}: upgrade the older side")
    assert skew.door.events == []


@pytest.mark.parametrize("protocol", [limits.OLDEST_PROTOCOL, limits.PROTOCOL, limits.PROTOCOL + 1])
def test_protocols_that_are_served(skew: Skew, protocol: int) -> None:
    """The oldest that we speak with, ours, and a newer one, whose sender decides, are let in and served."""
    assert skew.says(**{**skew.hello, "protocol": protocol}) == []
    assert skew.says(t="lus.task.want", outstanding=3, epoch=1, rid=9) == [{"t": "done", "re": 9}]
    assert skew.known == [m.TaskWant(outstanding=3, epoch=1, rid=9)]


def test_an_older_hello(skew: Skew) -> None:
    """A hello without the fields that came later opens a session: no clock is compared, no dial is counted."""
    assert skew.says(**skew.hello) == []
    hello = skew.session.peer_hello
    assert (hello.boot_count, hello.dial, hello.now, skew.session.clocks) == (0, 0, 0.0, None)


def test_a_newer_hello(skew: Skew) -> None:
    """Fields of a hello that this release does not know are no reason to refuse it."""
    assert skew.says(**skew.hello, colours=["red"], needs={"tls": 4}) == []
    assert skew.door.milestones == [f"opened {skew.hello['name']}"]


@pytest.mark.parametrize("rid", [0, 7])
def test_messages_that_this_release_does_not_know(skew: Skew, rid: int) -> None:
    """A newer peer reads what is not understood, by name, and is served on."""
    skew.says(**skew.hello)
    (told,) = skew.says(t="lus.novelty", rid=rid, what={"deep": [1, 2]})
    assert {"re": 0, **told} == {"t": "unsupported", "re": rid, "what": "lus.novelty"}
    assert skew.says(t="lus.task.want", outstanding=1, epoch=1, rid=8, novelty=True) == [
        {"t": "done", "re": 8}
    ]


def test_a_request_that_an_older_peer_does_not_know(skew: Skew) -> None:
    """Whoever asks for what the peer's release cannot do is told so, and the session goes on."""
    skew.says(**skew.hello)
    failed: list[Any] = []
    asked = Deferred.fromCoroutine(skew.session.request(m.JobCancel(job="ab"), m.Done))
    asked.addErrback(lambda failure: failed.append(failure.value))
    turn(skew.clock, skew.ends)
    request = skew.other.heard[-1]
    skew.says(t="unsupported", re=request["rid"], what=request["t"])
    assert isinstance(failed[0], RefusedError) and failed[0].code == "unsupported"
    assert failed[0].sentence == "the peer's release does not know 'job.cancel'"
    assert not skew.session.reason


def test_a_reply_with_fields_of_a_newer_release(skew: Skew) -> None:
    """A reply is read by what this release knows of it."""
    skew.says(**skew.hello)
    asked = Deferred.fromCoroutine(skew.session.request(m.JobCancel(job="ab"), m.Done))
    turn(skew.clock, skew.ends)
    skew.says(t="done", re=skew.other.heard[-1]["rid"], also=["that"])
    assert isinstance(asked.result, m.Done)


def test_a_known_message_of_another_shape(skew: Skew) -> None:
    """A release that changed a field instead of adding one would be refused, not misread."""
    skew.says(**skew.hello)
    (bye,) = skew.says(t="lus.task.want", outstanding="3", epoch=1)
    assert (bye["t"], bye["code"]) == ("bye", "protocol") and "outstanding" in bye["sentence"]
    assert skew.known == []
