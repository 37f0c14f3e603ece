"""What is revoked: one signed, numbered list for a cluster, and the rules by which every reader judges it.

The web server's authority signs lists with its record key. Whoever carries one can change no byte of it, and can
withhold it only until the list before is stale. Entries are added and never taken back, so no reader can be led to
an older state: neither by a lower number nor by a list with a higher one in which an entry is missing, as a restored
backup would make it. What a *member* entry revokes is all that was certified up to its time: invited anew by the
operator, the same account counts again. Pure: values in, values out.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterable
from typing import Annotated

import attrs
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.errors import RefusedError
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.keys import Chain, our_public_key
from rjs.identity.names import INVITED, RjsName, Role
from rjs.identity.paths import check_chain, check_periods, read_chain
from rjs.identity.peers import PeerIdentity
from rjs.identity.profiles import Kind
from rjs.identity.proofs import check_statement, sign_statement
from rjs.identity.renewal import Der
from rjs.limits import (
    CHAIN_LENGTH,
    CLOCK_SKEW,
    REVOCATION_REASON,
    REVOCATIONS_BYTES,
    REVOCATIONS_VALID,
    REVOKED,
)

PURPOSE = "rjs-revocations-1"

_DIGITS = re.compile(r"[1-9a-f][0-9a-f]{0,39}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Time = Annotated[float, msgspec.Meta(ge=0, le=1e11)]


class What(enum.StrEnum):
    """What an entry revokes: a certificate of ours, by serial number; a member, by its name; a signer, by its key."""

    CERTIFICATE = "certificate"
    MEMBER = "member"
    SIGNER = "signer"


class Revoked(msgspec.Struct, frozen=True, array_like=True):
    """One entry. ``id`` is a serial number or an SPKI digest in lower-case hex digits, or ``rjs://<role>/<id>``;
    ``when`` is Unix time."""

    what: What
    id: Annotated[str, msgspec.Meta(max_length=64)]
    when: Time
    reason: Annotated[str, msgspec.Meta(max_length=REVOCATION_REASON)] = ""

    @property
    def key(self) -> tuple[What, str]:
        """What is revoked, whenever and why ever."""
        return self.what, self.id

    def sentence(self) -> str:
        """The entry in words."""
        since = dt.datetime.fromtimestamp(self.when, dt.UTC)
        whom = self.id if self.what is What.MEMBER else f"{self.what} {self.id[:16]}"
        why = f" ({self.reason})" if self.reason else ""
        return f"{whom} was revoked at {since:%Y-%m-%d %H:%M:%S}Z{why}"


class SignedRevocations(msgspec.Struct, frozen=True):
    """A list as it travels. ``statement`` is a RevocationStatement in msgpack, signed with the key of ``chain``,
    which is that of a record key, DER, leaf first."""

    statement: Annotated[bytes, msgspec.Meta(max_length=REVOCATIONS_BYTES)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    chain: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


class RevocationStatement(msgspec.Struct, frozen=True):
    """What is signed: the cluster, the list's number, when it was issued, until when it is gone by (Unix times)."""

    cluster: str
    number: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    issued: Time
    until: Time
    entries: Annotated[tuple[Revoked, ...], msgspec.Meta(max_length=REVOKED)] = ()


class RevokedError(RefusedError):
    """Who calls, signs or answers here was revoked."""

    def __init__(self, revoked: Revoked, remedy: str = "the operator can invite anew: rjs ca invite") -> None:
        super().__init__("revoked", f"{revoked.sentence()}; {remedy}")


class StaleRevocationsError(RefusedError):
    """Nothing new may start by a list this old, or by none."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "revocations-stale",
            f"{why}, so nothing new starts here; a newer one comes from the web server by way of the lookup server: "
            f"see that both run and reach each other, and that the clocks are right",
        )


@attrs.frozen(eq=False)
class Revocations:
    """A list that was judged. Made by ``read_revocations`` and ``sign_revocations``."""

    signed: SignedRevocations = attrs.field(repr=False)
    said: RevocationStatement
    _entries: dict[tuple[What, str], Revoked] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_entries", {each.key: each for each in self.said.entries})

    @property
    def number(self) -> int:
        """Lists of a cluster have rising numbers."""
        return self.said.number

    @property
    def until(self) -> dt.datetime:
        """After this it is stale."""
        return dt.datetime.fromtimestamp(self.said.until, dt.UTC)

    def is_same(self, other: Revocations) -> bool:
        """Whether both say the same, to the byte."""
        return self.signed.statement == other.signed.statement

    def covers(self, entries: Iterable[Revoked]) -> bool:
        """Whether every one of ``entries`` is in it, as late or later."""
        return all(
            (mine := self._entries.get(each.key)) is not None and mine.when >= each.when for each in entries
        )

    def signer(self, spki: str) -> Revoked | None:
        """The entry of this signing key, or of this key of a signing CA."""
        return self._entries.get((What.SIGNER, spki))

    def member(self, name: RjsName, certified: float = 0.0) -> Revoked | None:
        """The entry that revokes what was certified to this member at ``certified`` (Unix time), if it does."""
        entry = self._entries.get((What.MEMBER, name.uri()))
        return entry if entry is not None and certified <= entry.when else None

    def certificates(self, chain: Chain) -> Revoked | None:
        """The entry of the first certificate of ``chain`` that was revoked by its serial number."""
        found = (self._entries.get((What.CERTIFICATE, serial_of(each))) for each in chain)
        return next((entry for entry in found if entry is not None), None)

    def answer(self, cs: str, chain: Chain = (), at: float | None = None) -> Revoked | None:
        """The entry that revokes an answer of this compute server, whose answer key has this chain; where ``at`` is
        given (Unix time), one that was made by then."""
        for entry in (self.member(RjsName(Role.CS, cs)), self.certificates(chain)):
            if entry is not None and (at is None or entry.when <= at):
                return entry
        return None

    def caller(self, chain: Chain, name: RjsName) -> Revoked | None:
        """The entry that revokes this chain of a token certificate or an invitation, which is for ``name``."""
        issued = chain[0].not_valid_before_utc.timestamp() + CLOCK_SKEW
        return self.member(name, issued) or self.certificates(chain)

    def peer(self, peer: PeerIdentity) -> Revoked | None:
        """The entry that revokes who is at the other end; an invitation is revoked with whom it invites."""
        uri = peer.certified.uri().replace("rjs://invitation/", "rjs://", 1)
        return self.caller(peer.chain, RjsName.parse(uri))


def sign_revocations(
    record: Identity, number: int, entries: Iterable[Revoked], now: dt.datetime
) -> Revocations:
    """A new list, by the holder of a record key. Raises IdentityError beyond the caps."""
    issued = now.timestamp()
    said = RevocationStatement(
        cluster_of(record.root), number, issued, issued + REVOCATIONS_VALID, tuple(entries)
    )
    statement = msgspec.msgpack.encode(said)
    if len(said.entries) > REVOKED or len(statement) > REVOCATIONS_BYTES:
        raise IdentityError(
            "revocations_full", f"a list holds {REVOKED} entries and {REVOCATIONS_BYTES} bytes"
        )
    signature = sign_statement(record.key, PURPOSE, statement)
    chain = tuple(each.public_bytes(Encoding.DER) for each in record.chain)
    return Revocations(SignedRevocations(statement, signature, chain), said)


def read_revocations(signed: SignedRevocations, root: x509.Certificate) -> Revocations:
    """Judge a list, whoever brought it.

    1. The chain is a record certificate's, under ``root``.
    2. Its key signed the statement.
    3. The statement has the form of a list and is within its caps.
    4. It is for this cluster, and is to be gone by for no longer than a list may.
    5. The certificate was valid when it was issued.
    6. Every entry has its exact form, and none is there twice.

    Raises IdentityError. Whether it is newer than another, and whether it is stale, is for ``check_succession`` and
    ``check_fresh``.
    """
    chain = read_chain(signed.chain)
    kind = check_chain(chain, root, now=None)  # 1
    if kind is not Kind.RECORD:
        raise IdentityError(
            "kind", f"what is revoked is signed with a record key, not with that of a {kind.value}"
        )
    check_statement(our_public_key(chain[0]), PURPOSE, signed.statement, signed.signature)  # 2
    said = _read(signed.statement)  # 3
    if said.cluster != cluster_of(root):  # 4
        raise IdentityError("other_cluster", f"the list is of cluster {said.cluster}")
    if not 0 <= said.until - said.issued <= REVOCATIONS_VALID + 1:
        raise IdentityError("revocations", "a list is gone by for a day and no longer")
    check_periods(chain, dt.datetime.fromtimestamp(said.issued, dt.UTC))  # 5
    for each in said.entries:  # 6
        check_entry(each)
    if len({each.key for each in said.entries}) < len(said.entries):
        raise IdentityError("revocations", "the list has an entry twice")
    return Revocations(signed, said)


def _read(statement: bytes) -> RevocationStatement:
    try:
        return msgspec.msgpack.decode(statement, type=RevocationStatement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise IdentityError("revocations", f"the list cannot be read: {error}") from error


def check_entry(entry: Revoked) -> None:
    """Refuse an entry whose ``id`` has not the exact form of what it revokes. Raises IdentityError."""
    if not entry.reason.isprintable() or len(entry.reason) > REVOCATION_REASON:
        raise IdentityError(
            "revocations", f"a reason is one line of at most {REVOCATION_REASON} printable characters"
        )
    if entry.what is What.MEMBER:
        if RjsName.parse(entry.id).role not in INVITED:
            raise IdentityError("name", f"{entry.id} is no member that was invited, and cannot be revoked")
    elif not {What.CERTIFICATE: _DIGITS, What.SIGNER: _DIGEST}[entry.what].fullmatch(entry.id):
        raise IdentityError(
            "revocations",
            f"{entry.id!r} is no {entry.what}: a certificate is named by its serial number, a signer by the SHA-256 "
            f"of its key, each in hex digits",
        )


def check_succession(held: Revocations, offered: Revocations) -> None:
    """Refuse ``offered`` in the place of ``held`` unless it is newer and takes nothing back. Raises IdentityError."""
    if offered.number <= held.number:
        raise IdentityError(
            "revocations_rolled_back",
            f"list {offered.number} is not newer than list {held.number}, which is gone by here",
        )
    if not offered.covers(held.said.entries):
        raise IdentityError(
            "revocations_rolled_back",
            f"list {offered.number} leaves out what list {held.number} revokes: was the web server restored from a "
            f"backup? It is told what is missing",
        )


def check_fresh(held: Revocations | None, now: dt.datetime) -> None:
    """Refuse to start anything by no list, or a stale one. Raises StaleRevocationsError."""
    if held is None:
        raise StaleRevocationsError("no list of what is revoked has come yet")
    if now > held.until:
        raise StaleRevocationsError(
            f"the list of what is revoked, number {held.number}, was good until {held.until:%Y-%m-%d %H:%M:%S}Z"
        )


def with_entries(held: Iterable[Revoked], added: Iterable[Revoked]) -> tuple[Revoked, ...]:
    """All entries of both; of two for the same, the later one."""
    found: dict[tuple[What, str], Revoked] = {}
    for each in (*held, *added):
        known = found.get(each.key)
        if known is None or known.when < each.when:
            found[each.key] = each
    return tuple(found.values())
