"""Attack: renew what is not one's own, into what one is not, with what is old, or change what one carries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.keys import new_key
from rjs.identity.names import Role
from rjs.identity.proofs import sign_statement
from rjs.identity.renewal import PURPOSE, RenewalRequest, RenewalStatement, ask_renewal, check_renewal
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation
from rjs.limits import CLOCK_SKEW, RENEWAL_GRACE, TOKEN_LIFETIME

replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.fixture(scope="module")
def cs(organisation: Organisation) -> Identity:
    return organisation.member(Role.CS)


def refused(organisation: Organisation, request: RenewalRequest, later: float = 0.0) -> str:
    with pytest.raises(IdentityError) as error:
        check_renewal(request, organisation.root, organisation.now + dt.timedelta(seconds=later))
    return error.value.code.removeprefix("identity.")


def saying(who: Identity, statement: RenewalStatement) -> RenewalRequest:
    """Whatever statement, signed by ``who``."""
    encoded = msgspec.msgpack.encode(statement)
    chain = tuple(each.public_bytes(Encoding.DER) for each in who.chain)
    return RenewalRequest(encoded, sign_statement(who.key, PURPOSE, encoded), chain)


def statement(organisation: Organisation, uri: str) -> RenewalStatement:
    request = request_der(make_request(new_key(), uri, "x"))
    return RenewalStatement(request, b"n" * 16, organisation.now.timestamp())


def test_with_anothers_key(organisation: Organisation, cs: Identity) -> None:
    """Who has seen a member's certificate, but has not its key, renews nothing of it."""
    mine = ask_renewal(organisation.member(Role.CS), new_key(), organisation.now)
    theirs = ask_renewal(cs, new_key(), organisation.now)
    assert refused(organisation, replace(mine, chain=theirs.chain)) == "proof"


def test_for_another_role_or_name(organisation: Organisation, cs: Identity) -> None:
    """A member becomes by renewal only what it is."""
    for uri in ("rjs://admin/eve", f"rjs://ws/{'0' * 32}", f"rjs://cs/{'0' * 32}"):
        assert refused(organisation, saying(cs, statement(organisation, uri))) == "other_name"


@pytest.mark.parametrize("kind", ["answer", "signing", "invitation"])
def test_with_a_certificate_for_something_else(organisation: Organisation, kind: str) -> None:
    """Only a token certificate's key renews a token certificate."""
    invitation = organisation.invitation(Role.CS)
    who = {
        "answer": organisation.answer(invitation),
        "signing": organisation.signing(),
        "invitation": invitation.identity,
    }[kind]
    said = statement(organisation, invitation.subject.uri())
    assert refused(organisation, saying(who, said)) == "kind"


def test_what_somebody_kept(organisation: Organisation, cs: Identity) -> None:
    """A request is good while it is made; later or from a clock that runs wild it is told both times."""
    for apart in (CLOCK_SKEW + 1, -CLOCK_SKEW - 1):
        request = ask_renewal(cs, new_key(), organisation.now + dt.timedelta(seconds=apart))
        with pytest.raises(IdentityError, match=r"your clock says .* the server's .*Z: set"):
            check_renewal(request, organisation.root, organisation.now)
    said = statement(organisation, "rjs://user/ada")
    for made in (float("nan"), float("inf"), 1e300):
        assert refused(organisation, saying(cs, replace(said, made=made))) == "clock"


def test_beyond_the_grace(organisation: Organisation, cs: Identity) -> None:
    """An old certificate opens nothing for ever: its holder is told which commands make it a member again."""
    late = organisation.now + dt.timedelta(seconds=TOKEN_LIFETIME + RENEWAL_GRACE + 1)
    request = ask_renewal(cs, new_key(), late)
    with pytest.raises(IdentityError, match=r"rjs ca invite CADIR .* --role cs, and you run rjs join"):
        check_renewal(request, organisation.root, late)


def test_a_key_is_not_kept(organisation: Organisation, cs: Identity) -> None:
    """A stolen token key is not carried on into the next certificate by mistake."""
    assert refused(organisation, ask_renewal(cs, cs.key, organisation.now)) == "shared_key"


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _flip(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


@pytest.mark.parametrize("change", [_cut, _flip])
@pytest.mark.parametrize("part", ["statement", "signature"])
def test_changed_on_the_way(
    organisation: Organisation, cs: Identity, part: str, change: Callable[[bytes], bytes]
) -> None:
    """A lookup server that changes what it carries gets nothing certified."""
    request = ask_renewal(cs, new_key(), organisation.now)
    changed = replace(request, **{part: change(getattr(request, part))})
    assert refused(organisation, changed) == "proof"


def test_the_key_exchanged_on_the_way(organisation: Organisation, cs: Identity) -> None:
    """A lookup server cannot put a key of its own into a compute server's request."""
    request = ask_renewal(cs, new_key(), organisation.now)
    uri = check_renewal(request, organisation.root, organisation.now).name.uri()
    own = msgspec.msgpack.encode(statement(organisation, uri))
    assert refused(organisation, replace(request, statement=own)) == "proof"
    signed = sign_statement(organisation.member(Role.LUS).key, PURPOSE, own)
    assert refused(organisation, replace(request, statement=own, signature=signed)) == "proof"
