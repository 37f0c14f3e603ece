from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from rjs.attempts import AttemptId, Fence
from rjs.identity.certificates import Subject, mint
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, new_key
from rjs.identity.names import Role
from rjs.identity.paths import check_chain, read_chain
from rjs.identity.profiles import PROFILES, Kind, profile_of
from rjs.identity.testing import Organisation
from rjs.limits import CLOCK_SKEW, TOKEN_LIFETIME


def refused(chain: Chain, root: x509.Certificate, now: dt.datetime | None) -> str:
    with pytest.raises(IdentityError) as error:
        check_chain(chain, root, now)
    return error.value.code.removeprefix("identity.")


def test_what_the_organisation_issues_counts(organisation: Organisation, now: dt.datetime) -> None:
    """Every kind of certificate that is issued in the ordinary way passes, as exactly that kind."""
    cs = organisation.invitation(Role.CS)
    issued = {
        Kind.ENROLMENT_CA: organisation.enrolment.chain,
        Kind.TOKEN_INTERMEDIATE: organisation.intermediate.chain,
        Kind.TOKEN: organisation.member(Role.LUS).chain,
        Kind.JOB_TOKEN: organisation.job(AttemptId("ab" * 32, 7, Fence(1, 42, 3))).chain,
        Kind.INVITATION: organisation.invitation(Role.USER).identity.chain,
        Kind.CS_INVITATION: cs.identity.chain,
        Kind.ANSWER: organisation.answer(cs).chain,
        Kind.SIGNING: organisation.signing().chain,
        Kind.ENCRYPTION: organisation.encryption().chain,
        Kind.RECORD: organisation.record.chain,
        Kind.ACCEPTANCE: organisation.acceptance.chain,
    }
    assert {kind: check_chain(chain, organisation.root, now) for kind, chain in issued.items()} == {
        kind: kind for kind in issued
    }
    assert set(issued) | {Kind.ROOT} == set(Kind)


def test_another_organisations_chain_is_refused(organisation: Organisation, now: dt.datetime) -> None:
    """A chain counts only under the root that the verifier pinned, even when the names are the same."""
    stranger = Organisation(now)
    assert refused(stranger.member(Role.LUS).chain, organisation.root, now) == "other_root"
    swapped = (*stranger.member(Role.LUS).chain[:-1], organisation.root)
    assert refused(swapped, organisation.root, now) == "signature"


def test_a_period_is_judged_at_the_time_asked_for(organisation: Organisation, now: dt.datetime) -> None:
    """A token is good from the permitted clock skew before its issue to its last second, no longer."""
    chain = organisation.member(Role.LUS).chain
    second = dt.timedelta(seconds=1)
    start, end = now - dt.timedelta(seconds=CLOCK_SKEW), now + dt.timedelta(seconds=TOKEN_LIFETIME)
    check_chain(chain, organisation.root, start)
    check_chain(chain, organisation.root, end - second)
    assert refused(chain, organisation.root, start - second) == "not_yet_valid"
    assert refused(chain, organisation.root, end + second) == "expired"


def test_a_certificate_ends_no_later_than_its_issuer(organisation: Organisation) -> None:
    """A token issued in the intermediate's last hours is cut, and none is issued after its end."""
    end = organisation.tokens.not_after
    late = organisation.member(Role.LUS, now=end - dt.timedelta(hours=1))
    assert late.chain[0].not_valid_after_utc == end
    with pytest.raises(IdentityError, match="ended on"):
        organisation.member(Role.LUS, now=end)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_kind_is_minted_by_its_issuer_only(
    organisation: Organisation, now: dt.datetime, kind: Kind
) -> None:
    """``mint`` refuses every issuer whose kind is not the one in the table."""
    cs = organisation.invitation(Role.CS)
    holders = [organisation.enrolment, organisation.intermediate, cs.identity, organisation.member(Role.LUS)]
    for holder in holders:
        issuer = holder.issuer
        if profile_of(issuer.certificate).kind is PROFILES[kind].issuer:
            continue
        with pytest.raises(IdentityError, match="is issued by"):
            mint(kind, Subject(new_key().public_key(), "x", 60, "rjs://user/ada"), issuer, now)


def test_extensions_must_be_exactly_those_of_a_kind(organisation: Organisation, now: dt.datetime) -> None:
    """One extension too many, or one criticality changed, makes a certificate of no kind."""
    issuer = organisation.intermediate
    genuine = organisation.member(Role.LUS).chain[0]
    for change in ("extra", "critical"):
        key = new_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(genuine.subject)
            .issuer_name(genuine.issuer)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(genuine.not_valid_before_utc)
            .not_valid_after(genuine.not_valid_after_utc)
        )
        for extension in genuine.extensions:
            flip = change == "critical" and isinstance(extension.value, x509.ExtendedKeyUsage)
            builder = builder.add_extension(extension.value, critical=extension.critical ^ flip)
        if change == "extra":
            builder = builder.add_extension(x509.OCSPNoCheck(), critical=False)
        chain = (builder.sign(issuer.key, hashes.SHA256()), *issuer.chain)
        assert refused(chain, organisation.root, now) == "kind"


def test_only_p256_with_sha256_counts(organisation: Organisation, now: dt.datetime) -> None:
    """A certificate for another curve, or signed with another digest, is refused even from the right issuer."""
    issuer = organisation.intermediate
    genuine = organisation.member(Role.LUS).chain[0]

    def like(
        public_key: ec.EllipticCurvePublicKey, digest: hashes.SHA256 | hashes.SHA384
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            genuine.issuer,
            genuine.subject,
            public_key,
            1,
            genuine.not_valid_before_utc,
            genuine.not_valid_after_utc,
        )
        for extension in genuine.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        return builder.sign(issuer.key, digest)

    p384 = like(ec.generate_private_key(ec.SECP384R1()).public_key(), hashes.SHA256())
    assert refused((p384, *issuer.chain), organisation.root, now) == "key_type"
    sha384 = like(new_key().public_key(), hashes.SHA384())
    assert refused((sha384, *issuer.chain), organisation.root, now) == "signature_type"


def test_a_chain_has_a_leaf_and_a_bounded_length(organisation: Organisation, now: dt.datetime) -> None:
    """The root alone, nothing at all, and a chain that is too long are refused before anything is computed."""
    root = organisation.root
    for chain in ((), (root,), (root,) * 6):
        assert refused(chain, root, now) == "chain_length"
    assert refused((root, root), root, now) == "other_root"
    for encoded in ([b"x" * 5000], [b""] * 6, [b"\x30\x03\x02\x01\x00"]):
        with pytest.raises(IdentityError, match="unreadable"):
            read_chain(encoded)
