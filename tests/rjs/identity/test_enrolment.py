from __future__ import annotations

import contextlib
import datetime as dt

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs.identity.certificates import Identity
from rjs.identity.enrolment import CheckedEnrolment, EnrolmentRequest, check_enrolment, signed_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation
from rjs.identity.keys import new_key, spki_digest
from rjs.identity.names import Role, signer_uri
from rjs.identity.peers import check_answer_chain
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation
from rjs.limits import INVITATION_LIFETIME


def der(identity: Identity) -> bytes:
    return identity.chain[0].public_bytes(serialization.Encoding.DER)


def request_for(organisation: Organisation, invitation: Invitation) -> EnrolmentRequest:
    subject = invitation.subject
    signing = make_request(new_key(), signer_uri(subject.id), "x") if subject.role is Role.USER else None
    return signed_enrolment(
        invitation.identity.key,
        token_request=request_der(make_request(new_key(), subject.uri(), "x")),
        answer_certificate=der(organisation.answer(invitation)) if subject.role is Role.CS else None,
        signing_request=None if signing is None else request_der(signing),
    )


def check(organisation: Organisation, invitation: Invitation, request: EnrolmentRequest) -> CheckedEnrolment:
    return check_enrolment(request, invitation.identity.chain, organisation.root, organisation.now)


def signed(invitation: Invitation, request: EnrolmentRequest) -> EnrolmentRequest:
    """The same, signed by the invitation's holder, so that what refuses it is not the signature."""
    parts = (request.token_request, request.answer_certificate, request.signing_request)
    return signed_enrolment(invitation.identity.key, *parts)


def refused(organisation: Organisation, invitation: Invitation, request: EnrolmentRequest) -> str:
    with pytest.raises(IdentityError) as error:
        check(organisation, invitation, signed(invitation, request))
    return error.value.code.removeprefix("identity.")


@pytest.mark.parametrize("role", [Role.LUS, Role.CS, Role.USER, Role.ADMIN])
def test_a_joiner_becomes_whom_the_invitation_names(organisation: Organisation, role: Role) -> None:
    """An honest request yields the invitation's name and serial, and the digests of exactly the keys enrolled."""
    invitation = organisation.invitation(role)
    checked = check(organisation, invitation, request_for(organisation, invitation))
    assert (checked.name, checked.serial) == (invitation.subject, invitation.serial)
    assert checked.token_spki == spki_digest(checked.token_public_key)
    assert (checked.answer_spki is not None) == (role is Role.CS)
    assert (checked.signing_spki is not None) == (role is Role.USER)
    if checked.answer_certificate is not None:
        chain = (checked.answer_certificate, *invitation.identity.chain)
        assert check_answer_chain(chain, organisation.root, organisation.now) == invitation.subject.id
        assert checked.answer_spki == spki_digest(chain[0])


def test_a_request_survives_the_wire(organisation: Organisation) -> None:
    """A request encodes and decodes as msgpack, so that a session can carry it."""
    request = request_for(organisation, organisation.invitation(Role.CS))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=EnrolmentRequest) == request


def test_an_expired_invitation_enrols_nobody(organisation: Organisation) -> None:
    """The expiry signed into the invitation binds, although its certificate is valid for years."""
    invitation = organisation.invitation(Role.LUS)
    request = request_for(organisation, invitation)
    late = organisation.now + dt.timedelta(seconds=INVITATION_LIFETIME)
    with pytest.raises(IdentityError, match="invitation_expired"):
        check_enrolment(request, invitation.identity.chain, organisation.root, late)


def test_a_member_is_not_an_invited_one(organisation: Organisation) -> None:
    """A caller with a token certificate cannot enrol anything, itself included."""
    member = organisation.member(Role.CS)
    request = request_for(organisation, organisation.invitation(Role.CS))
    with pytest.raises(IdentityError, match="joining needs an invitation"):
        check_enrolment(request, member.chain, organisation.root, organisation.now)


def test_a_request_for_somebody_else_is_refused(organisation: Organisation) -> None:
    """Token, answer and signing key are all for the invitation's own name."""
    ours, other = organisation.invitation(Role.CS), organisation.invitation(Role.CS)
    good, strange = request_for(organisation, ours), request_for(organisation, other)
    replace = msgspec.structs.replace
    assert refused(organisation, ours, replace(good, token_request=strange.token_request)) == "other_name"
    assert (
        refused(organisation, ours, replace(good, answer_certificate=strange.answer_certificate))
        == "signature"
    )
    user = organisation.invitation(Role.USER)
    bob = request_der(make_request(new_key(), signer_uri("bob"), "x"))
    assert (
        refused(organisation, user, replace(request_for(organisation, user), signing_request=bob))
        == "other_name"
    )


def test_each_role_brings_exactly_its_keys(organisation: Organisation) -> None:
    """A part that a role lacks or has no use for is refused by name."""
    replace = msgspec.structs.replace
    for role in (Role.LUS, Role.CS, Role.USER, Role.ADMIN):
        invitation = organisation.invitation(role)
        good = request_for(organisation, invitation)
        extra = b"x" if good.answer_certificate is None else None
        assert refused(organisation, invitation, replace(good, answer_certificate=extra)) == "request"
        extra = b"x" if good.signing_request is None else None
        assert refused(organisation, invitation, replace(good, signing_request=extra)) == "request"


def test_a_key_is_proved_by_its_holder(organisation: Organisation) -> None:
    """A request whose own signature does not hold is refused: nobody enrols a key of somebody else."""
    invitation = organisation.invitation(Role.LUS)
    request = request_for(organisation, invitation)
    changed = request.token_request[:-1] + bytes([request.token_request[-1] ^ 1])
    assert refused(organisation, invitation, EnrolmentRequest(changed, b"")) == "request"


@pytest.mark.parametrize("proof", ["none", "another's", "for other parts"])
def test_only_the_invitations_holder_asks(organisation: Organisation, proof: str) -> None:
    """Who has only seen an invitation's certificate cannot ask in its name, nor change what its holder asked for."""
    invitation, other = organisation.invitation(Role.USER), organisation.invitation(Role.USER)
    request = request_for(organisation, invitation)
    proofs = {
        "none": b"",
        "another's": signed(other, request).proof,
        "for other parts": request_for(organisation, invitation).proof,
    }
    with pytest.raises(IdentityError, match=r"identity\.proof"):
        check(organisation, invitation, msgspec.structs.replace(request, proof=proofs[proof]))


def test_no_key_serves_two_purposes(organisation: Organisation) -> None:
    """Signing and calling with one key, or calling with the invitation's, is refused."""
    invitation = organisation.invitation(Role.USER)
    key = new_key()
    token = request_der(make_request(key, invitation.subject.uri(), "x"))
    signing = request_der(make_request(key, signer_uri("ada"), "x"))
    assert (
        refused(organisation, invitation, EnrolmentRequest(token, b"", signing_request=signing))
        == "shared_key"
    )
    lus = organisation.invitation(Role.LUS)
    token = request_der(make_request(lus.identity.key, lus.subject.uri(), "x"))
    assert refused(organisation, lus, EnrolmentRequest(token, b"")) == "shared_key"


@pytest.fixture(scope="module")
def cs_request(organisation: Organisation, cs_invitation: Invitation) -> EnrolmentRequest:
    return request_for(organisation, cs_invitation)


@settings(deadline=None)  # a busy machine is no failure
@given(data=st.data())
def test_damaged_requests_raise_nothing_else(
    organisation: Organisation, cs_invitation: Invitation, cs_request: EnrolmentRequest, data: st.DataObject
) -> None:
    """A request with any bytes changed in any part is refused or was not changed in meaning."""
    request = cs_request
    part = data.draw(st.sampled_from(["token_request", "answer_certificate"]))
    changed = bytearray(getattr(request, part))
    position = data.draw(st.integers(0, 4095)) % len(changed)
    changed[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(IdentityError):
        check(organisation, cs_invitation, msgspec.structs.replace(request, **{part: bytes(changed)}))
