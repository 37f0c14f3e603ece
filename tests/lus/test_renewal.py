"""The LUS as a carrier of renewals: it passes them on as they are, and an expired CS gets nothing else from it."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import cs_state
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus.api import CsDoor
from lus.board import Board
from lus.shell import Shell
from rjs.background import Tasks
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.keys import new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import read_chain
from rjs.identity.peers import token_name
from rjs.identity.renewal import ask_renewal
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.session import Session
from rjs.wire.testing import Wire
from ws.authority.testing import RulesIssuer


class Ws:
    """A session with a WS that renews; ``away`` makes it silent."""

    def __init__(self, organisation: Organisation) -> None:
        self.issuer = RulesIssuer(organisation.tokens, RjsName(Role.WS, "a" * 32))
        self.asked: list[m.MemberRenew] = []
        self.away: Deferred[None] | None = None

    async def request(self, message: m.MemberRenew, kind: object) -> m.MemberRenewed:
        self.asked.append(message)
        if self.away is not None:
            await self.away
        return m.MemberRenewed(chain=await self.issuer.renew(message.request))


class Setting:
    """A CS at a LUS that has a WS."""

    def __init__(self, organisation: Organisation, cs: Identity) -> None:
        self.cs = cs
        self.now = organisation.now
        self.shell = Shell(Board(), cast(Any, Clock()), Tasks("test"))
        self.ws = Ws(organisation)
        self.shell.ws = cast(Session, self.ws)
        self.wire = Wire(organisation, cs, Role.LUS)
        self.wire.called.door = cast(Any, CsDoor(self.shell, cast(Any, SimpleNamespace())))
        self.wire.open()

    def renew(self) -> tuple[m.MemberRenew, list[Any]]:
        message = m.MemberRenew(request=ask_renewal(self.cs, new_key(), self.now))
        outcome: list[Any] = []
        self.wire.ask(self.wire.dialled, message, m.MemberRenewed).addBoth(outcome.append)
        return message, outcome


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.mark.parametrize("expired", [False, True])
def test_a_request_is_carried_as_it_is(organisation: Organisation, expired: bool) -> None:
    """What the CS signed arrives at the WS byte for byte, and the certificate at the CS."""
    cs = organisation.expired(Role.CS) if expired else organisation.member(Role.CS)
    setting = Setting(organisation, cs)
    message, outcome = setting.renew()
    assert [each.request for each in setting.ws.asked] == [message.request]
    assert token_name(read_chain(outcome[0].chain)[0]) == token_name(cs.chain[0])


def test_an_expired_one_is_not_registered(organisation: Organisation) -> None:
    """It has no session to be given tasks on, and what it says of itself is refused."""
    setting = Setting(organisation, organisation.expired(Role.CS))
    outcome: list[Any] = []
    setting.wire.ask(setting.wire.dialled, cs_state(), m.Done).addBoth(outcome.append)
    assert isinstance(outcome[0].value, RefusedError) and outcome[0].value.code == "forbidden"
    assert setting.shell.servers == {} and not list(setting.shell.board.registry.all())
    setting.wire.pass_time(3)
    assert not setting.wire.dialled.reason
    setting.wire.dialled.close("done", "the test ends")
    setting.wire.turn()
    assert setting.wire.accepted.ended


def test_one_at_a_time(organisation: Organisation) -> None:
    """A CS that asks on and on while the WS is away makes nothing grow here."""
    setting = Setting(organisation, organisation.member(Role.CS))
    setting.ws.away = Deferred()
    _, first = setting.renew()
    _, second = setting.renew()
    assert first == [] and second[0].value.code == "busy" and len(setting.ws.asked) == 1
    setting.ws.away.callback(None)
    setting.wire.turn()
    assert isinstance(first[0], m.MemberRenewed)
    _, third = setting.renew()
    assert isinstance(third[0], m.MemberRenewed)
