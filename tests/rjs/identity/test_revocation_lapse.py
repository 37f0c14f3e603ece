"""Entries that lapse: they leave the list where they say nothing any more, and no clock brings anything back."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.names import RjsName, Role
from rjs.identity.peers import token_name
from rjs.identity.revocation import (
    Revocations,
    Revoked,
    What,
    check_entry,
    check_floor,
    check_succession,
    read_revocations,
    sign_revocations,
    with_entries,
    without_lapsed,
)
from rjs.identity.testing import Organisation
from rjs.limits import RENEWAL_GRACE, REVOCATION_LAPSE

DAY = 86400.0


def token(serial: str, lapses: float, when: float = 1e9) -> Revoked:
    return Revoked(What.CERTIFICATE, serial, when, "stolen", lapses)


def code_of(held: Revocations, offered: Revocations, now: dt.datetime) -> str:
    with pytest.raises(IdentityError) as error:
        check_succession(held, offered, now)
    return error.value.code.removeprefix("identity.")


def test_an_entry_leaves_long_after_it_lapsed(now: dt.datetime) -> None:
    """The floor stands for it; a member, a signer, and a certificate of unknown end never leave."""
    today = now.timestamp()
    stay = (
        Revoked(What.MEMBER, f"rjs://cs/{'c' * 32}", 1.0), Revoked(What.SIGNER, "d" * 64, 1.0), token("a1", 0.0),
        token("a2", today - REVOCATION_LAPSE + 1),
    )  # fmt: skip
    go = (token("b1", today - REVOCATION_LAPSE - DAY), token("b2", today - REVOCATION_LAPSE))
    assert without_lapsed((*stay, *go), 0.0, now) == (stay, go[1].lapses)
    assert without_lapsed(stay, 77.0, now) == (stay, 77.0)
    with pytest.raises(IdentityError, match="never lapses"):
        check_entry(msgspec.structs.replace(stay[0], lapses=today))


def test_a_list_may_leave_out_what_its_floor_covers(organisation: Organisation, now: dt.datetime) -> None:
    """And nothing that lapses later, or never; who has it still knows that nothing is lost."""
    old, late, ever = token("b1", now.timestamp() - DAY), token("b2", now.timestamp() + DAY), token("b3", 0.0)
    held = sign_revocations(organisation.record, 7, (old, late, ever), now)
    floor = old.lapses
    offered = sign_revocations(organisation.record, 8, (late, ever), now, floor)
    check_succession(held, read_revocations(offered.signed, organisation.root), now)
    assert offered.covers(held.said.entries) and not held.covers([token("b9", 0.0)])
    for entries in ((ever,), (late,)):
        wrong = sign_revocations(organisation.record, 8, entries, now, floor)
        assert code_of(held, wrong, now) == "revocations_rolled_back"
    shortened = (old, msgspec.structs.replace(late, lapses=late.lapses - 1), ever)
    assert (
        code_of(held, sign_revocations(organisation.record, 8, shortened, now), now)
        == "revocations_rolled_back"
    )


def test_a_web_servers_clock_that_is_ahead(organisation: Organisation, now: dt.datetime) -> None:
    """What it drops too early no reader drops, the first list neither; when it is set right the floor comes down, and
    what was dropped comes back from whoever knows it."""
    entry = token("b1", now.timestamp() + DAY)
    ahead = now + dt.timedelta(seconds=REVOCATION_LAPSE + 2 * DAY)
    entries, floor = without_lapsed((entry,), 0.0, ahead)
    assert entries == () and floor == entry.lapses
    held = sign_revocations(organisation.record, 7, (entry,), now)
    early = sign_revocations(organisation.record, 8, entries, now, floor)
    assert code_of(held, early, now) == "revocations_early"
    with pytest.raises(IdentityError, match="revocations_early"):
        check_floor(early, now)
    again, right = without_lapsed(with_entries(early.said.entries, held.said.entries), early.said.floor, now)
    assert (again, right) == ((entry,), 0.0)
    check_succession(early, sign_revocations(organisation.record, 9, again, now, right), now)


def test_a_floor_never_goes_back(organisation: Organisation, now: dt.datetime) -> None:
    """One that is in the past stays: what it stands for is known to nobody any more."""
    held = sign_revocations(organisation.record, 7, (), now, 1e9)
    assert (
        code_of(held, sign_revocations(organisation.record, 8, (), now, 1e9 - 1), now)
        == "revocations_rolled_back"
    )


def test_a_clock_that_was_set_back(organisation: Organisation, now: dt.datetime) -> None:
    """A stolen token whose entry has lapsed is turned out all the same, though a reader's clock calls it good."""
    thief = organisation.member(Role.LUS)
    name, end = token_name(thief.chain[0]), thief.chain[0].not_valid_after_utc.timestamp()
    lapsed = sign_revocations(organisation.record, 7, (), now, end + RENEWAL_GRACE)
    entry = lapsed.caller(thief.chain, name)
    assert entry is not None and entry.id == serial_of(thief.chain[0])
    before = sign_revocations(organisation.record, 7, (), now, end + RENEWAL_GRACE - 1)
    assert before.caller(thief.chain, name) is None
    invitation = organisation.invitation(Role.CS)
    assert lapsed.caller(invitation.identity.chain, RjsName(Role.CS, invitation.subject.id)) is None


def test_of_two_entries_the_lasting_one_counts() -> None:
    """Later, and for as long as either: neither order shortens it."""
    short, ever = token("b1", 5.0, when=2.0), token("b1", 0.0, when=1.0)
    for both in ((short, ever), (ever, short)):
        assert with_entries(both[:1], both[1:]) == (token("b1", 0.0, when=2.0),)
