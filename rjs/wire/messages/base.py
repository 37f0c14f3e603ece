"""What all messages have, and the capped values that their fields are made of."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import Number
from rjs.identity.names import Role

HexId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Count = Annotated[int, Meta(ge=0, lt=2**48)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Name = Annotated[str, Meta(max_length=128)]
Code = Annotated[str, Meta(max_length=64)]
Sentence = Annotated[str, Meta(max_length=1024)]
Tail = Annotated[str, Meta(max_length=4096)]
JobPrefix = Annotated[str, Meta(pattern=r"^[0-9a-f]{0,64}\Z")]
FileName = Annotated[str, Meta(max_length=limits.MAX_NAME_PART_BYTES)]
Chunk = Annotated[bytes, Meta(max_length=limits.BLOB_CHUNK)]
Inline = Annotated[bytes, Meta(max_length=limits.INLINE_ANSWER)]

SERVERS = frozenset({Role.WS, Role.LUS, Role.CS})
PEOPLE = frozenset({Role.USER, Role.ADMIN})
EVERYONE = frozenset(Role)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="t"):
    """What all messages have. ``callers`` are the roles that may send the message."""

    callers: ClassVar[frozenset[Role]]
    rid: Number = 0
    re: Number = 0
