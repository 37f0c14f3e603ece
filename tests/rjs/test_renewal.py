"""A month on a faked clock: certificates of two days renew themselves, whatever sleeps or fails meanwhile."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs.background import Tasks
from rjs.errors import UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import load_private, our_public_key, spki_digest
from rjs.identity.lifetimes import renew_at
from rjs.identity.names import RjsName, Role
from rjs.identity.testing import Organisation
from rjs.limits import RENEWAL_LOOK, RENEWAL_PATIENCE
from rjs.renewal import TokenKeeper, renew_over
from rjs.wire import messages as m
from rjs.wire.session import Session
from ws.authority.testing import RulesIssuer

HOUR = 3600.0
DAY = 24 * HOUR


class Month:
    """An authority, members with their folders and keepers, and the time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        self.issuer = RulesIssuer(self.organisation.tokens, RjsName(Role.WS, "a" * 32), wall=self.wall)
        self.tasks = Tasks("test")
        self.away = False
        self.silent = False

    def wall(self) -> dt.datetime:
        return self.organisation.now + dt.timedelta(seconds=self.clock.seconds())

    async def request(self, message: m.MemberRenew, kind: object) -> m.MemberRenewed:
        """As a session's: what the web server replies, if it can be reached."""
        if self.away:
            raise UnreachableError("the web server is away")
        if self.silent:
            await Deferred()
        return m.MemberRenewed(chain=await self.issuer.renew(message.request))

    def member(self, role: Role) -> Keeping:
        """Somebody who has just joined."""
        invitation = self.organisation.invitation(role)
        folder = IdentityFolder(self.folder / invitation.subject.id)
        request = folder.create_pending(invitation, self.organisation.now)
        key = our_public_key(x509.load_der_x509_csr(request.token_request))
        chain = self.organisation.tokens.issue(key, invitation.subject, "member", self.organisation.now)
        folder.complete(invitation, chain, self.organisation.now)
        return Keeping(self, folder)


class Keeping:
    """One member's keeper, and every certificate that it had."""

    def __init__(self, month: Month, folder: IdentityFolder) -> None:
        self.folder = folder
        self.had: list[Identity] = []
        self.asked = 0

        async def renew() -> Identity:
            self.asked += 1
            return await renew_over(month.clock, cast(Session, month), folder, month.wall)

        self.keeper = TokenKeeper(folder.token(), renew, month.clock, month.wall)
        self.keeper.renewed = self.had.append

    def start(self, month: Month) -> None:
        month.tasks.spawn("keeper", self.keeper.run())


@pytest.fixture
def month(tmp_path: Path) -> Month:
    return Month(tmp_path)


def test_every_certificate_is_renewed_in_time(month: Month) -> None:
    """For a month nobody's comes within a quarter of its end; each has a key of its own, and is on disk."""
    members = [month.member(role) for role in (Role.LUS, Role.CS, Role.CS, Role.USER)]
    for each in members:
        each.start(month)
    for _ in range(30 * 24):
        month.clock.advance(HOUR)
        assert all((each.keeper.not_after - month.wall()).total_seconds() > 12 * HOUR for each in members)
    for each in members:
        assert 20 <= len(each.had) <= 24 and each.asked == len(each.had)
        assert len({spki_digest(identity.key) for identity in each.had}) == len(each.had)
        assert each.folder.token().chain == each.keeper.identity.chain == each.had[-1].chain
    assert len(month.issuer.log) == sum(len(each.had) for each in members)
    month.tasks.cancel_all()
    assert month.clock.getDelayedCalls() == []


def test_a_machine_that_slept_past_its_end_comes_back(month: Month) -> None:
    """Within the grace its first look renews it; beyond, it is told which commands to run, and asks nobody."""
    late, too_late = month.member(Role.CS), month.member(Role.CS)
    month.clock.advance(31 * DAY)
    late.start(month)
    assert late.keeper.not_after > month.wall() and not late.keeper.trouble
    month.clock.advance(2 * DAY)
    too_late.start(month)
    assert (
        "rjs ca invite CADIR" in too_late.keeper.trouble and "rjs join INVITATION" in too_late.keeper.trouble
    )
    assert too_late.keeper.expired and len(too_late.had) == 0
    assert too_late.keeper.document()["seconds_left"] < -30 * DAY


def test_a_web_server_that_is_away_is_asked_again(month: Month) -> None:
    """Ever more rarely, up to once a minute, and at once when somebody says that it may be back."""
    member = month.member(Role.LUS)
    member.start(month)
    month.away = True
    month.clock.advance(32 * HOUR + 1)
    for _ in range(3600):
        month.clock.advance(1.0)
    assert 60 * 60 / (1.5 * RENEWAL_LOOK) < member.asked < 20 + 60 * 60 / (0.5 * RENEWAL_LOOK)
    assert member.keeper.trouble == "the web server is away"
    month.away = False
    member.keeper.poke()
    assert len(member.had) == 1 and not member.keeper.trouble


def test_one_that_does_not_answer_is_given_up_for_now(month: Month) -> None:
    """No reply is no renewal, and the next try is for the same key: a lost reply costs nothing."""
    member = month.member(Role.CS)
    month.silent = True
    month.clock.advance(33 * HOUR)
    member.start(month)
    pending = spki_digest(load_private(member.folder.path / "token-next.key"))
    month.clock.advance(RENEWAL_PATIENCE)
    assert "no reply" in member.keeper.trouble
    month.silent = False
    member.keeper.poke()
    assert spki_digest(member.had[0].key) == pending


def test_a_full_disk_is_trouble_and_no_end(month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is not used; when it can, the same request gets its certificate."""
    member = month.member(Role.CS)
    month.clock.advance(33 * HOUR)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rjs.identity.folder.save_identity", full)
        member.start(month)
    assert "No space left" in member.keeper.trouble and member.had == []
    member.keeper.poke()
    assert len(member.had) == 1 and member.had[0].chain == member.folder.token().chain
    assert month.wall() < renew_at(member.had[0].chain[0])
