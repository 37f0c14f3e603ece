"""What the operator's commands have done where the web server does not run: its authority alone is started for it."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure

from rjs.config import read_config
from rjs.identity.names import Role
from rjs.orders import ORDERS
from rjs.state import StateFolder, private_folder
from ws.authority.child import AuthorityChild, begin_of
from ws.config import WsSettings
from ws.mandates import Mandates

_TURN = 0.02  # seconds


def follow_orders(folder: Path) -> None:
    """Follow the operator's orders in the state folder of a web server that does not run.

    The reactor is turned by hand, because a command may come here twice, and it runs once. What is waited for ends by
    the authority's own limits. Raises ConfigError when the web server does run, or its authority cannot begin.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - installs the reactor

    assert isinstance(reactor, PosixReactorBase)
    with StateFolder.enter(folder) as state:
        state.member(Role.WS)
        outcome: list[Failure | None] = []
        Deferred.fromCoroutine(_follow(reactor, state, read_config(WsSettings, folder))).addBoth(
            outcome.append
        )
        while not outcome:
            ReactorBase.iterate(reactor, _TURN)
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()


async def _follow(reactor: PosixReactorBase, state: StateFolder, settings: WsSettings) -> None:
    identity = state.identity()
    authority = AuthorityChild(reactor, begin_of(identity, settings))
    try:
        await authority.start()
        orders = private_folder(state.cluster() / ORDERS)
        await Mandates(authority, identity.root(), state.cluster(), orders).follow_orders()
    finally:
        await authority.close()
