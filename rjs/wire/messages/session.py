"""The messages of a session itself: hello, heartbeats, replies to anything, the end, and bulk data."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from rjs import limits
from rjs.attempts import Number
from rjs.wire.messages.base import EVERYONE, SERVERS, Chunk, Code, Count, HexId, Message, Seconds, Sentence


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First frame, both ways. (``boot_count``, ``dial``) orders sessions between the same two servers. ``now`` is
    the sender's wall clock (Unix time) when it wrote this; 0: it does not say."""

    callers: ClassVar = EVERYONE
    protocol: Number
    release: Code
    cluster: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    name: Annotated[str, Meta(max_length=256)]
    boot: HexId
    boot_count: Number = 0
    dial: Number = 0
    now: Seconds = 0.0


class Ping(Message, frozen=True, kw_only=True, tag="ping"):
    """Heartbeat. A CS's ping renews its task lease at the LUS."""

    callers: ClassVar = EVERYONE
    n: Number


class Pong(Message, frozen=True, kw_only=True, tag="pong"):
    """The answer to the ping with the same number: alive means that it answered."""

    callers: ClassVar = EVERYONE
    n: Number


class Bye(Message, frozen=True, kw_only=True, tag="bye"):
    """The last message of a session: why it ends."""

    callers: ClassVar = EVERYONE
    code: Code
    sentence: Sentence


class Unsupported(Message, frozen=True, kw_only=True, tag="unsupported"):
    """The receiver does not know the message type ``what``."""

    callers: ClassVar = EVERYONE
    what: Code


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """The negative reply to any request: what rule said no, why, and what would change it."""

    callers: ClassVar = EVERYONE
    code: Code
    sentence: Sentence


class Done(Message, frozen=True, kw_only=True, tag="done"):
    """The positive reply to a request that has nothing else to say."""

    callers: ClassVar = EVERYONE


class BlobRead(Message, frozen=True, kw_only=True, tag="blob.read"):
    """Asks for up to ``length`` bytes at ``offset``. ``kind``: ``bundle`` | ``answer`` | ``upload`` |
    ``checkpoint``."""

    callers: ClassVar = SERVERS
    kind: Code
    key: Annotated[str, Meta(max_length=256)]
    offset: Count
    length: Annotated[int, Meta(ge=1, le=limits.BLOB_CHUNK)]


class BlobData(Message, frozen=True, kw_only=True, tag="blob.data"):
    """The bytes asked for; fewer than asked only at the end."""

    callers: ClassVar = EVERYONE
    data: Chunk


MESSAGES: tuple[type[Message], ...] = (Hello, Ping, Pong, Bye, Unsupported, Refused, Done, BlobRead, BlobData)
