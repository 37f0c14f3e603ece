"""Members: an invitation makes one member, whoever asks again, and a new home is noticed at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rjs.background import ImmediateWorkers
from rjs.errors import RefusedError
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.folder import IdentityFolder
from rjs.identity.invitation import Invitation
from rjs.identity.names import Role
from rjs.identity.peers import identify
from rjs.identity.testing import Organisation
from rjs.storage import ImmediateStorage, open_database
from ws import store
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
            self.organisation.tokens,
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
