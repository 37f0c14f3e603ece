"""Builds the web server: the only place that names its concrete classes."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from cryptography import x509
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from rjs import __version__
from rjs.background import Tasks, ThreadWorkers, Workers
from rjs.config import read_config, write_config
from rjs.disk import DiskWatch, await_disk, restart
from rjs.errors import DamagedError
from rjs.identity.ca import OperatorFolder
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.invitation import check_addresses
from rjs.identity.keys import AskPassphrase
from rjs.identity.names import Role
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.tls import server_context
from rjs.limits import DISK_LOOK, REVOCATIONS_REISSUE
from rjs.log_file import opened_log
from rjs.orders import ORDERS, forget_outcomes
from rjs.process import run_server
from rjs.renewal import TokenKeeper
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.state import Boot, StateFolder, cluster_folder, make_state_folder, private_folder
from rjs.status import serve_status
from rjs.storage import Connection, StorageThread, open_database
from rjs.wall_time import Wall, utc_now
from rjs.wire.dial import Acceptor, host_and_port
from rjs.wire.session import Self
from ws import limits, store
from ws.answers import AnswerDesk, Delivery
from ws.api import WsDoor
from ws.authority.child import AuthorityChild, begin_of
from ws.backup import clear_snapshots, follow_snapshot_orders
from ws.bundles import Bundles
from ws.certificate import OwnCertificate
from ws.checkpoints import CheckpointDesk
from ws.config import WsSettings
from ws.homes import Homes
from ws.intake import Intake
from ws.job_sets import JobSets
from ws.job_tokens import ProgressBook
from ws.mandates import Mandates
from ws.members import Members
from ws.queue import Queue
from ws.revocations import RevocationDesk
from ws.seals import Seals
from ws.shell import Shell
from ws.status_files import StatusFiles
from ws.wall import WallClock
from ws.watcher import Watcher
from ws.why import line

_log = Logger("ws")


def init(
    folder: Path,
    ca: Path,
    *,
    name: str = "",
    addresses: Sequence[str] = (),
    listen: str = "",
    port: int | None = None,
    ask: AskPassphrase | None = None,
    wall: Wall = utc_now,
) -> Member:
    """Found a web server in ``folder``, certified by the operator's folder ``ca``; may be repeated if killed.

    ``addresses`` are the HOST:PORT under which members reach it (default: this machine's name). ``port`` to listen on
    is that of the first of them unless it is given. ``ask`` gives the passphrase of the operator's keys.
    """
    if addresses:
        check_addresses(tuple(addresses))
    if port is None:
        port = host_and_port(addresses[0])[1] if addresses else WsSettings().port
    operator = OperatorFolder.open(ca, ask)
    name = name or platform.node() or "web server"
    reach = tuple(addresses) or (f"{platform.node() or '127.0.0.1'}:{port}",)
    make_state_folder(folder)
    if not (folder / "config.toml").exists():
        write_config(WsSettings, folder, {"listen": listen, "port": port})
    identity = IdentityFolder(cluster_folder(folder, operator.cluster) / "identity")
    return identity.found(operator, name, reach, wall())


def run(folder: Path) -> int:
    """Run the web server of this state folder until it is told to stop; the exit status."""
    await_disk(folder, "ws")
    with StateFolder.enter(folder) as state:
        state.member(Role.WS)
        settings = read_config(WsSettings, folder)
        boot = state.next_boot()
        log = opened_log(folder, settings.log)
        return run_server(lambda reactor: WebServer(reactor, state, settings, boot), log)


class WebServer:
    """Everything that a running WS consists of."""

    def __init__(
        self,
        reactor: ReactorBase,
        state: StateFolder,
        settings: WsSettings,
        boot: Boot,
        wall: Wall = utc_now,
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._settings = settings
        self._boot = boot
        self._tasks = Tasks("ws")
        self._wall = wall
        self._clock = WallClock(reactor.seconds(), wall().timestamp())
        self._authority: AuthorityChild | None = None
        self._parts: _Parts | None = None
        self._port = 0
        self._status: IListeningPort | None = None

    async def start(self) -> None:
        """Read the journal, recover what a crash left, and open the door."""
        authority = await self._begin_authority()
        orders = private_folder(self._state.cluster() / ORDERS)
        forget_outcomes(orders)
        mandates = Mandates(authority, self._state.identity().root(), self._state.cluster(), orders)
        await mandates.begin()  # it may be what lets the authority issue again
        await mandates.tell(self._wall())
        certificate = OwnCertificate(self._state.member(Role.WS), authority)
        keeper = TokenKeeper(await certificate.next(), certificate.next, self._reactor, self._wall)
        parts = _Parts(
            self._reactor, self._state, self._settings, self._boot, self._wall, self._tasks, authority, mandates,
            keeper,
        )  # fmt: skip
        parts.join_up()
        await _recover(parts)
        self._keep_up(parts)
        self._port = parts.acceptor.listen(self._settings.port, self._settings.listen)
        self._status = serve_status(self._reactor, self._state.path, lambda: self._document(parts))
        self._parts = parts
        _log.info("web server {name} of cluster {cluster} serves on port {port}", name=parts.member.common_name,
                  cluster=parts.member.cluster, port=self._port)  # fmt: skip

    async def stop(self) -> None:
        """Say goodbye, finish what is being written, close the journal."""
        parts, self._parts = self._parts, None
        if parts is None:
            if self._authority is not None:
                await self._authority.close()
            return
        await parts.acceptor.close("the web server stops")
        await parts.watcher.stop()
        await self._tasks.stop()
        await parts.authority.close()
        await parts.storage.close()

    async def _begin_authority(self) -> AuthorityChild:
        assert isinstance(self._reactor, PosixReactorBase)
        self._authority = AuthorityChild(self._reactor, begin_of(self._state.identity(), self._settings))
        await self._authority.start()
        return self._authority

    def _keep_up(self, parts: _Parts) -> None:
        """Begin what is done again and again while the server runs."""
        repeat = partial(self._tasks.repeat, self._reactor)
        mandates, revocations = parts.mandates, parts.revocations
        self._tasks.spawn("own certificate", parts.keeper.run())
        repeat("leases and expiry", limits.TICK, lambda: self._tick(parts))
        repeat("delivery", limits.RESCAN, parts.delivery.retry)
        repeat("status files", limits.RESCAN, parts.status.retry)
        repeat("disk", DISK_LOOK, parts.disk.look)
        repeat("list of the revoked", REVOCATIONS_REISSUE, revocations.renew)
        repeat("what ends", limits.TELL_ENDS, lambda: mandates.tell(self._wall()))
        repeat("operator's orders", limits.ORDERS, mandates.follow_orders)
        repeat("orders to revoke", limits.ORDERS, revocations.follow_orders)
        repeat("copies", limits.ORDERS, lambda: follow_snapshot_orders(parts.folder, parts.storage))

    async def _tick(self, parts: _Parts) -> None:
        now = parts.shell.now()
        await parts.shell.perform(parts.queue.tick(now, self._clock.read(now, self._wall().timestamp())))

    def _document(self, parts: _Parts) -> dict[str, Any]:
        queue = parts.queue
        live = (state for state in queue.jobs.values() if not state.ended)
        return {
            "role": "ws",
            "boot": self._boot.id,
            "port": self._port,
            "lus": sorted(session.peer.common_name for session in parts.door.luses.values()),
            "certificate": parts.keeper.document(),
            "authority": parts.authority.document(),
            "mandates": parts.mandates.document(self._wall()),
            "revocations": parts.book.document(),
            "clock": parts.acceptor.clock_facts(parts.door.luses.values()),
            "disk": parts.disk.document(),
            "accounts": len(parts.members.accounts),
            "jobs": len(queue.jobs),
            "job_states": Counter(state.summary() for state in queue.jobs.values()),
            "live": [line(queue, state) for state in islice(live, limits.LIST_JOBS)],
        }


async def _recover(parts: _Parts) -> None:
    """See to what a crash left, or what came while nobody ran."""
    await parts.members.load()
    await parts.revocations.renew()
    clear_snapshots(parts.folder)
    parts.bundles.clear_incoming()
    parts.homes.clear_unfinished(parts.members.accounts)
    await parts.checkpoints.recover()
    parts.delivery.sweep_staging(await parts.storage.read(store.staged_files))
    for job, state in parts.queue.jobs.items():
        if not state.ended:
            parts.status.changed(job)
    parts.delivery.wake()
    parts.watcher.judged.update(await parts.storage.read(store.known_uploads))
    parts.watcher.start()


@attrs.define(slots=False, eq=False)
class _Parts:
    """What a web server consists of. Each part is built when it is first asked for, of those that it needs; what they
    tell each other goes through ``join_up``, once."""

    reactor: ReactorBase
    state: StateFolder
    settings: WsSettings
    boot: Boot
    wall: Wall
    tasks: Tasks
    authority: AuthorityChild
    mandates: Mandates
    keeper: TokenKeeper

    def join_up(self) -> None:
        """Let each part hear of what happens in others."""
        self.shell.changed, self.shell.answer_ready = self.status.changed, self.delivery.wake
        self.shell.drop_file, self.door.checkpoints = self.checkpoints.drop, self.checkpoints
        self.intake.check_room = self.disk.check_room
        self.members.check_caller = self.book.check_caller
        self.members.new_home = self.watcher.wake  # or its first upload would wait for the rescan
        self.disk.changed = lambda _: self.watcher.wake()
        self.door.whys.faults, self.door.whys.uploads = self.delivery.faults, self.watcher.stands

    # --- where things are ---------------------------------------------------------------------------

    @cached_property
    def member(self) -> Member:
        return self.state.member(Role.WS)

    @cached_property
    def root(self) -> x509.Certificate:
        return self.state.identity().root()

    @cached_property
    def folder(self) -> Path:
        return self.state.cluster()

    @cached_property
    def staging(self) -> Path:
        return private_folder(self.folder / "staging")

    @cached_property
    def homes(self) -> Homes:
        return Homes(private_folder(self.state.path / self.settings.homes))

    @cached_property
    def bundles(self) -> Bundles:
        return Bundles(private_folder(self.folder / "bundles"))

    # --- the journal and what it journals ------------------------------------------------------------

    @cached_property
    def workers(self) -> Workers:
        return ThreadWorkers(self.reactor)

    def _open_database(self) -> Connection:
        try:
            return open_database(
                self.folder / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID
            )
        except DamagedError as damaged:  # nothing may take the place of all that was accepted, unasked
            raise DamagedError(f"{damaged}: rjs ws restore {self.state.path} BACKUP") from damaged

    @cached_property
    def _journal(self) -> tuple[Queue, StorageThread]:
        """The queue is read before the database is the thread's alone."""
        database = self._open_database()
        return store.load_queue(database, self.reactor.seconds()), StorageThread(self.reactor, database)

    @property
    def queue(self) -> Queue:
        return self._journal[0]

    @property
    def storage(self) -> StorageThread:
        return self._journal[1]

    @cached_property
    def shell(self) -> Shell:
        return Shell(self.queue, self.storage, self.reactor, restart, self.wall)

    @cached_property
    def disk(self) -> DiskWatch:
        return DiskWatch(self.state.path, self.workers)

    # --- people, and who may -------------------------------------------------------------------------

    @cached_property
    def members(self) -> Members:
        return Members(
            self.storage, self.workers, self.homes, self.authority, self.root, wall=self.wall,
            accepted=lambda: self.mandates.acceptance,
        )  # fmt: skip

    @cached_property
    def book(self) -> RevocationBook:
        return RevocationBook(self.root, self.folder / REVOCATIONS, self.wall)

    @cached_property
    def revocations(self) -> RevocationDesk:
        return RevocationDesk(
            self.book, self.authority, self.root, self.shell, self.members, self.tasks, self.mandates.orders
        )

    # --- jobs in, answers out ------------------------------------------------------------------------

    @cached_property
    def intake(self) -> Intake:
        return Intake(
            self.shell, self.bundles, self.homes, JobSets(self.homes), self.workers, self.member.cluster,
            self.members.signers, self.revocations.check_upload,
        )  # fmt: skip

    @cached_property
    def watcher(self) -> Watcher:
        return Watcher(
            self.reactor, self.homes, self.intake, self.status, self.workers, self.tasks,
            lambda: frozenset(self.members.accounts), {}, lambda: self.wall().timestamp(),
        )  # fmt: skip

    @cached_property
    def progress(self) -> ProgressBook:
        return ProgressBook(self.shell)

    @cached_property
    def status(self) -> StatusFiles:
        return StatusFiles(
            self.homes, self.workers, self.reactor, self.tasks, lambda job: self.queue.jobs[job],
            partial(line, self.queue), self.progress.of_job,
        )  # fmt: skip

    @cached_property
    def delivery(self) -> Delivery:
        return Delivery(self.storage, self.homes, self.workers, self.tasks, self.staging)

    @cached_property
    def answers(self) -> AnswerDesk:
        return AnswerDesk(
            self.shell, self.workers, self.staging, self.root, lambda: self.members.answer_keys, Seals(self.bundles),
            check_signer=self.book.check_answer,
        )  # fmt: skip

    @cached_property
    def checkpoints(self) -> CheckpointDesk:
        return CheckpointDesk(
            self.shell, self.workers, private_folder(self.folder / "checkpoints"), self.root,
            lambda: self.members.answer_keys, self.book.check_answer,
        )  # fmt: skip

    # --- the door ------------------------------------------------------------------------------------

    @cached_property
    def door(self) -> WsDoor:
        return WsDoor(self.shell, self.intake, self.answers, self.members, self.workers, self.progress)

    @cached_property
    def acceptor(self) -> Acceptor:
        member, boot = self.member, self.boot
        me = Self(member.name.uri(), member.cluster, boot.id, boot.count, __version__)
        context = server_context(self.keeper.identity, Role, self.wall)
        context.guests = self.mandates.guest
        self.keeper.renewed = context.renew
        guarded = GuardedDoor(self.door, self.book, self.revocations.routes())
        return Acceptor(self.reactor, me, guarded, context, limits.SESSIONS)
