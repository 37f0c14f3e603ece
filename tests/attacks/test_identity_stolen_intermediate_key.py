"""Attack: with a broken-into web server's token intermediate, forge answers, code or invitations."""

from __future__ import annotations

import datetime as dt

import pytest
from OpenSSL import crypto

from rjs.identity.errors import IdentityError
from rjs.identity.names import Role
from rjs.identity.paths import check_chain
from rjs.identity.peers import check_answer_chain
from rjs.identity.profiles import Kind
from rjs.identity.testing import Organisation

CS = "2" * 32
EXPIRES = 4_000_000_000


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.mark.parametrize(
    ("kind", "uri"),
    [
        (Kind.ANSWER, f"rjs://answer/{CS}"),
        (Kind.SIGNING, "rjs://signer/ada"),
        (Kind.INVITATION, f"rjs://invitation/user/ada?expires={EXPIRES}"),
        (Kind.CS_INVITATION, f"rjs://invitation/cs/{CS}?expires={EXPIRES}"),
        (Kind.ENROLMENT_CA, None),
        (Kind.TOKEN_INTERMEDIATE, None),
    ],
)
def test_the_intermediate_makes_nothing_but_tokens(
    organisation: Organisation, kind: Kind, uri: str | None
) -> None:
    """Whatever else the intermediate's key signs does not count."""
    forged = organisation.forge(kind, organisation.intermediate, uri)
    with pytest.raises(IdentityError, match=r"identity\.issuer"):
        check_chain(forged.chain, organisation.root, organisation.now)


def test_no_answer_chain_leads_through_it(organisation: Organisation) -> None:
    """An answer certificate below an invitation that the intermediate made is refused, by OpenSSL's rules too."""
    invitation = organisation.forge(
        Kind.CS_INVITATION, organisation.intermediate, f"rjs://invitation/cs/{CS}?expires={EXPIRES}"
    )
    answer = organisation.forge(Kind.ANSWER, invitation, f"rjs://answer/{CS}")
    with pytest.raises(IdentityError, match=r"identity\.issuer"):
        check_answer_chain(answer.chain, organisation.root, organisation.now)
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(organisation.root))
    leaf, *between = (crypto.X509.from_cryptography(certificate) for certificate in answer.chain[:-1])
    with pytest.raises(crypto.X509StoreContextError, match="path length constraint exceeded"):
        crypto.X509StoreContext(store, leaf, between).verify_certificate()


def test_a_token_is_no_answer_key(organisation: Organisation) -> None:
    """The key with which a compute server calls cannot sign its answers: the web server could make another."""
    with pytest.raises(IdentityError, match=r"identity\.kind"):
        check_answer_chain(organisation.member(Role.CS, CS).chain, organisation.root, organisation.now)
