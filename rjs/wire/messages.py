"""Every message of the RJS protocol, typed, capped, and with the roles that may send it.

A message is a msgpack map whose key ``t`` names its type, hierarchically (``lus.task.want``). Fields are only
ever added, with defaults. ``rid`` > 0 asks for a reply; the reply carries the same number in ``re``. Which role
may send what is declared here, beside the message, in ``callers``; ``access.decide`` judges every call by it.
`docs/protocol.md` describes the same for a stranger.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, get_args

import msgspec
from msgspec import Meta, Struct

from rjs import limits
from rjs.attempts import AttemptId, Fence, HexDigest, Index, Number
from rjs.errors import ProtocolError
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.names import Role
from rjs.identity.renewal import RenewalRequest
from rjs.identity.revocation import SignedRevocations, What
from rjs.needs import Needs, Offer

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


# --- values that messages carry -------------------------------------------------------------------------


class JarPart(Struct, frozen=True, array_like=True):
    """A further JAR of a job, as a part of its file: the JAR's name, and its ``size`` in bytes."""

    name: FileName
    size: Count


class JobBrief(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a LUS and a CS need to know of a job before they hold its bundle.

    The job's file is the bundle, then the bytes of each of ``jars`` in their order; ``size`` in bytes and ``sha256``
    are of all of it. ``sealed``: its answers can be read by its recipients alone.
    """

    job: HexDigest
    name: Name
    signer: HexDigest
    tasks: Index
    size: Count
    sha256: HexDigest
    needs: Needs
    sealed: bool = False
    jars: Annotated[tuple[JarPart, ...], Meta(max_length=limits.MAX_JARS)] = ()


class LeasedTask(Struct, frozen=True, array_like=True):
    """One task lease of a grant. ``avoid`` are the CSs where an earlier attempt failed."""

    lease: Number
    task: Index
    avoid: Annotated[tuple[HexId, ...], Meta(max_length=16)] = ()


class TaskLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What status says of one task. Seconds are the age of the state at the WS."""

    task: Index
    state: Code
    cs: Name = ""
    attempts: Index = 0
    detail: Tail = ""
    seconds: Seconds = 0.0


class JobLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What status says of one job; the counts add up to ``tasks``. ``accepted`` is Unix time."""

    job: HexDigest
    name: Name
    user: Name
    state: Code
    tasks: Index
    waiting: Index = 0
    running: Index = 0
    committed: Index = 0
    failed: Index = 0
    cancelled: Index = 0
    accepted: Seconds = 0.0
    reason: Sentence = ""


# --- the session itself ---------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First frame, both ways. (``boot_count``, ``dial``) orders sessions between the same two servers."""

    callers: ClassVar = EVERYONE
    protocol: Number
    release: Code
    cluster: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
    name: Annotated[str, Meta(max_length=256)]
    boot: HexId
    boot_count: Number = 0
    dial: Number = 0


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


# --- bulk data: pulled by the receiver in bounded chunks ------------------------------------------------


class BlobRead(Message, frozen=True, kw_only=True, tag="blob.read"):
    """Asks for up to ``length`` bytes at ``offset``. ``kind``: ``bundle`` | ``answer`` | ``upload``."""

    callers: ClassVar = SERVERS
    kind: Code
    key: Annotated[str, Meta(max_length=256)]
    offset: Count
    length: Annotated[int, Meta(ge=1, le=limits.BLOB_CHUNK)]


class BlobData(Message, frozen=True, kw_only=True, tag="blob.data"):
    """The bytes asked for; fewer than asked only at the end."""

    callers: ClassVar = EVERYONE
    data: Chunk


# --- joining --------------------------------------------------------------------------------------------


class MemberEnrol(Message, frozen=True, kw_only=True, tag="member.enrol"):
    """Turns an invitation into a member, once. The invitation's one-time key is the TLS identity."""

    callers: ClassVar = frozenset({Role.INVITATION})
    request: EnrolmentRequest


class MemberEnrolled(Message, frozen=True, kw_only=True, tag="member.enrolled"):
    """The token certificate's chain, leaf first, DER."""

    callers: ClassVar = frozenset({Role.WS})
    chain: Annotated[tuple[bytes, ...], Meta(max_length=4)]


class MemberRenew(Message, frozen=True, kw_only=True, tag="member.renew"):
    """Asks for the next token certificate; a LUS carries a CS's. All that an expired certificate may call."""

    callers: ClassVar = frozenset({Role.LUS, Role.CS, Role.EXPIRED}) | PEOPLE
    request: RenewalRequest


class MemberRenewed(Message, frozen=True, kw_only=True, tag="member.renewed"):
    """The renewed token certificate's chain, leaf first, DER."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    chain: Annotated[tuple[bytes, ...], Meta(max_length=4)]


# --- people ---------------------------------------------------------------------------------------------


class JobSubmit(Message, frozen=True, kw_only=True, tag="job.submit"):
    """Offers a bundle; the WS pulls it with ``blob.read`` of kind ``upload`` and this ``sha256`` as key."""

    callers: ClassVar = PEOPLE
    name: Name
    size: Count
    sha256: HexDigest


class JobAccepted(Message, frozen=True, kw_only=True, tag="job.accepted"):
    """The job is durable at the WS."""

    callers: ClassVar = frozenset({Role.WS})
    job: HexDigest
    tasks: Index


class JobList(Message, frozen=True, kw_only=True, tag="job.list"):
    """Asks for the caller's jobs (an admin's: everyone's), newest first."""

    callers: ClassVar = PEOPLE


class JobLines(Message, frozen=True, kw_only=True, tag="job.lines"):
    """The newest jobs; ``more`` says how many older ones were left out."""

    callers: ClassVar = frozenset({Role.WS})
    jobs: Annotated[tuple[JobLine, ...], Meta(max_length=1000)]
    more: Count = 0


class JobShow(Message, frozen=True, kw_only=True, tag="job.show"):
    """Asks for one job by a unique prefix of its id, and its tasks from ``first`` on."""

    callers: ClassVar = PEOPLE
    job: JobPrefix
    first: Index = 0


class JobShown(Message, frozen=True, kw_only=True, tag="job.shown"):
    """One job and up to 1,000 of its tasks."""

    callers: ClassVar = frozenset({Role.WS})
    job: JobLine
    tasks: Annotated[tuple[TaskLine, ...], Meta(max_length=1000)]


class JobCancel(Message, frozen=True, kw_only=True, tag="job.cancel"):
    """Ends every task of a job that has not ended yet."""

    callers: ClassVar = PEOPLE
    job: JobPrefix


# --- what is revoked ------------------------------------------------------------------------------------


class RevocationNumber(Message, frozen=True, kw_only=True, tag="revocation.number"):
    """The number of the list that the sender goes by, or 0, and the SHA-256 of its statement: told first of all. Who
    has a higher one tells it, and who has another one of that number."""

    callers: ClassVar = SERVERS
    number: Number
    digest: Annotated[bytes, Meta(max_length=32)] = b""


class RevocationList(Message, frozen=True, kw_only=True, tag="revocation.list"):
    """A list of what is revoked, as the web server's authority signed it; told on as soon as it is gone by."""

    callers: ClassVar = SERVERS
    list: SignedRevocations


class AdminRevoke(Message, frozen=True, kw_only=True, tag="admin.revoke"):
    """Revokes from now on: a certificate by its serial number, a member by ``rjs://<role>/<id>``, its id or its
    name, a signer by the SHA-256 of its key. Done once the list that says so is durable."""

    callers: ClassVar = frozenset({Role.ADMIN})
    what: What
    id: Name
    reason: Annotated[str, Meta(max_length=limits.REVOCATION_REASON)] = ""


# --- LUS and WS -----------------------------------------------------------------------------------------


class TaskWant(Message, frozen=True, kw_only=True, tag="lus.task.want"):
    """The WS may let this LUS hold up to ``outstanding`` task leases. ``epoch`` rises whenever a CS came or
    changed, so that what was returned as unplaceable is worth offering again."""

    callers: ClassVar = frozenset({Role.LUS})
    outstanding: Annotated[int, Meta(ge=0, le=100_000)]
    epoch: Number


class TaskGrant(Message, frozen=True, kw_only=True, tag="ws.task.grant"):
    """Task leases of one job."""

    callers: ClassVar = frozenset({Role.WS})
    generation: Number
    job: JobBrief
    tasks: Annotated[tuple[LeasedTask, ...], Meta(max_length=1000)]


class LeaseRenew(Message, frozen=True, kw_only=True, tag="lus.lease.renew"):
    """Renews the leases listed; one not listed and not above ``upto`` is given back by that."""

    callers: ClassVar = frozenset({Role.LUS})
    leases: Annotated[tuple[Number, ...], Meta(max_length=100_000)]
    upto: Number


class LeaseRenewed(Message, frozen=True, kw_only=True, tag="ws.lease.renewed"):
    """Of the leases listed in the request, those that have ended."""

    callers: ClassVar = frozenset({Role.WS})
    ended: Annotated[tuple[Number, ...], Meta(max_length=100_000)] = ()


class LeaseEnded(Message, frozen=True, kw_only=True, tag="ws.lease.ended"):
    """The task ended otherwise (cancelled, answered elsewhere): stop its attempts."""

    callers: ClassVar = frozenset({Role.WS})
    leases: Annotated[tuple[Number, ...], Meta(max_length=10_000)]
    code: Code
    sentence: Sentence


class TaskReturn(Message, frozen=True, kw_only=True, tag="lus.task.return"):
    """Gives leases of one job back unstarted, with the reason that no CS takes them now."""

    callers: ClassVar = frozenset({Role.LUS})
    job: HexDigest
    leases: Annotated[tuple[Number, ...], Meta(max_length=10_000)]
    epoch: Number
    code: Code
    sentence: Sentence


class TaskPlaced(Message, frozen=True, kw_only=True, tag="lus.task.placed"):
    """Told before ``cs.task.start`` and repeated on a new session: only what was placed may answer."""

    callers: ClassVar = frozenset({Role.LUS})
    attempt: AttemptId
    cs: HexId
    cs_name: Name


# --- CS, relayed by the LUS to the WS -------------------------------------------------------------------


class AttemptEnded(Message, frozen=True, kw_only=True, tag="attempt.ended"):
    """An attempt ended without an answer. ``kind``: ``failed`` (counts as an attempt) | ``vanished`` (the
    machine went) | ``returned`` (the CS gave it back; counts for nothing)."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    kind: Code
    detail: Sentence
    tail: Tail = ""


class AnswerOffer(Message, frozen=True, kw_only=True, tag="answer.offer"):
    """A signed answer waits at the CS; a small one travels along in ``data``."""

    callers: ClassVar = frozenset({Role.CS, Role.LUS})
    attempt: AttemptId
    cs: HexId
    size: Count
    sha256: HexDigest
    data: Inline = b""


class AnswerVerdict(Message, frozen=True, kw_only=True, tag="answer.verdict"):
    """``committed`` | ``duplicate`` | ``refused`` are final, and the CS may forget; ``retry`` is not."""

    callers: ClassVar = frozenset({Role.WS, Role.LUS})
    verdict: Code
    code: Code = ""
    sentence: Sentence = ""


# --- LUS and CS -----------------------------------------------------------------------------------------


class CsState(Message, frozen=True, kw_only=True, tag="lus.cs.state"):
    """Registers a CS and keeps the registration true: sent whole at session start and at each change. ``offer`` is
    what one task gets there."""

    callers: ClassVar = frozenset({Role.CS})
    name: Name
    mflops: Annotated[float, Meta(ge=0, le=1e12)]
    offer: Offer
    trust_epoch: Number
    busy: bool
    running: Annotated[tuple[AttemptId, ...], Meta(max_length=64)] = ()
    holding: Annotated[tuple[AttemptId, ...], Meta(max_length=10_000)] = ()


class TaskStart(Message, frozen=True, kw_only=True, tag="cs.task.start"):
    """Leases a task to a CS. The reply comes once the bundle is verified, trusted and its process started."""

    callers: ClassVar = frozenset({Role.LUS})
    job: JobBrief
    task: Index
    fence: Fence


class TaskStop(Message, frozen=True, kw_only=True, tag="cs.task.stop"):
    """The attempt is no longer wanted; its process ends and no answer is kept."""

    callers: ClassVar = frozenset({Role.LUS})
    attempt: AttemptId
    sentence: Sentence


ANY = (
    Hello | Ping | Pong | Bye | Unsupported | Refused | Done | BlobRead | BlobData
    | MemberEnrol | MemberEnrolled | MemberRenew | MemberRenewed
    | JobSubmit | JobAccepted | JobList | JobLines | JobShow | JobShown | JobCancel
    | RevocationNumber | RevocationList | AdminRevoke
    | TaskWant | TaskGrant | LeaseRenew | LeaseRenewed | LeaseEnded | TaskReturn | TaskPlaced
    | AttemptEnded | AnswerOffer | AnswerVerdict | CsState | TaskStart | TaskStop
)  # fmt: skip
"""The union that the decoder accepts."""

TYPES: tuple[type[Message], ...] = get_args(ANY)
TAGS = {str(kind.__struct_config__.tag): kind for kind in TYPES}

REPLIES = (Unsupported, Refused, Done)
"""What answers any request, and is itself never answered: two sides would answer each other for ever."""


class _Envelope(Struct):
    t: Code
    rid: Number = 0


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(ANY)
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
