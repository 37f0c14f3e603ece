"""Which other CAs a cluster accepts, and which account a certificate of theirs means: a statement of the operator.

It is made in the operator's folder and signed with a one-time key that the organisation's root certified for that
alone, so no web server can write one. Statements are numbered and never roll back; a new one replaces the one before
whole, so what it leaves out is withdrawn. Nothing is guessed: a certificate means the one account that a table lists
it for, or that a stated rule makes of its one e-mail address, or none. Pure: values in, values out.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

import attrs
import msgspec
from cryptography import x509

from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.foreign import Usage, emails_of, foreign_path, read_foreign_chain
from rjs.identity.invitation import serial_of
from rjs.identity.keys import our_public_key
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import chain_der, check_chain, read_chain
from rjs.identity.profiles import Kind, subject_text
from rjs.identity.proofs import check_statement, read_statement, sign_statement
from rjs.identity.renewal import Der
from rjs.limits import (
    ACCEPTANCE_BYTES,
    ACCEPTED_CAS,
    ACCEPTED_LISTINGS,
    ACCEPTED_REVOKED,
    CHAIN_LENGTH,
    FOREIGN_CERTIFICATE,
)

PURPOSE = "rjs-accepted-cas-1"

_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SERIAL = re.compile(r"0|[1-9a-f][0-9a-f]{0,39}")
_ADDRESS = 320  # characters, RFC 3696
_SUBJECT = 1024


class By(enum.StrEnum):
    """What of a certificate a table lists: its whole subject, or its one e-mail address."""

    SUBJECT = "subject"
    EMAIL = "email"


class Listing(msgspec.Struct, frozen=True, array_like=True):
    """One line of a table: whose certificate it is that has this subject (RFC 4514) or this e-mail address."""

    account: str
    by: By
    what: Annotated[str, msgspec.Meta(max_length=_SUBJECT)]


class AcceptedCa(msgspec.Struct, frozen=True, kw_only=True):
    """One CA. ``accounts`` is its table; ``domain``, unless empty, the rule: LOCAL@DOMAIN is the account LOCAL.

    ``revoked`` are serial numbers, in hex, of certificates that this CA itself issued and has revoked.
    """

    certificate: Annotated[bytes, msgspec.Meta(max_length=FOREIGN_CERTIFICATE)]
    usage: Usage = Usage.CLIENT
    accounts: Annotated[tuple[Listing, ...], msgspec.Meta(max_length=ACCEPTED_LISTINGS)] = ()
    domain: Annotated[str, msgspec.Meta(max_length=253)] = ""
    revoked: Annotated[tuple[str, ...], msgspec.Meta(max_length=ACCEPTED_REVOKED)] = ()


class SignedAcceptance(msgspec.Struct, frozen=True):
    """A statement as it travels. ``statement`` is an AcceptanceStatement in msgpack, signed with the key of
    ``chain``, which is that of an acceptance certificate, DER, leaf first."""

    statement: Annotated[bytes, msgspec.Meta(max_length=ACCEPTANCE_BYTES)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    chain: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


class AcceptanceStatement(msgspec.Struct, frozen=True):
    """What is signed: the cluster, the statement's number, and every CA that is accepted from now on."""

    cluster: str
    number: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    cas: Annotated[tuple[AcceptedCa, ...], msgspec.Meta(max_length=ACCEPTED_CAS)] = ()


@attrs.frozen
class Meant:
    """The account that a certificate means, by the CA at the end of ``path`` (leaf first), and whether a table listed
    it; else the rule made it."""

    account: str
    listed: bool
    path: tuple[x509.Certificate, ...]

    @property
    def name(self) -> RjsName:
        """Who its holder becomes: never more than a user."""
        return RjsName(Role.USER, self.account)


@attrs.frozen(eq=False)
class _Judge:
    """One CA of a statement, parsed."""

    ca: x509.Certificate
    said: AcceptedCa
    subjects: dict[x509.Name, str]
    emails: dict[str, str]

    def path(self, chain: Sequence[x509.Certificate], now: dt.datetime) -> tuple[x509.Certificate, ...]:
        path = foreign_path(chain, self.ca, self.said.usage, now)
        if serial_of(path[-2]) in self.said.revoked:
            raise IdentityError("revoked", f"{subject_text(path[-2])} was revoked by {subject_text(self.ca)}")
        return path

    def accounts(self, leaf: x509.Certificate, emails: list[str]) -> set[tuple[str, bool]]:
        found = {(self.subjects[leaf.subject], True)} if leaf.subject in self.subjects else set()
        if len(emails) != 1:
            return found
        local, _, domain = emails[0].rpartition("@")
        if listed := self.emails.get(f"{local}@{domain.lower()}"):
            found.add((listed, True))
        elif self.said.domain and domain.lower() == self.said.domain and _ACCOUNT.fullmatch(local):
            found.add((local, False))
        return found


@attrs.frozen(eq=False)
class Acceptance:
    """A statement that was judged. Made by ``read_acceptance`` and ``sign_acceptance``."""

    signed: SignedAcceptance = attrs.field(repr=False)
    said: AcceptanceStatement = attrs.field(repr=False)
    until: dt.datetime
    _judges: tuple[_Judge, ...] = attrs.field(repr=False)
    _listed: frozenset[str] = attrs.field(init=False, repr=False)

    @_listed.default
    def _all_listed(self) -> frozenset[str]:
        return frozenset(each.account for judge in self._judges for each in judge.said.accounts)

    @property
    def number(self) -> int:
        """Statements of a cluster have rising numbers."""
        return self.said.number

    @property
    def authorities(self) -> list[tuple[x509.Certificate, AcceptedCa]]:
        """Every accepted CA's certificate, with what is said of it."""
        return [(judge.ca, judge.said) for judge in self._judges]

    def path(self, chain: Sequence[x509.Certificate], now: dt.datetime) -> tuple[x509.Certificate, ...]:
        """The path of this chain to a CA that is accepted at ``now``. Raises IdentityError."""
        return self._paths(chain, now)[0][1]

    def meant(self, chain: Sequence[x509.Certificate], now: dt.datetime) -> Meant:
        """The one account that the first certificate of ``chain`` means at ``now``.

        1. It leads to an accepted CA, which has not revoked it.
        2. Tables and rules give exactly one account, by its subject or by its one e-mail address.
        3. An account that a rule makes is in no table: whoever is listed is nobody else too.

        Raises IdentityError.
        """
        paths = self._paths(chain, now)  # 1
        leaf, emails = chain[0], emails_of(chain[0])
        found = {each for judge, _ in paths for each in judge.accounts(leaf, emails)}  # 2
        if len({account for account, _ in found}) != 1:
            raise self._no_account(leaf, emails, sorted({account for account, _ in found}))
        account, listed = max(found, key=lambda each: each[1])
        if not listed and account in self._listed:
            raise IdentityError("account", f"the account {account} is listed for another certificate")  # 3
        return Meant(account, listed, paths[0][1])

    def _paths(
        self, chain: Sequence[x509.Certificate], now: dt.datetime
    ) -> list[tuple[_Judge, tuple[x509.Certificate, ...]]]:
        if now > self.until:
            raise IdentityError(
                "acceptance_ended",
                f"what the operator said of other CAs counted until {self.until:%Y-%m-%d}; the operator says it "
                f"anew: rjs ca accept, then rjs ws accept",
            )
        found, why = [], None
        issuers = {certificate.issuer for certificate in chain}
        for judge in self._judges:
            if judge.ca.subject in issuers:  # cheap: a stranger costs no signature
                try:
                    found.append((judge, judge.path(chain, now)))
                except IdentityError as error:
                    if error.code == "identity.revoked":
                        raise
                    why = error
        if not found:
            raise why or IdentityError(
                "other_root", f"{subject_text(chain[0])} does not lead to a CA that is accepted here"
            )
        return found

    def _no_account(self, leaf: x509.Certificate, emails: list[str], accounts: list[str]) -> IdentityError:
        if accounts:
            return IdentityError(
                "account", f"{subject_text(leaf)} means several accounts: {', '.join(accounts)}"
            )
        mail = (
            f"e-mail {emails[0]}"
            if len(emails) == 1
            else f"{len(emails)} e-mail addresses, where one would count"
        )
        return IdentityError(
            "account",
            f"no account is stated for {subject_text(leaf)}, {mail}; the operator can list it: rjs ca accept "
            f"CADIR CA.pem --accounts FILE",
        )


def sign_acceptance(identity: Identity, number: int, cas: Iterable[AcceptedCa]) -> Acceptance:
    """A new statement, by the holder of an acceptance certificate. Raises IdentityError for an unclear one."""
    said = AcceptanceStatement(cluster_of(identity.root), number, tuple(cas))
    statement = msgspec.msgpack.encode(said)
    signature = sign_statement(identity.key, PURPOSE, statement)
    return read_acceptance(SignedAcceptance(statement, signature, chain_der(identity.chain)), identity.root)


def read_acceptance(signed: SignedAcceptance, root: x509.Certificate) -> Acceptance:
    """Judge a statement, whoever brought it.

    1. The chain is an acceptance certificate's, under ``root``.
    2. Its key signed the statement.
    3. The statement has its form, is within its caps, and is for this cluster.
    4. Every CA is there once; every listing has its exact form, and none is there twice; no two rules share a domain.

    Raises IdentityError. Whether it is newer than another is for ``check_acceptance_succession``; that its
    certificate is valid is judged whenever somebody comes by it.
    """
    chain = read_chain(signed.chain)
    kind = check_chain(chain, root, now=None)  # 1
    if kind is not Kind.ACCEPTANCE:
        raise IdentityError(
            "kind", f"CAs are accepted with a key for that alone, not with that of a {kind.value}"
        )
    check_statement(our_public_key(chain[0]), PURPOSE, signed.statement, signed.signature)  # 2
    said = read_statement(signed.statement, AcceptanceStatement, "acceptance", "statement")  # 3
    if said.cluster != cluster_of(root):
        raise IdentityError("other_cluster", f"the statement is of cluster {said.cluster}")
    judges = tuple(map(_judge, said.cas))  # 4
    _check_distinct("CA", [each.certificate for each in said.cas])
    _check_distinct("domain", [each.domain for each in said.cas if each.domain])
    return Acceptance(signed, said, chain[0].not_valid_after_utc, judges)


def check_acceptance_succession(held: Acceptance | None, offered: Acceptance) -> None:
    """Refuse ``offered`` in the place of ``held`` unless it is newer, or the same. Raises IdentityError."""
    if held is None or offered.number > held.number or offered.signed.statement == held.signed.statement:
        return
    raise IdentityError(
        "acceptance_rolled_back",
        f"statement {offered.number} is not newer than statement {held.number}, which is gone by here; make it anew "
        f"with rjs ca accept",
    )


def check_listing(listing: Listing) -> None:
    """Refuse a listing that is not of its exact form. Raises IdentityError."""
    if not _ACCOUNT.fullmatch(listing.account):
        raise IdentityError(
            "name", f"{listing.account!r} is no account: a certificate makes users and nobody else"
        )
    if listing.by is By.EMAIL:
        local, _, domain = listing.what.rpartition("@")
        if not local or "@" in local or not listing.what.isascii() or len(listing.what) > _ADDRESS:
            raise IdentityError("email", f"{listing.what!r} is no e-mail address")
        check_domain(domain)
    else:
        _subject(listing.what)


def check_domain(domain: str) -> None:
    """Refuse what is no domain in lower case. Raises IdentityError."""
    if not _DOMAIN.fullmatch(domain):
        raise IdentityError("email", f"{domain!r} is no domain; write it in lower case")


def _subject(text: str) -> x509.Name:
    try:
        name = x509.Name.from_rfc4514_string(text)
    except ValueError as error:
        raise IdentityError("subject", f"{text!r} is no subject in the form of RFC 4514: {error}") from error
    if not name.rdns or name.rfc4514_string() != text:
        raise IdentityError("subject", f"write the subject {text!r} as {name.rfc4514_string()!r}")
    return name


def _judge(said: AcceptedCa) -> _Judge:
    (ca,) = read_foreign_chain([said.certificate])
    if said.domain:
        check_domain(said.domain)
    for each in said.accounts:
        check_listing(each)
    for serial in said.revoked:
        if not _SERIAL.fullmatch(serial):
            raise IdentityError("serial", f"{serial!r} is no serial number in hex digits")
    subjects = [(_subject(each.what), each.account) for each in said.accounts if each.by is By.SUBJECT]
    emails = [(each.what, each.account) for each in said.accounts if each.by is By.EMAIL]
    _check_distinct("subject", [subject for subject, _ in subjects])
    _check_distinct("e-mail address", [email for email, _ in emails])
    return _Judge(ca, said, dict(subjects), dict(emails))


def _check_distinct(what: str, found: Sequence[object]) -> None:
    if len(set(found)) != len(found):
        raise IdentityError("acceptance", f"the statement names a {what} twice")
