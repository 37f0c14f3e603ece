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

from rjs.errors import RefusedError
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.keys import Chain, our_public_key
from rjs.identity.names import INVITED, RjsName, Role
from rjs.identity.paths import chain_der, check_chain, check_periods, if_wrong, read_chain
from rjs.identity.peers import PeerIdentity
from rjs.identity.profiles import Kind
from rjs.identity.proofs import check_statement, read_statement, sign_statement
from rjs.identity.renewal import Der
from rjs.limits import (
    CHAIN_LENGTH,
    CLOCK_SKEW,
    RENEWAL_GRACE,
    REVOCATION_LAPSE,
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
    ``when`` is Unix time. ``lapses``: the Unix time from which the entry says nothing any more, because a certificate
    could not even renew itself then; 0: never."""

    what: What
    id: Annotated[str, msgspec.Meta(max_length=64)]
    when: Time
    reason: Annotated[str, msgspec.Meta(max_length=REVOCATION_REASON)] = ""
    lapses: Time = 0.0

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
    """What is signed: the cluster, the list's number, when it was issued, until when it is gone by (Unix times).

    ``floor``: entries that lapsed by then may be missing, and for every reader it is later than that, whatever its
    clock says.
    """

    cluster: str
    number: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    issued: Time
    until: Time
    entries: Annotated[tuple[Revoked, ...], msgspec.Meta(max_length=REVOKED)] = ()
    floor: Time = 0.0


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
        """Whether every one of ``entries`` is in it, as late or later and for as long or longer, or has lapsed."""
        return all(self._covers(each) for each in entries)

    def _covers(self, entry: Revoked) -> bool:
        mine = self._entries.get(entry.key)
        if mine is None:
            return 0 < entry.lapses <= self.said.floor
        return mine.when >= entry.when and mine.lapses == _longer(mine.lapses, entry.lapses)

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
        return self.member(name, issued) or self.certificates(chain) or self._lapsed(chain[0])

    def _lapsed(self, leaf: x509.Certificate) -> Revoked | None:
        """An entry in the place of one that may have lapsed: a clock that was set back makes no certificate good."""
        end = leaf.not_valid_after_utc.timestamp() + RENEWAL_GRACE
        if end > self.said.floor:
            return None
        return Revoked(What.CERTIFICATE, serial_of(leaf), end, "it ended too long ago: is this clock right?")

    def peer(self, peer: PeerIdentity) -> Revoked | None:
        """The entry that revokes who is at the other end; an invitation is revoked with whom it invites."""
        uri = peer.certified.uri().replace("rjs://invitation/", "rjs://", 1)
        return self.caller(peer.chain, RjsName.parse(uri))


def sign_revocations(
    record: Identity, number: int, entries: Iterable[Revoked], now: dt.datetime, floor: float = 0.0
) -> Revocations:
    """A new list, by the holder of a record key. Raises IdentityError beyond the caps."""
    issued = now.timestamp()
    said = RevocationStatement(
        cluster_of(record.root), number, issued, issued + REVOCATIONS_VALID, tuple(entries), floor
    )
    statement = msgspec.msgpack.encode(said)
    if len(said.entries) > REVOKED or len(statement) > REVOCATIONS_BYTES:
        raise IdentityError(
            "revocations_full", f"a list holds {REVOKED} entries and {REVOCATIONS_BYTES} bytes"
        )
    signature = sign_statement(record.key, PURPOSE, statement)
    return Revocations(SignedRevocations(statement, signature, chain_der(record.chain)), said)


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
    said = read_statement(signed.statement, RevocationStatement, "revocations", "list")  # 3
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


def check_entry(entry: Revoked) -> None:
    """Refuse an entry whose ``id`` has not the exact form of what it revokes. Raises IdentityError."""
    if not entry.reason.isprintable() or len(entry.reason) > REVOCATION_REASON:
        raise IdentityError(
            "revocations", f"a reason is one line of at most {REVOCATION_REASON} printable characters"
        )
    if entry.lapses and entry.what is not What.CERTIFICATE:
        raise IdentityError("revocations", "what is revoked of a member or a signer never lapses")
    if entry.what is What.MEMBER:
        if RjsName.parse(entry.id).role not in INVITED:
            raise IdentityError("name", f"{entry.id} is no member that was invited, and cannot be revoked")
    elif not {What.CERTIFICATE: _DIGITS, What.SIGNER: _DIGEST}[entry.what].fullmatch(entry.id):
        raise IdentityError(
            "revocations",
            f"{entry.id!r} is no {entry.what}: a certificate is named by its serial number, a signer by the SHA-256 "
            f"of its key, each in hex digits",
        )


def check_floor(offered: Revocations, now: dt.datetime) -> None:
    """Refuse a list that leaves out what has not lapsed yet by our own clock. Raises IdentityError."""
    if offered.said.floor > now.timestamp() + CLOCK_SKEW:
        floor = dt.datetime.fromtimestamp(offered.said.floor, dt.UTC)
        raise IdentityError(
            "revocations_early",
            f"list {offered.number} leaves out what lapses at {floor:%Y-%m-%d %H:%M:%S}Z; {if_wrong(now)}, or the "
            f"web server's",
        )


def check_succession(held: Revocations, offered: Revocations, now: dt.datetime) -> None:
    """Refuse ``offered`` in the place of ``held`` unless it is newer and takes nothing back. Raises IdentityError.

    A floor goes back only where it was raised by a clock that ran ahead: it lies in the future.
    """
    check_floor(offered, now)
    if offered.said.floor < held.said.floor <= now.timestamp() + CLOCK_SKEW:
        raise IdentityError(
            "revocations_rolled_back",
            f"list {offered.number} forgets what list {held.number} says has lapsed",
        )
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
    """Refuse to start anything by no list, or a stale one. Raises StaleRevocationsError.

    One from a web server whose clock ran ahead would be good until then, whoever keeps later ones back.
    """
    if held is None:
        raise StaleRevocationsError("no list of what is revoked has come yet")
    issued = dt.datetime.fromtimestamp(held.said.issued, dt.UTC)
    if issued > now + dt.timedelta(seconds=REVOCATIONS_VALID):
        raise StaleRevocationsError(
            f"the list of what is revoked, number {held.number}, says that it was issued at "
            f"{issued:%Y-%m-%d %H:%M:%S}Z, and the clock here says {now:%Y-%m-%d %H:%M:%S}Z"
        )
    if now > held.until:
        raise StaleRevocationsError(
            f"the list of what is revoked, number {held.number}, was good until {held.until:%Y-%m-%d %H:%M:%S}Z"
        )


def with_entries(held: Iterable[Revoked], added: Iterable[Revoked]) -> tuple[Revoked, ...]:
    """All entries of both; of two for the same, the later one, for as long as either lasts."""
    found: dict[tuple[What, str], Revoked] = {}
    for each in (*held, *added):
        known = found.get(each.key)
        if known is not None:
            later = known if known.when >= each.when else each
            each = msgspec.structs.replace(later, lapses=_longer(known.lapses, each.lapses))
        found[each.key] = each
    return tuple(found.values())


def without_lapsed(
    entries: Iterable[Revoked], floor: float, now: dt.datetime
) -> tuple[tuple[Revoked, ...], float]:
    """The entries that still matter, and the floor that stands for the others.

    One stays for ``REVOCATION_LAPSE`` seconds longer than it need: a clock that is ahead by less drops nothing early.
    """
    kept, dropped = [], [floor if floor <= now.timestamp() + CLOCK_SKEW else 0.0]
    for each in entries:
        if each.lapses and each.lapses + REVOCATION_LAPSE <= now.timestamp():
            dropped.append(each.lapses)
        else:
            kept.append(each)
    return tuple(kept), max(dropped)


def _longer(one: float, other: float) -> float:
    """The later of two times at which something lapses; 0 is never."""
    return max(one, other) if one and other else 0.0
