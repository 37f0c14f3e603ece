"""The register: entries are added and never lost, numbers only rise, and who could not be missed is not revoked."""

from __future__ import annotations

import datetime as dt

import pytest

from rjs.errors import RefusedError
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.keys import new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.renewal import ask_renewal
from rjs.identity.revocation import Revocations, Revoked, What, read_revocations, sign_revocations
from rjs.identity.testing import Organisation
from rjs.limits import CLOCK_SKEW, RENEWAL_GRACE, REVOCATION_LAPSE, REVOKED, REVOKED_UNSEEN
from ws.authority.log import History, IssuedToken
from ws.authority.messages import Renew
from ws.authority.rates import Rates
from ws.authority.register import Register
from ws.authority.rules import Authority

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
CS = RjsName(Role.CS, "c" * 32)


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(NOW)


@pytest.fixture
def register(organisation: Organisation) -> Register:
    return Register(organisation.record, organisation.intermediate.chain)


def signer(digit: str, when: float = NOW.timestamp()) -> Revoked:
    return Revoked(What.SIGNER, digit * 64, when, "lost")


def keep(register: Register, newest: Revocations) -> Revocations:
    """As the process does once the list is durable; what every reader would find."""
    register.newest = newest
    return read_revocations(newest.signed, register.record.root)


def test_entries_add_up_and_numbers_rise(register: Register) -> None:
    """Each list has everything before it; the first has number 1."""
    numbers = [keep(register, register.renew(None, NOW)).number]
    for digit in "ab":
        numbers.append(keep(register, register.revoke(signer(digit), NOW)).number)
    last = keep(register, register.renew(None, NOW + dt.timedelta(minutes=10)))
    assert [*numbers, last.number] == [1, 2, 3, 4]
    assert last.covers([signer("a"), signer("b")]) and last.said.issued > NOW.timestamp()


def test_the_same_question_again_is_the_same_list(register: Register) -> None:
    """A question repeated after a crash changes nothing; a new one for the same member counts from then on."""
    first = keep(register, register.revoke(signer("a"), NOW))
    assert register.revoke(signer("a"), NOW + dt.timedelta(seconds=9)) is register.newest
    later = NOW + dt.timedelta(hours=1)
    second = keep(register, register.revoke(signer("a", later.timestamp()), later))
    assert second.number == first.number + 1 and len(second.said.entries) == 1
    assert second.said.entries[0].when == later.timestamp()


def test_after_a_restored_backup_the_readers_give_it_back(
    register: Register, organisation: Organisation
) -> None:
    """Whatever a reader kept is in the next list, whose number is above both."""
    keep(register, register.revoke(signer("a"), NOW))
    ahead = sign_revocations(organisation.record, 40, [signer("b")], NOW)
    merged = keep(register, register.renew(ahead.signed, NOW))
    assert merged.number == 41 and merged.covers([signer("a"), signer("b")])
    behind = sign_revocations(organisation.record, 2, [signer("c")], NOW)
    assert keep(register, register.renew(behind.signed, NOW)).covers([signer(each) for each in "abc"])
    with pytest.raises(IdentityError):
        register.renew(sign_revocations(organisation.intermediate, 50, [signer("d")], NOW).signed, NOW)


def test_the_cluster_itself_is_not_revoked(register: Register, organisation: Organisation) -> None:
    """Neither its web server nor the certificates above all tokens; nor anything that is no entry."""
    for certificate in organisation.intermediate.chain:
        with pytest.raises(IdentityError, match="own_certificate"):
            register.revoke(Revoked(What.CERTIFICATE, serial_of(certificate), 1.0), NOW)
    for wrong in (Revoked(What.MEMBER, "rjs://ws/" + "a" * 32, 1.0), Revoked(What.SIGNER, "x", 1.0)):
        with pytest.raises(IdentityError):
            register.revoke(wrong, NOW)
    assert register.newest is None


def test_only_a_record_key_keeps_a_register(organisation: Organisation) -> None:
    """Another key's lists would be refused by every reader: it does not begin."""
    with pytest.raises(IdentityError, match="record"):
        Register(organisation.intermediate, ())


@pytest.mark.parametrize("what", [What.MEMBER, What.CERTIFICATE])
def test_the_authority_renews_nothing_that_is_revoked(
    organisation: Organisation, register: Register, what: What
) -> None:
    """Whatever the web server says: the authority judges by its own list."""
    authority = Authority(organisation.tokens, RjsName(Role.WS, "a" * 32), "x", 3600, History(), Rates(0.0))
    member = organisation.member(Role.CS, CS.id)
    request = ask_renewal(member, new_key(), NOW)
    whom = CS.uri() if what is What.MEMBER else serial_of(member.chain[0])
    authority.revocations = register.revoke(Revoked(what, whom, NOW.timestamp(), "stolen"), NOW)
    with pytest.raises(RefusedError, match="stolen") as error:
        authority.decide(Renew(1, request), NOW, 0.0)
    assert error.value.code == "revoked"
    other = ask_renewal(organisation.member(Role.CS, "d" * 32), new_key(), NOW)
    assert authority.decide(Renew(2, other), NOW, 0.0).chain


def test_what_cannot_be_renewed_any_more_lapses(organisation: Organisation) -> None:
    """The register knows when, whatever the web server says; in time the entry is gone, and asked for again by a web
    server that knows it, it stays gone."""
    end = NOW.timestamp() + 3600
    register = Register(
        organisation.record,
        organisation.intermediate.chain,
        token_end=lambda serial: end if serial == "b1" else 0.0,
    )
    keep(register, register.revoke(Revoked(What.CERTIFICATE, "b1", NOW.timestamp(), "lost", 1.0), NOW))
    keep(register, register.revoke(Revoked(What.CERTIFICATE, "b2", NOW.timestamp(), "lost", 1.0), NOW))
    first = keep(register, register.revoke(signer("a"), NOW))
    assert [each.lapses for each in first.said.entries] == [end + RENEWAL_GRACE, 0.0, 0.0]
    assert register.revoke(Revoked(What.CERTIFICATE, "b1", NOW.timestamp()), NOW) is register.newest
    later = NOW + dt.timedelta(seconds=3600 + RENEWAL_GRACE + REVOCATION_LAPSE)
    assert len(keep(register, register.renew(None, later - dt.timedelta(seconds=1))).said.entries) == 3
    last = keep(register, register.renew(first.signed, later))
    assert [each.id for each in last.said.entries] == [
        "b2",
        "a" * 64,
    ] and last.said.floor == end + RENEWAL_GRACE
    assert last.covers(first.said.entries)
    assert len(keep(register, register.renew(first.signed, later)).said.entries) == 2


def test_a_token_of_a_clock_that_ran_ahead_does_not_come_alive(organisation: Organisation) -> None:
    """What the authority dated later than the revocation is revoked too, by serial number: not yet valid today, it
    would be good tomorrow."""
    ahead = NOW + dt.timedelta(hours=20)
    tokens, lines = organisation.tokens, []
    for when in (NOW - dt.timedelta(hours=1), ahead):
        chain = tokens.issue(new_key().public_key(), CS, "x", when, 3600)
        leaf = chain[0]
        lines.append((chain, IssuedToken(
            when=when, kind="renewal", name=CS.uri(), serial=serial_of(leaf), spki="", until=leaf.not_valid_after_utc,
            evidence="",
        )))  # fmt: skip
    register = Register(organisation.record, (), issued=lambda name: [line for _, line in lines])
    newest = keep(register, register.revoke(Revoked(What.MEMBER, CS.uri(), NOW.timestamp(), "stolen"), NOW))
    for chain, _ in lines:
        entry = newest.caller(chain, CS)
        assert entry is not None and entry.reason == "stolen"
    assert [each.lapses for each in newest.said.entries] == [
        0.0,
        lines[1][1].until.timestamp() + RENEWAL_GRACE,
    ]


def test_nobody_is_revoked_until_far_in_the_future(register: Register) -> None:
    """Else a broken-into web server would see to it that a member can never be invited again."""
    entry = Revoked(What.MEMBER, CS.uri(), 9e10)
    (listed,) = keep(register, register.revoke(entry, NOW)).said.entries
    assert listed.when == NOW.timestamp() + CLOCK_SKEW


def test_names_that_were_made_up_do_not_fill_the_list(organisation: Organisation) -> None:
    """A member that was certified here, and a token certificate, can be revoked all the same."""
    line = IssuedToken(
        when=NOW, kind="enrolment", name=CS.uri(), serial="a1", spki="", until=NOW, evidence=""
    )
    full = [Revoked(What.SIGNER, f"{number:064x}", 1.0) for number in range(REVOKED_UNSEEN)]
    register = Register(
        organisation.record, (), sign_revocations(organisation.record, 1, full, NOW),
        token_end=lambda serial: NOW.timestamp() if serial == "a1" else 0.0,
        issued=lambda name: [line] if name == CS.uri() else [],
    )  # fmt: skip
    made_up = [
        signer("a"), Revoked(What.CERTIFICATE, "b2", 1.0), Revoked(What.MEMBER, f"rjs://cs/{'d' * 32}", 1.0),
    ]  # fmt: skip
    for entry in made_up:
        with pytest.raises(IdentityError, match="revocations_full"):
            register.revoke(entry, NOW)
    keep(register, register.revoke(Revoked(What.MEMBER, CS.uri(), 1.0), NOW))
    assert (
        len(keep(register, register.revoke(Revoked(What.CERTIFICATE, "a1", 1.0), NOW)).said.entries) < REVOKED
    )
