"""Attack: sign certificates with the key of one's own, perfectly valid, leaf certificate."""

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

URIS = {
    Kind.TOKEN: f"rjs://ws/{'4' * 32}",
    Kind.ANSWER: f"rjs://answer/{'4' * 32}",
    Kind.SIGNING: "rjs://signer/eve",
    Kind.CS_INVITATION: f"rjs://invitation/cs/{'4' * 32}?expires=4000000000",
}


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


def test_a_member_is_no_authority(organisation: Organisation) -> None:
    """A certificate below a token certificate is refused during the handshake."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    forged = organisation.forge(Kind.TOKEN, organisation.member(Role.CS), URIS[Kind.TOKEN])
    door = server_context(organisation.member(Role.WS), frozenset(Role))
    server, client = meet(reactor, door, client_context(forged, Role.WS))
    assert server.refusal().code.startswith("identity.")
    assert server.peer is None and client.peer is None


@pytest.mark.parametrize("kind", list(URIS))
def test_no_leaf_issues_anything(organisation: Organisation, kind: Kind) -> None:
    """Below a token, an answer key or a signing key there is nothing that counts, of any kind."""
    for leaf in (
        organisation.member(Role.CS),
        organisation.answer(organisation.invitation(Role.CS)),
        organisation.signing(),
    ):
        with pytest.raises(IdentityError, match=r"identity\.(issuer|chain_length)"):
            check_chain(organisation.forge(kind, leaf, URIS[kind]).chain, organisation.root, organisation.now)
