"""Visitors at a lookup server: their requests go on as they are, one at a time, and strangers' go nowhere."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from samples import cs_state
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus import limits
from lus.api import CsDoor
from lus.board import Board
from lus.shell import Shell
from lus.visitors import FrontDoor, Visitors
from rjs.background import Tasks
from rjs.identity.certificates import Identity
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import new_key
from rjs.identity.names import Role
from rjs.identity.renewal import ask_renewal
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.session import Session, SessionLostError
from rjs.wire.testing import Wire


class Ws:
    """A session with a web server that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[m.Message] = []
        self.answers: list[Deferred[m.Message]] = []

    async def request(self, message: m.Message, kind: object) -> m.Message:
        self.asked.append(message)
        self.answers.append(Deferred())
        return await self.answers[-1]


class Setting:
    """A lookup server whose web server is there, and one that dials it."""

    def __init__(self, organisation: Organisation, who: Identity, visitors: Visitors | None = None) -> None:
        self.organisation = organisation
        self.wire = Wire(organisation, who, Role.LUS)
        self.ws = Ws()
        if visitors is None:
            shell = Shell(Board(), cast(Any, self.wire.clock), Tasks("test"))
            visitors = Visitors(shell, organisation.root, lambda: organisation.now)
        self.visitors, self.shell = visitors, visitors.shell
        self.shell.ws = cast(Session, self.ws)
        servers = CsDoor(self.shell, cast(Any, SimpleNamespace()))
        self.wire.called.door = cast(Any, FrontDoor(servers, visitors))
        self.wire.open()

    def ask(self, message: m.Message, kind: type[m.Message]) -> list[Any]:
        """The outcome, when there is one."""
        outcome: list[Any] = []
        self.wire.ask(self.wire.dialled, message, kind).addBoth(outcome.append)
        return outcome

    def enrol(self, request: EnrolmentRequest, chain: tuple[bytes, ...] = ()) -> list[Any]:
        return self.ask(m.MemberEnrol(request=request, chain=chain), m.MemberEnrolled)


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


def test_an_enrolment_goes_on_with_its_chain(organisation: Organisation, tmp_path: Path) -> None:
    """As it was signed, with the chain that the connection proved; the reply comes back."""
    invitation = organisation.invitation(Role.CS)
    request = IdentityFolder(tmp_path).create_pending(invitation, organisation.now)
    setting = Setting(organisation, invitation.identity)
    outcome = setting.enrol(request)
    chain = tuple(each.public_bytes(Encoding.DER) for each in invitation.identity.chain)
    assert setting.ws.asked == [m.MemberEnrol(request=request, chain=chain)]
    setting.ws.answers[0].callback(m.MemberEnrolled(re=7, chain=(b"\x30", b"\x31")))
    setting.wire.turn()
    assert outcome[0].chain == (b"\x30", b"\x31")


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN])
def test_a_persons_renewal_goes_on(organisation: Organisation, role: Role) -> None:
    """As it was signed."""
    person = organisation.member(role)
    setting = Setting(organisation, person)
    message = m.MemberRenew(request=ask_renewal(person, new_key(), organisation.now))
    setting.ask(message, m.MemberRenewed)
    assert setting.ws.asked == [message]


def test_what_is_wrong_goes_nowhere(organisation: Organisation, tmp_path: Path) -> None:
    """The web server hears of no proof that does not hold, no other's renewal, no invitation beside one's own."""
    mine, other = (organisation.invitation(Role.USER, name) for name in ("ada", "eve"))
    asks = [
        IdentityFolder(tmp_path / str(n)).create_pending(each, organisation.now)
        for n, each in enumerate((mine, other))
    ]
    setting = Setting(organisation, mine.identity)
    assert setting.enrol(asks[1])[0].value.code == "identity.proof"
    chain = tuple(each.public_bytes(Encoding.DER) for each in other.identity.chain)
    assert setting.enrol(asks[1], chain)[0].value.code == "not-yours"
    member = Setting(organisation, organisation.member(Role.USER))
    assert member.enrol(asks[0])[0].value.code == "forbidden"
    renewal = ask_renewal(organisation.member(Role.USER, "eve"), new_key(), organisation.now)
    assert member.ask(m.MemberRenew(request=renewal), m.MemberRenewed)[0].value.code == "not-yours"
    assert setting.ws.asked == member.ws.asked == []


def test_visitors_are_no_compute_servers(organisation: Organisation) -> None:
    """A person has no place on the board, and may say nothing that a compute server says."""
    setting = Setting(organisation, organisation.member(Role.USER))
    assert setting.ask(cs_state(), m.Done)[0].value.code == "forbidden"
    assert setting.shell.servers == {}
    setting.wire.pass_time(2)
    assert not setting.wire.dialled.reason


def test_one_request_at_a_time(organisation: Organisation, tmp_path: Path) -> None:
    """Whoever asks again before the first reply is told so, and nothing grows."""
    invitation = organisation.invitation(Role.LUS)
    request = IdentityFolder(tmp_path).create_pending(invitation, organisation.now)
    setting = Setting(organisation, invitation.identity)
    first = setting.enrol(request)
    assert setting.enrol(request)[0].value.code == "busy" and first == []
    setting.ws.answers[0].errback(SessionLostError("it died"))
    setting.wire.turn()
    assert first[0].value.code == "ws-away"
    setting.enrol(request)
    assert len(setting.ws.asked) == 2


def test_without_a_web_server_it_says_so(organisation: Organisation, tmp_path: Path) -> None:
    """At once, so that the joiner can try another way."""
    invitation = organisation.invitation(Role.LUS)
    setting = Setting(organisation, invitation.identity)
    setting.shell.ws = None
    request = IdentityFolder(tmp_path).create_pending(invitation, organisation.now)
    assert setting.enrol(request)[0].value.code == "ws-away"


def test_few_come_and_nobody_stays(organisation: Organisation) -> None:
    """One has few sessions, all have some, and each ends in time; who leaves makes room."""
    clock = Clock()
    shell = Shell(Board(), cast(Any, clock), Tasks("test"))
    visitors = Visitors(shell, organisation.root)
    ada = organisation.member(Role.USER)
    here = [Setting(organisation, ada, visitors) for _ in range(limits.VISITS_OF_ONE)]
    assert all(not each.wire.dialled.reason for each in here)
    assert Setting(organisation, ada, visitors).wire.dialled.reason.startswith("too-many-visitors: ")
    here[0].wire.dialled.close("done", "bye")
    here[0].wire.turn()
    assert not Setting(organisation, ada, visitors).wire.dialled.reason
    accounts = (f"u{number}" for number in range(limits.VISITORS))
    others = [Setting(organisation, organisation.member(Role.USER, name), visitors) for name in accounts]
    turned_away = [each for each in others if each.wire.dialled.reason]
    assert len(turned_away) == limits.VISITS_OF_ONE
    clock.advance(limits.VISIT)
    others[0].wire.turn()
    assert others[0].wire.dialled.reason.startswith("too-long: ")
