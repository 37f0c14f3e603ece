"""Every certificate that opens no door although somebody holds its key, and what it is refused for.

``WRONG`` serves both directions: ``Wrong.calling`` is the code when a client shows it, ``Wrong.serving`` when a
server does. Who makes them holds every key of the organisation, so that nothing but the one thing is wrong.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from rjs.identity.authority import EnrolmentAuthority, TokenAuthority
from rjs.identity.certificates import Identity, Issuer
from rjs.identity.keys import load_chain, load_private
from rjs.identity.names import RjsName, Role
from rjs.identity.profiles import Kind
from rjs.identity.testing import Organisation

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DAYS = dt.timedelta(days=1)


class EveryKey(Organisation):
    """The organisation whose operator's folder and web server's ``authority`` these are, all keys in one hand."""

    def __init__(self, ca: Path, authority: Path) -> None:
        self.now = dt.datetime.now(dt.UTC)
        self.root = load_chain(ca / "root.pem")[-1]
        self.root_issuer = Issuer(load_private(ca / "root.key"), self.root)
        self.enrolment = Identity(load_private(ca / "enrolment.key"), load_chain(ca / "enrolment.pem"))
        self.intermediate = Identity(
            load_private(authority / "intermediate.key"), load_chain(authority / "intermediate.pem")
        )
        self.tokens = TokenAuthority(self.intermediate.key, self.intermediate.chain)
        self.inviter = EnrolmentAuthority(self.enrolment.key, self.enrolment.chain)


@attrs.frozen
class Wrong:
    """How to make one for ``role``, and the code by which the other end refuses it."""

    make: Callable[[Organisation, Role], Identity]
    calling: str
    serving: str = attrs.field()

    @serving.default
    def _like_calling(self) -> str:
        return self.calling


def reissued(
    organisation: Organisation, role: Role, oid: x509.ObjectIdentifier, value: x509.ExtensionType | None
) -> Identity:
    """A token certificate as the stolen intermediate can make it, with one extension replaced or left out."""
    genuine, issuer = organisation.member(role), organisation.intermediate
    leaf = genuine.chain[0]
    builder = x509.CertificateBuilder(
        leaf.issuer, leaf.subject, leaf.public_key(), uuid.uuid4().int, leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )  # fmt: skip
    for extension in leaf.extensions:
        replaced = value if extension.oid == oid else extension.value
        if replaced is not None:
            builder = builder.add_extension(replaced, extension.critical)
    return Identity(genuine.key, (builder.sign(issuer.key, hashes.SHA256()), *issuer.chain))


def used_for(*usages: x509.ObjectIdentifier) -> Callable[[Organisation, Role], Identity]:
    """Other extended key usages than a token's."""
    value = x509.ExtendedKeyUsage(usages) if usages else None
    return lambda organisation, role: reissued(organisation, role, ExtensionOID.EXTENDED_KEY_USAGE, value)


def named(*names: x509.GeneralName) -> Callable[[Organisation, Role], Identity]:
    """Other names than a token's one URI."""
    value = x509.SubjectAlternativeName(names) if names else None
    return lambda organisation, role: reissued(
        organisation, role, ExtensionOID.SUBJECT_ALTERNATIVE_NAME, value
    )


def aged(days: int) -> Callable[[Organisation, Role], Identity]:
    """A token certificate made so many days ago."""
    return lambda organisation, role: organisation.member(role, now=organisation.now - days * DAYS)


def self_made(organisation: Organisation, role: Role) -> Identity:
    """A certificate that its holder signed."""
    genuine = organisation.member(role)
    leaf = genuine.chain[0]
    builder = x509.CertificateBuilder(
        leaf.subject, leaf.subject, leaf.public_key(), 7, leaf.not_valid_before_utc, leaf.not_valid_after_utc
    )
    for extension in leaf.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return Identity(genuine.key, (builder.sign(genuine.key, hashes.SHA256()), organisation.root))


def without_issuer(organisation: Organisation, role: Role) -> Identity:
    """A genuine token certificate, shown without what stands between it and the root."""
    genuine = organisation.member(role)
    return Identity(genuine.key, (genuine.chain[0], organisation.root))


def below_a_token(organisation: Organisation, role: Role) -> Identity:
    """What a member certified with its own token's key."""
    return organisation.forge(
        Kind.TOKEN, organisation.member(Role.LUS), RjsName(role, identifier(role)).uri()
    )


def below_an_invitation(organisation: Organisation, role: Role) -> Identity:
    """What the holder of an invitation certified with its one-time key."""
    invitation = organisation.invitation(Role.CS).identity
    return organisation.forge(Kind.TOKEN, invitation, RjsName(role, identifier(role)).uri())


def identifier(role: Role) -> str:
    """An id that fits the role."""
    return "ada" if role in (Role.USER, Role.ADMIN) else uuid.uuid4().hex


WRONG = {
    "another organisation": Wrong(lambda made, role: Organisation(made.now).member(role), "other_root"),
    "self-made": Wrong(self_made, "other_root"),
    "without its issuer": Wrong(without_issuer, "other_root"),
    "expired beyond the grace": Wrong(aged(40), "expired"),
    "not yet valid": Wrong(aged(-2), "not_yet_valid"),
    "for servers only": Wrong(used_for(SERVER), "usage", "kind"),
    "for clients only": Wrong(used_for(CLIENT), "name", "usage"),
    "for code": Wrong(used_for(ExtendedKeyUsageOID.CODE_SIGNING), "usage"),
    "for anything": Wrong(used_for(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), "usage"),
    "for no stated use": Wrong(used_for(), "kind"),
    "no SAN": Wrong(named(), "kind"),
    "a host's SAN": Wrong(named(x509.DNSName("lus.example")), "san"),
    "a nameless role": Wrong(named(x509.UniformResourceIdentifier("rjs://lus/")), "name"),
    "an answer certificate": Wrong(lambda made, _: made.answer(made.invitation(Role.CS)), "usage"),
    "a signing certificate": Wrong(lambda made, _: made.signing(), "usage"),
    "an encryption certificate": Wrong(lambda made, _: made.encryption(), "usage"),
    "the token intermediate": Wrong(lambda made, _: made.intermediate, "usage"),
    "the enrolment CA": Wrong(lambda made, _: made.enrolment, "usage"),
    "the root": Wrong(lambda made, _: Identity(made.root_issuer.key, (made.root, made.root)), "usage"),
    "certified by a member": Wrong(below_a_token, "tls"),
    "certified by an invitation": Wrong(below_an_invitation, "issuer", "usage"),
}


def wrong_table(direction: str) -> Collection[tuple[str, str]]:
    """Each wrong certificate with its code; ``direction`` is ``calling`` or ``serving``."""
    return [(name, getattr(wrong, direction)) for name, wrong in WRONG.items()]
