"""Attack: with the enrolment CA's key, become a server or a person without being enrolled."""

from __future__ import annotations

import datetime as dt

import pytest
from twisted.internet.base import ReactorBase

from rjs.identity.errors import IdentityError
from rjs.identity.names import Role
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.testing import Organisation, meet
from rjs.identity.tls import client_context, server_context

LUS_URI = f"rjs://lus/{'1' * 32}"


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


def test_a_token_of_the_enrolment_ca_opens_no_door(organisation: Organisation) -> None:
    """A token certificate counts from a token intermediate only, though OpenSSL would take this one."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    forged = organisation.forge(Kind.TOKEN, organisation.enrolment, LUS_URI)
    door = server_context(organisation.member(Role.WS), frozenset(Role))
    server, client = meet(reactor, door, client_context(forged, Role.WS))
    assert server.refusal().code == "identity.issuer"
    assert "a token certificate counts only from a token intermediate" in server.refusal().sentence
    assert server.peer is None and client.peer is None


def test_an_intermediate_of_the_enrolment_ca_issues_nothing(organisation: Organisation) -> None:
    """An authority made below the enrolment CA is none, nor is anything below it."""
    authority = organisation.forge(Kind.TOKEN_INTERMEDIATE, organisation.enrolment, None)
    token = organisation.forge(Kind.TOKEN, authority, LUS_URI)
    for chain in (authority.chain, token.chain):
        with pytest.raises(IdentityError, match=r"identity\.issuer"):
            check_chain(chain, organisation.root, organisation.now)


def test_the_enrolment_ca_signs_no_answers_or_bundles_itself(organisation: Organisation) -> None:
    """Its answers must pass through an invitation, whose making the operator knows of; code never."""
    for kind, uri in ((Kind.ANSWER, f"rjs://answer/{'1' * 32}"), (Kind.SIGNING, "rjs://signer/ada")):
        forged = organisation.forge(kind, organisation.enrolment, uri)
        with pytest.raises(IdentityError, match=r"identity\.issuer"):
            check_chain(forged.chain, organisation.root, organisation.now)
