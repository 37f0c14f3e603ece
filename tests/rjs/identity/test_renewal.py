"""Renewal: what an honest member asks for is granted, repeats itself, and is on disk whole or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from itertools import count
from pathlib import Path

import msgspec
import pytest

from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import Chain, new_key, spki_digest
from rjs.identity.lifetimes import hand_over_at, renew_at
from rjs.identity.names import Role
from rjs.identity.proofs import sign_statement
from rjs.identity.renewal import PURPOSE, RenewalRequest, ask_renewal, check_renewal
from rjs.identity.testing import Organisation

Killer = Callable[[int, Callable[[], object]], bool]
DAYS = dt.timedelta(days=1)


def grant(organisation: Organisation, request: RenewalRequest, now: dt.datetime) -> Chain:
    """What the token authority does."""
    checked = check_renewal(request, organisation.root, now)
    return organisation.tokens.issue(checked.public_key, checked.name, checked.common_name, now)


@pytest.fixture
def folder(organisation: Organisation, tmp_path: Path) -> IdentityFolder:
    """A member's folder."""
    return joined(organisation, tmp_path / "cs")


def joined(organisation: Organisation, path: Path) -> IdentityFolder:
    folder, invitation = IdentityFolder(path), organisation.invitation(Role.CS)
    folder.create_pending(invitation, organisation.now)
    key = folder._joining_key().public_key()
    chain = organisation.tokens.issue(key, invitation.subject, invitation.common_name, organisation.now)
    folder.complete(invitation, chain, organisation.now)
    return folder


def test_it_is_due_at_two_thirds_and_sessions_leave_before_the_end(organisation: Organisation) -> None:
    """The life counts from the issue, not from the date before it that allows for other clocks."""
    leaf = organisation.member(Role.LUS).chain[0]
    now = organisation.now.replace(microsecond=0)
    assert renew_at(leaf) - now == dt.timedelta(hours=32)
    assert hand_over_at(leaf) - now == dt.timedelta(hours=40)


@pytest.mark.parametrize("statement", [b"", b"\x81\xa1x" + b"\x91" * 1900 + b"\xc0"])
def test_a_statement_that_cannot_be_read_is_refused(organisation: Organisation, statement: bytes) -> None:
    """A member signs nothing, or nested arrays that exhaust the reader: an answer like any other."""
    member = organisation.member(Role.USER)
    chain = ask_renewal(member, new_key(), organisation.now).chain
    request = RenewalRequest(statement, sign_statement(member.key, PURPOSE, statement), chain)
    with pytest.raises(IdentityError, match="cannot be read"):
        check_renewal(request, organisation.root, organisation.now)


@pytest.mark.parametrize("late", [dt.timedelta(hours=32), 2 * DAYS, 31 * DAYS])
def test_a_renewed_member_is_the_same_member(
    organisation: Organisation, folder: IdentityFolder, late: dt.timedelta
) -> None:
    """Before its end and within the grace after it, a member gets the same name for a new key, and keeps both."""
    now, old = organisation.now + late, folder.token()
    request = msgspec.msgpack.decode(msgspec.msgpack.encode(folder.ask_renewal(now)), type=RenewalRequest)
    kept = folder.keep_token(grant(organisation, request, now), now)
    assert folder.token().chain == kept.chain and kept.chain[0].subject == old.chain[0].subject
    assert spki_digest(kept.key) != spki_digest(old.key)


def test_a_repeated_request_is_for_the_same_key(organisation: Organisation, folder: IdentityFolder) -> None:
    """A lost reply costs no second key; another command that was as fast gets what fits as well."""
    now = organisation.now
    chains = [grant(organisation, folder.ask_renewal(now), now) for _ in range(2)]
    assert spki_digest(chains[0][0]) == spki_digest(chains[1][0])
    for chain in chains:
        assert folder.keep_token(chain, now).chain == chain == folder.token().chain
    assert spki_digest(grant(organisation, folder.ask_renewal(now), now)[0]) != spki_digest(chains[0][0])


def test_a_web_server_cannot_renew_us_into_somebody_else(
    organisation: Organisation, folder: IdentityFolder
) -> None:
    """A certificate for another key, name or organisation is refused, and we stay who we were."""
    now, old = organisation.now, folder.token()
    checked = check_renewal(folder.ask_renewal(now), organisation.root, now)
    other = organisation.member(Role.CS)
    name = check_renewal(ask_renewal(other, new_key(), now), organisation.root, now).name
    for chain in (
        organisation.tokens.issue(checked.public_key, name, "x", now),
        organisation.tokens.issue(new_key().public_key(), checked.name, "x", now),
        Organisation(now).tokens.issue(checked.public_key, checked.name, "x", now),
    ):
        with pytest.raises(IdentityError):
            folder.keep_token(chain, now)
        assert folder.token().chain == old.chain


def test_killed_anywhere_it_is_the_old_or_the_new_member(
    organisation: Organisation, tmp_path: Path, killed_at: Killer
) -> None:
    """However often renewing is ended at whatever change of the disk, key and certificate fit, and it goes on."""
    now = organisation.now
    for step in count(1):
        folder = joined(organisation, tmp_path / str(step))

        def renew(folder: IdentityFolder = folder) -> Identity:
            return folder.keep_token(grant(organisation, folder.ask_renewal(now), now), now)

        killed = killed_at(step, renew)
        assert (
            folder.token().root == organisation.root
        )  # whose key and certificate are a pair, or it would raise
        assert renew().chain == folder.token().chain
        if not killed:
            break
    assert step > 6
