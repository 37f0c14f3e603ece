"""Attack: with one's own invitation, whose key may certify, become somebody that the operator did not invite."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives import serialization
from twisted.internet.base import ReactorBase

from rjs.identity.enrolment import check_enrolment, signed_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.keys import new_key
from rjs.identity.names import Role
from rjs.identity.peers import check_answer_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation, meet
from rjs.identity.tls import client_context, server_context

OTHER = "3" * 32


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.mark.parametrize("role", [Role.CS, Role.LUS, Role.USER])
def test_an_invitation_issues_no_tokens(organisation: Organisation, role: Role) -> None:
    """A token that an invitation's key signed opens no door, not even the one for that role."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    forged = organisation.forge(Kind.TOKEN, organisation.invitation(role).identity, f"rjs://lus/{OTHER}")
    door = server_context(organisation.member(Role.WS), {Role.LUS})
    server, client = meet(reactor, door, client_context(forged, Role.WS))
    assert server.refusal().code == "identity.issuer"
    assert server.peer is None and client.peer is None


def test_a_user_makes_no_answer_key(organisation: Organisation) -> None:
    """Only a compute server's invitation certifies an answer key."""
    invitation = organisation.invitation(Role.USER)
    forged = organisation.forge(Kind.ANSWER, invitation.identity, f"rjs://answer/{OTHER}")
    with pytest.raises(IdentityError, match="counts only from a compute server's invitation"):
        check_answer_chain(forged.chain, organisation.root, organisation.now)


def test_a_compute_server_answers_for_itself_only(organisation: Organisation) -> None:
    """An answer certificate for another compute server's id is refused, at enrolment and for ever after."""
    invitation = organisation.invitation(Role.CS)
    forged = organisation.forge(Kind.ANSWER, invitation.identity, f"rjs://answer/{OTHER}")
    with pytest.raises(IdentityError, match=r"identity\.other_name"):
        check_answer_chain(forged.chain, organisation.root, organisation.now)
    request = signed_enrolment(
        invitation.identity.key,
        request_der(make_request(new_key(), invitation.subject.uri(), "x")),
        forged.chain[0].public_bytes(serialization.Encoding.DER),
    )
    with pytest.raises(IdentityError, match=r"identity\.other_name"):
        check_enrolment(request, invitation.identity.chain, organisation.root, organisation.now)


def test_an_invitation_invites_nobody_else(organisation: Organisation) -> None:
    """An invitation made below an invitation does not count: the operator's is the only hand that invites."""
    uri = f"rjs://invitation/admin/eve?expires={int(organisation.now.timestamp()) + 3600}"
    forged = organisation.forge(Kind.INVITATION, organisation.invitation(Role.USER).identity, uri)
    request = signed_enrolment(forged.key, request_der(make_request(new_key(), "rjs://admin/eve", "x")))
    with pytest.raises(IdentityError, match=r"identity\.issuer"):
        check_enrolment(request, forged.chain, organisation.root, organisation.now)


def test_an_invitation_is_of_the_kind_of_its_role(organisation: Organisation) -> None:
    """A user's invitation whose key could certify answers is refused, even from the enrolment CA."""
    uri = f"rjs://invitation/user/ada?expires={int(organisation.now.timestamp()) + 3600}"
    forged = organisation.forge(Kind.CS_INVITATION, organisation.enrolment, uri)
    request = signed_enrolment(forged.key, request_der(make_request(new_key(), "rjs://user/ada", "x")))
    with pytest.raises(IdentityError, match=r"identity\.name"):
        check_enrolment(request, forged.chain, organisation.root, organisation.now)
