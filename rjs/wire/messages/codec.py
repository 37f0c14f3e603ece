"""Every message, between its type and the content of its frame."""

from __future__ import annotations

from typing import Final, Union

import msgspec
from msgspec import Struct

from rjs.attempts import Number
from rjs.errors import ProtocolError
from rjs.wire.messages import checkpoints, job_door, jobs, members, session, tasks, why
from rjs.wire.messages.base import Code, Message

TYPES: Final = (
    *session.MESSAGES, *members.MESSAGES, *jobs.MESSAGES, *tasks.MESSAGES, *checkpoints.MESSAGES,
    *job_door.MESSAGES, *why.MESSAGES,
)  # fmt: skip
"""The types that the decoder accepts."""

TAGS: Final = {str(kind.__struct_config__.tag): kind for kind in TYPES}

REPLIES: Final = (session.Unsupported, session.Refused, session.Done)
"""What answers any request, and is itself never answered: two sides would answer each other for ever."""


class _Envelope(Struct):
    t: Code
    rid: Number = 0


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Union[TYPES])  # noqa: UP007 - of a tuple
_envelope = msgspec.msgpack.Decoder(_Envelope)
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UnknownMessageError(Exception):
    """The frame is a message of a type that this release does not know."""

    def __init__(self, tag: str, rid: int) -> None:
        super().__init__(tag)
        self.tag = tag
        self.rid = rid


class MalformedMessageError(ProtocolError):
    """The frame is no message of the protocol, or one that exceeds its caps."""


def tag_of(message: Message | type[Message]) -> str:
    """The message type's name on the wire: the method that a call of it names."""
    return str(message.__struct_config__.tag)


def encode(message: Message) -> bytes:
    """The message's frame content."""
    return _encoder.encode(message)


def decode(frame: bytes) -> Message:
    """The message in a frame.

    Raises UnknownMessageError for a type we do not know, and MalformedMessageError for what is not a
    well-formed message within its caps.
    """
    try:
        return _decoder.decode(frame)
    except msgspec.ValidationError as error:
        tag, rid = _envelope_of(frame)
        if tag not in TAGS:
            raise UnknownMessageError(tag, rid) from None
        raise MalformedMessageError(f"malformed {tag}: {error}") from error
    except _MALFORMED as error:
        raise MalformedMessageError(f"malformed message: {error}") from error


def _envelope_of(frame: bytes) -> tuple[str, int]:
    try:
        envelope = _envelope.decode(frame)
    except _MALFORMED as error:
        raise MalformedMessageError(f"malformed message: {error}") from error
    return envelope.t, envelope.rid
