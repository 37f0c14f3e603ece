from __future__ import annotations

import base64
import contextlib
import datetime as dt

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation, check_addresses
from rjs.identity.keys import new_key, spki_digest
from rjs.identity.names import SERVERS, Role
from rjs.identity.testing import Organisation
from rjs.limits import INVITATION_LIFETIME


@pytest.mark.parametrize("role", [Role.LUS, Role.CS, Role.USER, Role.ADMIN])
def test_an_invitation_survives_its_text(organisation: Organisation, role: Role) -> None:
    """What the operator made is what the joiner reads: one printable line that a terminal takes."""
    made = organisation.invitation(role)
    text = made.encode()
    assert text.isascii() and text.isprintable() and " " not in text
    assert len(text) < 3000  # a terminal's canonical line holds 4095
    read = Invitation.decode(f" {text}\n")
    assert read.encode() == text
    assert (read.name, read.ws, read.serial) == (made.name, made.ws, made.serial)
    assert spki_digest(read.identity.key) == spki_digest(made.identity.key)
    assert read.identity.root == organisation.root


def test_the_secret_is_not_shown(organisation: Organisation) -> None:
    """The representation of an invitation, as logs have it, does not contain its key."""
    invitation = organisation.invitation(Role.CS)
    assert "PrivateKey" not in repr(invitation)
    assert "PrivateKey" not in repr(invitation.identity.issuer)


def test_an_invitation_expires(organisation: Organisation, now: dt.datetime) -> None:
    """An invitation is good up to its last second and refused from then on."""
    invitation = organisation.invitation(Role.USER)
    end = now.replace(microsecond=0) + dt.timedelta(seconds=INVITATION_LIFETIME)
    invitation.check_expiry(end - dt.timedelta(seconds=1))
    with pytest.raises(IdentityError, match="ask the operator for a new one"):
        invitation.check_expiry(end)


def test_servers_get_new_ids_and_people_their_account(organisation: Organisation) -> None:
    """Two invitations as a server are two servers; two as a person are the same person."""
    for role in (Role.LUS, Role.CS, Role.USER, Role.ADMIN):
        one, two = organisation.invitation(role), organisation.invitation(role)
        assert (one.subject == two.subject) == (role not in SERVERS)
        assert one.serial != two.serial


def payload_of(invitation: Invitation) -> dict[str, object]:
    body = invitation.encode().removeprefix("rjs1-")
    decoded: dict[str, object] = msgspec.msgpack.decode(
        base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    )
    return decoded


def text_of(payload: object) -> str:
    return "rjs1-" + base64.urlsafe_b64encode(msgspec.msgpack.encode(payload)).rstrip(b"=").decode()


def test_a_field_of_a_later_release_is_ignored(organisation: Organisation) -> None:
    """Fields are only ever added, so an unknown one does not make an invitation unreadable."""
    invitation = organisation.invitation(Role.LUS)
    assert Invitation.decode(text_of({**payload_of(invitation), "later": 1})).name == invitation.name


def test_inconsistent_invitations_are_refused(organisation: Organisation, now: dt.datetime) -> None:
    """A key, chain or address that does not fit the others is refused, whoever put it there."""
    good = payload_of(organisation.invitation(Role.CS))
    stranger = payload_of(Organisation(now).invitation(Role.CS))
    chain, strange = good["chain"], stranger["chain"]
    assert isinstance(chain, list) and isinstance(strange, list)
    member = [c.public_bytes(serialization.Encoding.DER) for c in organisation.member(Role.LUS).chain]
    bad: list[dict[str, object]] = [
        {"key": stranger["key"]},
        {"key": bytes(32)},
        {"key": b"\xff" * 32},
        {"key": b"\x01"},
        {"key": "text"},
        {"chain": chain[:2]},
        {"chain": chain[:1]},
        {"chain": []},
        {"chain": [*chain[:2], strange[2]]},
        {"chain": [chain[0], *strange[1:]]},
        {"chain": [*chain, chain[2]]},
        {"chain": [b"", *chain[1:]]},
        {"chain": member},
        {"ws": []},
        {"ws": ["host:1"] * 9},
        {"ws": ["host"]},
        {"ws": "host:1"},
    ]
    Invitation.decode(text_of(good))
    for number, change in enumerate(bad):
        with pytest.raises(IdentityError):
            pytest.fail(f"case {number}: {Invitation.decode(text_of({**good, **change}))}")


def test_another_kind_of_identity_is_no_invitation(organisation: Organisation) -> None:
    """A consistent key and chain that are not an invitation's, such as a member's own, invite nobody."""
    member = organisation.member(Role.LUS)
    with pytest.raises(IdentityError, match="invites nobody"):
        Invitation.of(("host:1",), member)


@pytest.mark.parametrize(
    "text", ["", "rjs1-", "rjs2-AAAA", "rjs1-!!!!", "rjs1-A", "rjs1-" + "A" * 20000, "rjs1-Ä"]
)
def test_text_that_is_no_invitation_is_refused(text: str) -> None:
    """Wrong prefixes, alphabets and lengths are refused with a sentence about what an invitation is."""
    with pytest.raises(IdentityError, match=r"identity\.invitation: "):
        Invitation.decode(text)


@settings(deadline=None)  # a busy machine is no failure
@given(data=st.data())
def test_damage_raises_nothing_else(cs_invitation: Invitation, data: st.DataObject) -> None:
    """An invitation with any few bytes changed, lost or added, before or after base64, is no internal error."""
    text = cs_invitation.encode()
    with contextlib.suppress(IdentityError):
        Invitation.decode(damage(data, text.encode()).decode("latin-1"))
    raw = base64.urlsafe_b64decode(text.removeprefix("rjs1-") + "==")
    with contextlib.suppress(IdentityError):
        Invitation.decode("rjs1-" + base64.urlsafe_b64encode(damage(data, raw)).rstrip(b"=").decode())


def damage(data: st.DataObject, original: bytes) -> bytes:
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, 4095)) % len(changed)
        changed[position : position + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    return bytes(changed)


@pytest.mark.parametrize(
    "address", ["a:1", "a.b-c.example:65535", "10.0.0.1:9000", "[::1]:9000", "[fe80::1]:1"]
)
def test_addresses_of_hosts_are_taken(address: str) -> None:
    """Names, IPv4 and bracketed IPv6 with a port are addresses."""
    check_addresses((address,))


@pytest.mark.parametrize(
    "address",
    ["", "a", ":1", "a:", "a:0", "a:65536", "a:01", "::1:9000", "a b:1", "a:1\n", "user@a:1", "a:١"],
)
def test_other_texts_are_no_addresses(address: str) -> None:
    """Everything else is refused with the form that is wanted."""
    with pytest.raises(IdentityError, match="HOST:PORT"):
        check_addresses((address,))


def test_a_key_of_ones_own_does_not_fit(organisation: Organisation) -> None:
    """An identity is never built from a certificate and a key that do not belong together."""
    invitation = organisation.invitation(Role.CS)
    with pytest.raises(IdentityError, match="key_mismatch"):
        type(invitation.identity)(new_key(), invitation.identity.chain)
