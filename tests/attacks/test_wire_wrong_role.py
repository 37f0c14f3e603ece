"""Attack: a member says what only another role may say. Refused by name, and nothing is done."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from twisted.internet.defer import Deferred

from cs.api import CsDoor as CsDoorForLus
from lus.api import CsDoor as LusDoorForCs
from lus.api import WsDoor as LusDoorForWs
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.person_door import PersonDoor
from rjs.wire import messages as m
from rjs.wire.session import Door
from rjs.wire.testing import Wire
from ws.api import WsDoor

GOLDEN = Path(__file__).parents[1] / "rjs" / "wire" / "golden" / "0.1.json"
EXAMPLES = [m.decode(bytes.fromhex(each)) for each in json.loads(GOLDEN.read_text()).values()]
CALLS = [msgspec.structs.replace(each, rid=0, re=0) for each in EXAMPLES if each.callers != m.EVERYONE]
ORGANISATION = Organisation(dt.datetime.now(dt.UTC))
HOLDERS = list(Role)

NOTHING = cast(Any, SimpleNamespace())
DOORS: dict[str, Door] = {
    "ws": WsDoor(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "lus, dialling the ws": LusDoorForWs(NOTHING, NOTHING),
    "lus, dialling a cs": LusDoorForCs(NOTHING, NOTHING),
    "cs": CsDoorForLus(NOTHING),
    "person, dialling the ws": PersonDoor(),
}


@pytest.mark.parametrize("role", HOLDERS)
def test_each_role_says_what_it_may_and_nothing_else(role: Role) -> None:
    """Of all messages, those of other roles are refused by name, with the roles that may, unheard by any handler."""
    heard: list[str] = []

    def handler(session: object, message: m.Message) -> None:
        heard.append(m.tag_of(message))

    wire = Wire(ORGANISATION, role)
    for call in CALLS:
        wire.route(type(call), handler)
    wire.open()
    for call in CALLS:
        got: list[Any] = []
        wire.ask(wire.dialled, call, m.Done).addBoth(got.append)
        if role in call.callers:
            assert isinstance(got[0], m.Done)
        else:
            error = got[0].value
            assert isinstance(error, RefusedError) and error.code == "forbidden"
            may = ", ".join(sorted(call.callers))
            name = wire.caller.hello.name
            name = name.replace("rjs://", "rjs://expired/") if role is Role.EXPIRED else name
            assert error.sentence == f"{name} may not call {m.tag_of(call)}; {may} may"
    assert heard == [m.tag_of(call) for call in CALLS if role in call.callers]


@pytest.mark.parametrize("role", HOLDERS)
@pytest.mark.parametrize("door", DOORS)
def test_each_role_at_each_door(role: Role, door: str) -> None:
    """At every real door: who is not welcome is told so; who is reaches only what its role may say there."""
    real = DOORS[door]
    heard: list[m.Message] = []
    wire = Wire(ORGANISATION, role)
    wire.called.door.welcome = real.welcome
    wire.called.door.routes = dict.fromkeys(real.routes, lambda _, message: heard.append(message))
    wire.open()
    if role is Role.EXPIRED and role not in real.welcome:
        assert wire.dialled.reason.startswith(
            f"certificate-expired: the certificate of {wire.caller.hello.name} expired at "
        )
    elif role not in real.welcome:
        assert wire.dialled.reason.startswith(
            f"wrong-role: {wire.caller.hello.name} is not served at this door"
        )
    for call in CALLS:
        asked: Deferred[m.Done] = wire.ask(wire.dialled, call, m.Done)
        asked.addErrback(lambda _: None)
    assert {type(each) for each in heard} == {
        kind for kind in real.routes if role in real.welcome and role in kind.callers
    }


@pytest.mark.parametrize("door", DOORS)
def test_no_door_serves_what_nobody_welcome_may_say(door: str) -> None:
    """Every route of every door can be reached by somebody whom the door welcomes: none is dead or forgotten."""
    real = DOORS[door]
    assert all(kind.callers & real.welcome for kind in real.routes)
