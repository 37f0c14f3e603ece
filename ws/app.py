"""Builds the web server: the only place that names its concrete classes."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from rjs import __version__
from rjs.background import Tasks, ThreadWorkers
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
from rjs.orders import ORDERS, forget_refusals
from rjs.process import run_server
from rjs.renewal import TokenKeeper
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.state import Boot, StateFolder, cluster_folder, make_state_folder, private_folder
from rjs.status import serve_status
from rjs.storage import StorageThread, open_database
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
from ws.config import WsSettings
from ws.homes import Homes
from ws.intake import Intake
from ws.job_sets import JobSets
from ws.job_tokens import ProgressBook
from ws.mandates import Mandates
from ws.members import Members
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

    async def start(self) -> None:
        """Read the journal, recover what a crash left, and open the door."""
        member, folder = self._state.member(Role.WS), self._state.cluster()
        self._authority = self._new_authority()
        await self._authority.start()
        orders = private_folder(folder / ORDERS)
        mandates = Mandates(self._authority, self._state.identity().root(), folder, orders)
        await mandates.begin()  # it may be what lets the authority issue again
        await mandates.tell(self._wall())
        certificate = OwnCertificate(member, self._authority)
        keeper = TokenKeeper(await certificate.next(), certificate.next, self._reactor, self._wall)
        parts = self._build(member, folder, self._authority, keeper, mandates)
        await parts.members.load()
        forget_refusals(parts.revocations.orders)
        await parts.revocations.renew()
        clear_snapshots(folder)
        parts.intake.bundles.clear_incoming()
        parts.homes.clear_unfinished(parts.members.accounts)
        parts.delivery.sweep_staging(await parts.storage.read(store.staged_files))
        for job, state in parts.shell.queue.jobs.items():
            if not state.ended:
                parts.status.changed(job)
        parts.delivery.wake()
        parts.watcher.judged.update(await parts.storage.read(store.known_uploads))
        parts.watcher.start()
        self._tasks.repeat(self._reactor, "leases and expiry", limits.TICK, lambda: self._tick(parts))
        self._tasks.repeat(self._reactor, "delivery", limits.RESCAN, parts.delivery.retry)
        self._tasks.repeat(self._reactor, "status files", limits.RESCAN, parts.status.retry)
        self._tasks.repeat(self._reactor, "disk", DISK_LOOK, parts.disk.look)
        self._tasks.spawn("own certificate", keeper.run())
        self._tasks.repeat(self._reactor, "list of the revoked", REVOCATIONS_REISSUE, parts.revocations.renew)
        self._tasks.repeat(self._reactor, "operator's orders", limits.ORDERS, mandates.follow_orders)
        self._tasks.repeat(self._reactor, "what ends", limits.TELL_ENDS, lambda: mandates.tell(self._wall()))
        self._tasks.repeat(self._reactor, "orders to revoke", limits.ORDERS, parts.revocations.follow_orders)
        self._tasks.repeat(
            self._reactor, "copies", limits.ORDERS, lambda: follow_snapshot_orders(folder, parts.storage)
        )
        parts.port = parts.acceptor.listen(self._settings.port, self._settings.listen)
        parts.status_port = serve_status(self._reactor, self._state.path, lambda: self._document(parts))
        self._parts = parts
        _log.info("web server {name} of cluster {cluster} serves on port {port}", name=member.common_name,
                  cluster=member.cluster, port=parts.port)  # fmt: skip

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

    def _new_authority(self) -> AuthorityChild:
        assert isinstance(self._reactor, PosixReactorBase)
        return AuthorityChild(self._reactor, begin_of(self._state.identity(), self._settings))

    def _build(
        self,
        member: Member,
        folder: Path,
        authority: AuthorityChild,
        keeper: TokenKeeper,
        mandates: Mandates,
    ) -> _Parts:
        reactor, workers = self._reactor, ThreadWorkers(self._reactor)
        try:
            database = open_database(
                folder / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID
            )
        except DamagedError as damaged:  # nothing may take the place of all that was accepted, unasked
            raise DamagedError(f"{damaged}: rjs ws restore {self._state.path} BACKUP") from damaged
        queue = store.load_queue(database, reactor.seconds())
        storage = StorageThread(reactor, database)
        disk = DiskWatch(self._state.path, workers, lambda _: watcher.wake())
        shell = Shell(queue, storage, reactor, restart, self._wall)
        homes = Homes(private_folder(self._state.path / self._settings.homes))
        root = self._state.identity().root()
        members = Members(
            storage, workers, homes, authority, root, wall=self._wall, accepted=lambda: mandates.acceptance
        )
        bundles = Bundles(private_folder(folder / "bundles"))
        book = RevocationBook(root, folder / REVOCATIONS, self._wall)
        members.check_caller = book.check_caller
        revocations = RevocationDesk(book, authority, root, shell, members, self._tasks, mandates.orders)
        intake = Intake(
            shell, bundles, homes, JobSets(homes), workers, member.cluster, members.signers, revocations.check_upload,
        )  # fmt: skip
        staging = private_folder(folder / "staging")
        progress = ProgressBook(shell)
        status = StatusFiles(
            homes, workers, reactor, self._tasks, lambda job: queue.jobs[job], partial(line, queue),
            progress.of_job,
        )  # fmt: skip
        delivery = Delivery(storage, homes, workers, self._tasks, staging)
        shell.changed, shell.answer_ready = status.changed, delivery.wake
        answers = AnswerDesk(
            shell, workers, staging, root, lambda: members.answer_keys, Seals(bundles),
            check_signer=book.check_answer,
        )  # fmt: skip
        intake.check_room = disk.check_room
        door = WsDoor(shell, intake, answers, members, workers, progress)
        me = Self(member.name.uri(), member.cluster, self._boot.id, self._boot.count, __version__)
        context = server_context(keeper.identity, Role, self._wall)
        context.guests = mandates.guest
        keeper.renewed = context.renew
        guarded = GuardedDoor(door, book, revocations.routes())
        acceptor = Acceptor(reactor, me, guarded, context, limits.SESSIONS)
        watcher = Watcher(
            reactor,
            homes,
            intake,
            status,
            workers,
            self._tasks,
            lambda: frozenset(members.accounts),
            {},
            lambda: self._wall().timestamp(),
        )
        door.whys.faults, door.whys.uploads = delivery.faults, watcher.stands
        members.new_home = watcher.wake  # or its first upload would wait for the rescan
        return _Parts(
            homes,
            storage,
            shell,
            members,
            intake,
            delivery,
            status,
            watcher,
            door,
            acceptor,
            authority,
            keeper,
            revocations,
            mandates,
            disk,
        )

    async def _tick(self, parts: _Parts) -> None:
        now = parts.shell.now()
        await parts.shell.perform(
            parts.shell.queue.tick(now, self._clock.read(now, self._wall().timestamp()))
        )

    def _document(self, parts: _Parts) -> dict[str, Any]:
        queue = parts.shell.queue
        live = (state for state in queue.jobs.values() if not state.ended)
        return {
            "role": "ws",
            "boot": self._boot.id,
            "port": parts.port,
            "lus": sorted(session.peer.common_name for session in parts.door.luses.values()),
            "certificate": parts.keeper.document(),
            "authority": parts.authority.document(),
            "mandates": parts.mandates.document(self._wall()),
            "revocations": parts.revocations.book.document(),
            "clock": parts.acceptor.clock_facts(parts.door.luses.values()),
            "disk": parts.disk.document(),
            "accounts": len(parts.members.accounts),
            "jobs": len(parts.shell.queue.jobs),
            "job_states": Counter(state.summary() for state in queue.jobs.values()),
            "live": [line(queue, state) for state in islice(live, limits.LIST_JOBS)],
        }


@attrs.define
class _Parts:
    """What ``start`` built and ``stop`` takes apart."""

    homes: Homes
    storage: StorageThread
    shell: Shell
    members: Members
    intake: Intake
    delivery: Delivery
    status: StatusFiles
    watcher: Watcher
    door: WsDoor
    acceptor: Acceptor
    authority: AuthorityChild
    keeper: TokenKeeper
    revocations: RevocationDesk
    mandates: Mandates
    disk: DiskWatch
    port: int = 0
    status_port: IListeningPort | None = None
