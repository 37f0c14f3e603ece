"""Members: an invitation makes one member, whoever asks again, and a new home is noticed at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rjs.background import ImmediateWorkers
from rjs.errors import RefusedError
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.folder import IdentityFolder
from rjs.identity.invitation import Invitation
from rjs.identity.keys import new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.peers import PeerIdentity, identify
from rjs.identity.renewal import RenewalRequest, ask_renewal
from rjs.identity.testing import Organisation
from rjs.storage import ImmediateStorage, open_database
from ws import store
from ws.authority.testing import RulesIssuer
from ws.homes import Homes
from ws.members import Members


class Office:
    """A web server's members, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        database = open_database(
            folder / "ws" / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID
        )
        self.storage = ImmediateStorage(database)
        (folder / "home").mkdir()
        self.members = Members(
            self.storage,
            ImmediateWorkers(),
            Homes(folder / "home"),
            RulesIssuer(self.organisation.tokens, RjsName(Role.WS, "a" * 32)),
            self.organisation.root,
        )

    def request(self, invitation: Invitation, place: str) -> EnrolmentRequest:
        return IdentityFolder(self.folder / place).create_pending(invitation, self.organisation.now)

    def enrol(self, invitation: Invitation, request: EnrolmentRequest) -> Any:
        """The chain, or the error."""
        peer = identify(invitation.identity.chain, self.organisation.root)
        ended: list[Any] = []
        Deferred.fromCoroutine(self.members.enrol(peer, request)).addBoth(ended.append)
        return ended[0].value if isinstance(ended[0], Failure) else ended[0]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    found = Office(tmp_path)
    yield found
    found.storage.close()


def test_a_new_home_is_told_of(office: Office) -> None:
    """Whoever watches the homes hears of a new one, so that its first upload waits for no rescan."""
    heard: list[bool] = []
    office.members.new_home = lambda: heard.append((office.folder / "home" / "ada" / "jobs").is_dir())
    invitation = office.organisation.invitation(Role.USER)
    chain = office.enrol(invitation, office.request(invitation, "ada"))
    assert x509.load_der_x509_certificate(chain[0]).subject.rfc4514_string().startswith("CN=ada")
    assert heard == [True]
    assert len(office.members.signers("ada")) == 1


def test_an_invitation_makes_one_member(office: Office) -> None:
    """The same keys asking again had no reply and get one; other keys come too late."""
    invitation = office.organisation.invitation(Role.CS)
    first = office.request(invitation, "first")
    assert len(office.enrol(invitation, first)) == len(office.enrol(invitation, first)) == 3
    late = office.enrol(invitation, office.request(invitation, "second"))
    assert isinstance(late, RefusedError)
    assert late.code == "invitation-used"
    assert list(office.members.answer_keys) == [invitation.subject.id]


def renewed(office: Office, peer: PeerIdentity, request: RenewalRequest) -> Any:
    """The chain, or the error."""
    ended: list[Any] = []
    Deferred.fromCoroutine(office.members.renew(peer, request)).addBoth(ended.append)
    return ended[0].value if isinstance(ended[0], Failure) else ended[0]


def test_who_may_bring_a_renewal(office: Office) -> None:
    """Oneself, expired or not, and a lookup server for a compute server or a person; nobody else for anybody."""
    organisation = office.organisation
    now = organisation.now
    lus, cs, ada = (organisation.member(role) for role in (Role.LUS, Role.CS, Role.USER))
    other_lus = organisation.member(Role.LUS, "f" * 32)
    by_lus, by_cs, by_ada = (identify(who.chain, organisation.root, now) for who in (lus, cs, ada))
    by_late = attrs.evolve(by_ada, name=by_ada.name.when_expired())
    for peer, asker, allowed in [
        (by_lus, lus, True), (by_ada, ada, True), (by_late, ada, True), (by_lus, cs, True),
        (by_lus, ada, True), (by_lus, other_lus, False), (by_ada, lus, False), (by_late, lus, False),
        (by_cs, lus, False), (by_ada, cs, False),
    ]:  # fmt: skip
        outcome = renewed(office, peer, ask_renewal(asker, new_key(), now))
        assert isinstance(outcome, tuple) if allowed else outcome.code == "not-yours", (peer, asker)
