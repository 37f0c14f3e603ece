"""What the web server and its token authority say to each other: one msgpack map a frame, tagged by ``t``.

A frame is four bytes of length, big endian, and its content, as on the wire between servers. The connection is a pair
of Unix sockets that the web server made before it started the authority: nobody else can be at its other end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from rjs.errors import ProtocolError
from rjs.identity.accepted_cas import SignedAcceptance
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import Der, RenewalRequest
from rjs.identity.revocation import Revoked, SignedRevocations
from rjs.identity.succession import SuccessionRequest
from rjs.limits import CHAIN_LENGTH, JOB_TOKEN_LIFETIME
from ws.authority import limits

HEADER = 4

DerChain = Annotated[tuple[Der, ...], Meta(max_length=CHAIN_LENGTH)]


class Begin(msgspec.Struct, frozen=True, tag_field="t", tag="begin"):
    """The first frame: the folder with the keys, the account to run as (empty: the web server's own), whose token
    authority this is, and the lifetimes of members' certificates and of job tokens in seconds."""

    folder: str
    user: str
    name: str
    common_name: str
    lifetime: int
    job_lifetime: int = JOB_TOKEN_LIFETIME


class Own(msgspec.Struct, frozen=True, tag_field="t", tag="own"):
    """A certificate for the web server itself: its next key's PKCS#10 request."""

    id: int
    token_request: Der


class Enrol(msgspec.Struct, frozen=True, tag_field="t", tag="enrol"):
    """A joiner's request, and the chain of the invitation with which it came, DER."""

    id: int
    request: EnrolmentRequest
    chain: DerChain


class Renew(msgspec.Struct, frozen=True, tag_field="t", tag="renew"):
    """A member's request."""

    id: int
    request: RenewalRequest


class Present(msgspec.Struct, frozen=True, tag_field="t", tag="present"):
    """The request of somebody who has a certificate of another CA."""

    id: int
    request: PresentationRequest


class Accept(msgspec.Struct, frozen=True, tag_field="t", tag="accept"):
    """Which other CAs count from now on."""

    id: int
    signed: SignedAcceptance


class Prepare(msgspec.Struct, frozen=True, tag_field="t", tag="prepare"):
    """Asks for the request with which the operator certifies the authority again."""

    id: int


class TakeOver(msgspec.Struct, frozen=True, tag_field="t", tag="take-over"):
    """The certificates that the operator made of it, DER."""

    id: int
    certificates: DerChain


class JobToken(msgspec.Struct, frozen=True, tag_field="t", tag="job"):
    """A compute server's request for a job of its own."""

    id: int
    request: JobTokenRequest


class Revoke(msgspec.Struct, frozen=True, tag_field="t", tag="revoke"):
    """Revoke this from now on, unless it is since ``entry.when``, the time of the question."""

    id: int
    entry: Revoked


class Relist(msgspec.Struct, frozen=True, tag_field="t", tag="relist"):
    """The next list, with what stands in ``known``, which a server told."""

    id: int
    known: SignedRevocations | None = None


class Ready(msgspec.Struct, frozen=True, tag_field="t", tag="ready"):
    """It can issue until ``not_after`` (Unix time), and runs as ``user``; ``apart`` tells whether that account is
    another than the web server's."""

    not_after: float
    user: str
    apart: bool
    record_not_after: float = 0.0


class Issued(msgspec.Struct, frozen=True, tag_field="t", tag="issued"):
    """The certificate with its issuers, DER, leaf first; its line in the log is durable."""

    id: int
    chain: tuple[bytes, ...]


class Listed(msgspec.Struct, frozen=True, tag_field="t", tag="listed"):
    """The newest list of what is revoked, durable."""

    id: int
    list: SignedRevocations


class Accepted(msgspec.Struct, frozen=True, tag_field="t", tag="accepted"):
    """The statement is kept, and goes."""

    id: int


class Prepared(msgspec.Struct, frozen=True, tag_field="t", tag="prepared"):
    """The request for the operator."""

    id: int
    request: SuccessionRequest


class TookOver(msgspec.Struct, frozen=True, tag_field="t", tag="took-over"):
    """The new certificates are in use; ``ready`` says until when."""

    id: int
    ready: Ready


class Refused(msgspec.Struct, frozen=True, tag_field="t", tag="refused"):
    """No certificate. ``id`` 0 refuses the beginning, and the process ends."""

    id: int
    code: str
    sentence: str


Certified = Own | Enrol | Renew | JobToken
"""What the rules answer with a certificate."""

Asked = Certified | Revoke | Relist | Present | Accept | Prepare | TakeOver
Question = Begin | Asked
Answer = Ready | Issued | Listed | Refused | Accepted | Prepared | TookOver

M = TypeVar("M")


def frame(message: Question | Answer) -> bytes:
    """``message`` as it crosses. Raises ProtocolError when it is too long."""
    content = msgspec.msgpack.encode(message)
    if len(content) > limits.FRAME:
        raise ProtocolError(f"a message of {len(content)} bytes to or from the authority is too long")
    return len(content).to_bytes(HEADER, "big") + content


QUESTIONS: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


class Inbox(Generic[M]):
    """Bytes in, messages of one direction out."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[M]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def messages(self, data: bytes) -> Iterator[M]:
        """The messages that are whole now. Raises ProtocolError for what is none."""
        self._buffer += data
        while len(self._buffer) >= HEADER:
            length = int.from_bytes(self._buffer[:HEADER], "big")
            if length > limits.FRAME:
                raise ProtocolError(f"a frame of {length} bytes is too long")
            if len(self._buffer) < HEADER + length:
                return
            content = bytes(self._buffer[HEADER : HEADER + length])
            del self._buffer[: HEADER + length]
            try:
                yield self._decoder.decode(content)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise ProtocolError(f"not a message: {error}") from error
