"""Builds the lookup server: the only place that names its concrete classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from lus import limits
from lus.api import CsDoor, WsDoor
from lus.board import Board
from lus.bundle_cache import BundleCache
from lus.config import LusSettings
from lus.contacts import Contacts
from lus.registry import Server
from lus.shell import Shell
from lus.visitors import FrontDoor, Visitors
from rjs import __version__
from rjs.background import Tasks, ThreadWorkers
from rjs.client import renew_alone
from rjs.config import read_config
from rjs.discovery import Announcement, Link, Service
from rjs.disk import DiskWatch, await_disk
from rjs.errors import UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.names import RjsName, Role
from rjs.identity.revocation import What
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.tls import client_context, server_context
from rjs.ids import ServerId
from rjs.limits import DISK_LOOK, LUS_RENEWAL
from rjs.log_file import opened_log
from rjs.process import run_server
from rjs.renewal import TokenKeeper, renew_over
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.state import Boot, StateFolder, private_folder
from rjs.status import offer_facts, serve_status
from rjs.wall_time import Wall, utc_now
from rjs.wire.dial import Acceptor, Dialler, host_and_port
from rjs.wire.proxy import read_proxy
from rjs.wire.session import Self, Session

_log = Logger("lus")


def run(folder: Path) -> int:
    """Run the lookup server of this state folder until it is told to stop; the exit status."""
    await_disk(folder, "lus")
    with StateFolder.enter(folder) as state:
        state.member(Role.LUS)
        settings = read_config(LusSettings, folder)
        boot = state.next_boot()
        log = opened_log(folder, settings.log)
        return run_server(lambda reactor: LookupServer(reactor, state, settings, boot), log)


class LookupServer:
    """Everything that a running LUS consists of."""

    def __init__(
        self,
        reactor: ReactorBase,
        state: StateFolder,
        settings: LusSettings,
        boot: Boot,
        wall: Wall = utc_now,
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._boot = boot
        self._wall = wall
        self._member = state.member(Role.LUS)
        self._keeper = TokenKeeper(state.identity().token(), self._renewed, reactor, wall)
        self._settings = settings
        self._tasks = Tasks("lus")
        self._disk = DiskWatch(state.path, ThreadWorkers(reactor))
        self._shell = Shell(Board(), reactor, self._tasks)
        self._bundles = BundleCache(
            private_folder(state.cluster() / "cache"),
            ThreadWorkers(reactor),
            self._tasks,
            reactor,
            lambda: self._shell.ws,
        )
        self._book = RevocationBook(state.identity().root(), state.cluster() / REVOCATIONS, wall)
        self._book.changed = self._apply_revocations
        self._proxy = read_proxy(settings.proxy)
        me = Self(self._member.name.uri(), self._member.cluster, boot.id, boot.count, __version__)
        servers = CsDoor(self._shell, self._bundles)
        self._ws = self._way_to_ws(me)
        self._acceptor = self._front_door(me, servers)
        self._contacts = self._contacts_with(servers, me)
        self._port = 0
        self._link: Link | None = None
        self._status: IListeningPort | None = None

    def _way_to_ws(self, me: Self) -> Dialler:
        return Dialler(
            self._reactor,
            [host_and_port(address) for address in self._member.ws],
            me,
            GuardedDoor(WsDoor(self._shell, self._bundles), self._book),
            lambda: client_context(self._keeper.identity, Role.WS, wall=self._wall),
            self._proxy,
        )

    def _front_door(self, me: Self, servers: CsDoor) -> Acceptor:
        """Where compute servers and visitors come in; it shows each renewed certificate."""
        front = FrontDoor(servers, Visitors(self._shell, self._state.identity().root(), self._wall))
        context = server_context(self._keeper.identity, Role, self._wall)
        self._keeper.renewed = context.renew
        return Acceptor(self._reactor, me, GuardedDoor(front, self._book), context, limits.CONNECTIONS)

    def _contacts_with(self, servers: CsDoor, me: Self) -> Contacts:
        return Contacts(
            self._reactor, me, GuardedDoor(servers, self._book), self._tasks,
            lambda cs: client_context(self._keeper.identity, Role.CS, cs, or_expired=True, wall=self._wall),
            self._dead, self._why_unwanted, self._shell.servers.get, servers.numbers,
        )  # fmt: skip

    async def start(self) -> None:
        """Open the door, look for compute servers, dial the WS, and keep time."""
        self._bundles.clear_unfinished()
        self._apply_revocations()
        self._port = self._acceptor.listen(self._settings.port, self._settings.listen)
        self._link = Link(self._reactor, self._settings.interfaces)
        me, cluster = ServerId(self._member.id), self._member.cluster
        self._link.announce(Announcement(Service.LUS, me, self._boot.id, cluster, self._port))
        self._link.browse(Service.CS, cluster, self._contacts.seen)
        self._tasks.spawn("own certificate", self._keeper.run())
        self._tasks.spawn("session with the WS", self._ws.run())
        self._tasks.repeat(self._reactor, "leases of CSs", limits.TICK, self._tick)
        self._tasks.repeat(self._reactor, "disk", DISK_LOOK, self._disk.look)
        self._tasks.repeat(self._reactor, "renewal", LUS_RENEWAL, self._shell.renew)
        self._status = serve_status(self._reactor, self._state.path, self._document)
        _log.info("lookup server {name} of cluster {cluster} serves on port {port}",
                  name=self._member.common_name, cluster=cluster, port=self._port)  # fmt: skip

    async def stop(self) -> None:
        """Leave; leases lapse, the CSs keep their answers."""
        for session in self._sessions():
            session.close("closing", "the lookup server stops")
        await self._acceptor.close("the lookup server stops")
        if self._link is not None:
            await self._link.stop()
        await self._tasks.stop()

    async def _renewed(self) -> Identity:
        """The next certificate, over the session with the WS; with one that has expired, over one for that alone."""
        folder = self._state.identity()
        if self._keeper.expired:
            return await renew_alone(self._reactor, folder, self._wall, proxy=self._proxy)
        session = self._shell.ws
        if session is None:
            raise UnreachableError(f"the web server is away: {self._ws.trouble}")
        return await renew_over(self._reactor, session, folder, self._wall)

    def _tick(self) -> None:
        self._shell.perform(self._shell.board.tick(self._shell.now()))

    def _dead(self, cs: str) -> None:
        self._shell.perform(self._shell.board.cs_dead(cs, self._shell.now()))

    def _apply_revocations(self) -> None:
        """Compute servers that are revoked have nothing of ours any more, and jobs of revoked signers no place."""
        newest, board, now = self._book.current, self._shell.board, self._shell.now()
        if newest is None:
            return
        for each in board.registry.all():
            if newest.member(RjsName(Role.CS, each.cs)) is not None:
                self._shell.perform(board.cs_revoked(each.cs, now))
        signers = frozenset(entry.id for entry in newest.said.entries if entry.what is What.SIGNER)
        self._shell.perform(board.signers_revoked(signers, now))

    def _why_unwanted(self, cs: str) -> str:
        newest = self._book.current
        entry = None if newest is None else newest.member(RjsName(Role.CS, cs))
        return "" if entry is None else entry.sentence()

    def _sessions(self) -> list[Session]:
        """All that are open: with the WS, and with compute servers."""
        ws = self._shell.ws
        return [*([] if ws is None else [ws]), *self._shell.servers.values()]

    def _document(self) -> dict[str, Any]:
        now, board = self._shell.now(), self._shell.board
        return {
            "role": "lus",
            "boot": self._boot.id,
            "port": self._port,
            "certificate": self._keeper.document(),
            "revocations": self._book.document(),
            "disk": self._disk.document(),
            "clock": self._acceptor.clock_facts(self._sessions()),
            "ws": {
                "addresses": self._member.ws,
                "proxy": None if self._proxy is None else str(self._proxy),
                "connected": self._shell.ws is not None,
                "trouble": self._ws.trouble,
            },
            "servers": [_facts(each, board.registry.speed(each), now) for each in board.registry.all()],
            "leases": len(board.held()),
            "waiting": sum(not each.cs for each in board.held()),
        }


def _facts(server: Server, speed: float, now: float) -> dict[str, Any]:
    """What the status says of a compute server: what it states as ``mflops``, and by what ``speed`` it is ranked."""
    state, attempt = server.state, server.attempt
    return {
        "id": server.cs,
        "name": state.name,
        "address": server.address,
        "mflops": state.mflops,
        "ranked_mflops": speed,
        "state": "free" if server.free else "busy" if server.connected else "lost",
        "offer": offer_facts(state.offer),
        "age_ms": round(1000 * (now - server.heard)),
        "task": None if attempt is None else f"{attempt.job[:16]}/{attempt.task}",
    }
