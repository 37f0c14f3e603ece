"""Lists of what is revoked: what they revoke, who may sign them, and that no reader is led back to an older state."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec
import pytest

from rjs import limits
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.names import RjsName, Role
from rjs.identity.peers import identify
from rjs.identity.proofs import sign_statement
from rjs.identity.revocation import (
    PURPOSE,
    Revocations,
    RevocationStatement,
    Revoked,
    SignedRevocations,
    StaleRevocationsError,
    What,
    check_entry,
    check_fresh,
    check_succession,
    read_revocations,
    sign_revocations,
    with_entries,
)
from rjs.identity.testing import Organisation

CS = RjsName(Role.CS, "c" * 32)


def member(when: float = 1e9, name: RjsName = CS) -> Revoked:
    return Revoked(What.MEMBER, name.uri(), when, "stolen")


def signer(digit: str = "d", when: float = 1e9) -> Revoked:
    return Revoked(What.SIGNER, digit * 64, when)


def forged(
    organisation: Organisation,
    signed: SignedRevocations,
    change: Callable[[RevocationStatement], RevocationStatement],
    by: Identity | None = None,
) -> SignedRevocations:
    """The list changed, and signed again by whoever has the record key, or by another."""
    said = change(msgspec.msgpack.decode(signed.statement, type=RevocationStatement))
    statement = msgspec.msgpack.encode(said)
    key = (by or organisation.record).key
    return msgspec.structs.replace(
        signed, statement=statement, signature=sign_statement(key, PURPOSE, statement)
    )


def refused(signed: SignedRevocations, organisation: Organisation) -> str:
    with pytest.raises(IdentityError) as error:
        read_revocations(signed, organisation.root)
    return error.value.code.removeprefix("identity.")


@pytest.fixture
def listed(organisation: Organisation, now: dt.datetime) -> Revocations:
    return sign_revocations(organisation.record, 7, (member(now.timestamp()), signer()), now)


def test_a_list_is_read_as_it_was_signed(organisation: Organisation, listed: Revocations) -> None:
    """What arrives is what was said."""
    read = read_revocations(listed.signed, organisation.root)
    assert read.said == listed.said and read.number == 7 and read.is_same(listed)
    assert read.signer("d" * 64) == signer() and read.signer("e" * 64) is None
    assert "rjs://cs/cccc" in member().sentence() and "2001-09-09 01:46:40Z (stolen)" in member().sentence()


def test_a_member_is_revoked_with_all_that_was_certified_before(
    organisation: Organisation, now: dt.datetime
) -> None:
    """Its tokens, fresh and expired, and its unused invitations; invited anew, the same account counts again."""
    before, after = (organisation.member(Role.USER, "ada", now=now + dt.timedelta(hours=h)) for h in (0, 2))
    other = organisation.member(Role.USER, "bob")
    old_invitation = organisation.invitation(Role.USER, "ada")
    entry = member((now + dt.timedelta(hours=1)).timestamp(), RjsName(Role.USER, "ada"))
    found = sign_revocations(organisation.record, 1, [entry], now)
    assert found.peer(identify(before.chain, organisation.root)) == entry
    late = identify(before.chain, organisation.root, now + dt.timedelta(days=3))
    assert late.name.role is Role.EXPIRED and found.peer(late) == entry
    assert found.peer(identify(old_invitation.identity.chain, organisation.root)) == entry
    assert found.peer(identify(after.chain, organisation.root)) is None
    assert found.peer(identify(other.chain, organisation.root)) is None
    assert found.member(RjsName(Role.USER, "ada")) == entry


def test_a_certificate_is_revoked_alone(organisation: Organisation, now: dt.datetime) -> None:
    """Another certificate of the same member counts."""
    first, second = (organisation.member(Role.CS, "c" * 32) for _ in range(2))
    entry = Revoked(What.CERTIFICATE, serial_of(first.chain[0]), 1e9)
    found = sign_revocations(organisation.record, 1, [entry], now)
    assert found.peer(identify(first.chain, organisation.root)) == entry
    assert found.peer(identify(second.chain, organisation.root)) is None


def test_only_the_record_key_of_this_cluster_signs_lists(
    organisation: Organisation, listed: Revocations, now: dt.datetime
) -> None:
    """Neither the token intermediate's, nor any member's, nor another organisation's list is believed."""
    stranger = Organisation(now)
    assert refused(sign_revocations(stranger.record, 8, (), now).signed, organisation) == "other_root"
    for other in (
        organisation.intermediate,
        organisation.enrolment,
        organisation.member(Role.LUS),
        organisation.signing(),
    ):
        assert refused(sign_revocations(other, 8, (), now).signed, organisation) == "kind"
        assert (
            refused(forged(organisation, listed.signed, lambda said: said, by=other), organisation) == "proof"
        )
    elsewhere = forged(
        organisation, listed.signed, lambda said: msgspec.structs.replace(said, cluster="0" * 16)
    )
    assert refused(elsewhere, organisation) == "other_cluster"


def test_no_byte_can_be_changed_on_the_way(organisation: Organisation, listed: Revocations) -> None:
    """A LUS that alters a list, an entry of it or its number, has none."""
    said, signed = listed.signed.statement, listed.signed
    for place in range(0, len(said), 7):
        altered = said[:place] + bytes([said[place] ^ 1]) + said[place + 1 :]
        assert refused(msgspec.structs.replace(signed, statement=altered), organisation) == "proof"
    assert refused(msgspec.structs.replace(signed, signature=b""), organisation) == "proof"
    assert refused(msgspec.structs.replace(signed, chain=()), organisation) == "chain_length"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda said: msgspec.structs.replace(said, until=said.issued + 30 * 86400), "revocations"),
        (lambda said: msgspec.structs.replace(said, until=said.issued - 1), "revocations"),
        (lambda said: msgspec.structs.replace(said, issued=1e9, until=1e9 + 60), "not_yet_valid"),
        (lambda said: msgspec.structs.replace(said, issued=9e9, until=9e9 + 60), "expired"),
        (lambda said: msgspec.structs.replace(said, number=0), "revocations"),
        (lambda said: msgspec.structs.replace(said, issued=float("nan")), "revocations"),
        (lambda said: msgspec.structs.replace(said, entries=(signer(), signer(when=2e9))), "revocations"),
        (lambda said: msgspec.structs.replace(said, entries=(Revoked(What.SIGNER, "D" * 64, 1),)), "revocations"),
        (lambda said: msgspec.structs.replace(said, entries=tuple([signer()] * 5000)), "revocations"),
    ],
)  # fmt: skip
def test_a_list_out_of_bounds_is_refused_whoever_signed_it(
    organisation: Organisation, listed: Revocations, change: Callable[[RevocationStatement], RevocationStatement],
    code: str,
) -> None:  # fmt: skip
    """No list is gone by for ever, or signed by a certificate that was not valid then, or beyond the caps."""
    assert refused(forged(organisation, listed.signed, change), organisation) == code


@pytest.mark.parametrize(
    "entry",
    [
        Revoked(What.MEMBER, "rjs://ws/" + "a" * 32, 1),
        Revoked(What.MEMBER, "rjs://job/1", 1),
        Revoked(What.MEMBER, "cs/" + "a" * 32, 1),
        Revoked(What.CERTIFICATE, "0abc", 1),
        Revoked(What.CERTIFICATE, "", 1),
        Revoked(What.CERTIFICATE, "ab\n", 1),
        Revoked(What.SIGNER, "a" * 63, 1),
        Revoked(What.SIGNER, "a" * 64, 1, "two\nlines"),
    ],
)
def test_an_entry_has_its_exact_form(entry: Revoked) -> None:
    """What is written otherwise would revoke nothing, and is refused instead."""
    with pytest.raises(IdentityError):
        check_entry(entry)


def test_the_fullest_list_fits(organisation: Organisation, now: dt.datetime) -> None:
    """As many entries as are allowed, of the longest kind; one more, or longer reasons than fit, are refused."""
    digits = (f"{number:064x}" for number in range(limits.REVOKED))
    full = tuple(Revoked(What.SIGNER, each, 1e9, "a stolen key, in short") for each in digits)
    read = read_revocations(sign_revocations(organisation.record, 1, full, now).signed, organisation.root)
    assert read.covers(full) and len(msgspec.msgpack.encode(read.signed)) < limits.FRAME - limits.KIB
    for beyond in ((*full, signer()), [msgspec.structs.replace(each, reason="é" * 100) for each in full]):
        with pytest.raises(IdentityError, match="revocations_full"):
            sign_revocations(organisation.record, 1, beyond, now)


def test_nothing_is_taken_back(organisation: Organisation, listed: Revocations, now: dt.datetime) -> None:
    """A lower or equal number is refused, and a higher one that lacks an entry, or has an earlier time for it."""
    sign = lambda number, entries: sign_revocations(organisation.record, number, entries, now)  # noqa: E731
    entries = listed.said.entries
    check_succession(listed, sign(8, entries), now)
    check_succession(listed, sign(90, (*entries, signer("e"))), now)
    check_succession(listed, sign(8, (member(now.timestamp() + 5), signer())), now)
    for wrong in (sign(6, entries), sign(7, (*entries, signer("e"))), sign(8, entries[:1]), sign(8, ()),
                  sign(8, (entries[0], signer(when=1e9 - 1)))):  # fmt: skip
        with pytest.raises(IdentityError, match="revocations_rolled_back"):
            check_succession(listed, wrong, now)


def test_lists_are_put_together(listed: Revocations) -> None:
    """Each entry once, the later one of two."""
    together = with_entries(listed.said.entries, (signer(when=2e9), signer("e"), member(1.0)))
    assert together == (listed.said.entries[0], signer(when=2e9), signer("e"))


def test_a_withheld_list_goes_stale(listed: Revocations, now: dt.datetime) -> None:
    """By a list older than a day, and by none at all, nothing starts; the reason says what to do."""
    check_fresh(listed, now)
    check_fresh(listed, now + dt.timedelta(hours=23))
    for held, late in ((listed, dt.timedelta(hours=25)), (None, dt.timedelta(0))):
        with pytest.raises(StaleRevocationsError, match="web server") as error:
            check_fresh(held, now + late)
        assert error.value.code == "revocations-stale"


def test_a_list_of_a_clock_that_ran_ahead_goes_stale(listed: Revocations, now: dt.datetime) -> None:
    """Or whoever keeps the later ones back would have it counted as new until that date."""
    check_fresh(listed, now - dt.timedelta(hours=23))
    with pytest.raises(StaleRevocationsError, match="the clock here says"):
        check_fresh(listed, now - dt.timedelta(hours=25))
