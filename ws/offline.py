"""What the operator's commands have done where the web server does not run: its authority alone is started for it."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.base import ReactorBase
from twisted.internet.posixbase import PosixReactorBase

from rjs.client import run_client
from rjs.config import read_config
from rjs.identity.names import Role
from rjs.orders import ORDERS
from rjs.state import StateFolder, private_folder
from ws.authority.child import AuthorityChild, begin_of
from ws.config import WsSettings
from ws.mandates import Mandates


def follow_orders(folder: Path) -> None:
    """Follow the operator's orders in the state folder of a web server that does not run. Once in a process.

    Raises ConfigError when it does run, or its authority cannot begin.
    """
    with StateFolder.enter(folder) as state:
        state.member(Role.WS)
        settings = read_config(WsSettings, folder)
        run_client(lambda reactor: _follow(reactor, state, settings))


async def _follow(reactor: ReactorBase, state: StateFolder, settings: WsSettings) -> None:
    assert isinstance(reactor, PosixReactorBase)
    identity = state.identity()
    authority = AuthorityChild(reactor, begin_of(identity, settings))
    try:
        await authority.start()
        orders = private_folder(state.cluster() / ORDERS)
        await Mandates(authority, identity.root(), state.cluster(), orders).follow_orders()
    finally:
        await authority.close()
