"""Builds the compute server: the only place that names its concrete classes."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from cs import job_library, ledger, limits
from cs.api import CsDoor
from cs.attempt import Owner, Preparation
from cs.bundles import Bundles
from cs.checkpoint_store import CheckpointStore
from cs.checkpoints import CheckpointDesk
from cs.config import CsSettings
from cs.control_channel import JobDesk, doors_folder
from cs.java import Java, find_java
from cs.linpack import is_provisional, load_or_measure
from cs.linpack_values import LinpackRecord
from cs.lookup_servers import LookupServers
from cs.network_proxy_desk import NetworkDesk
from cs.offer import offering
from cs.refusals import Refusals
from cs.sandbox_choice import Choice, choose
from cs.shell import Shell
from cs.spawner.client import Spawner, start_spawner
from cs.speed_keeper import LOOK, SpeedKeeper
from cs.spool import Spool
from cs.task_machine import TaskMachine
from cs.trust_store import TrustFolder
from cs.wheels import Wheels
from cs.workplace import remove_tree
from rjs import __version__
from rjs.background import Tasks, ThreadWorkers
from rjs.config import read_config
from rjs.discovery import Announcement, Link, Service
from rjs.disk import DiskWatch, await_disk, restart
from rjs.errors import UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.lifetimes import check_renewable
from rjs.identity.names import Role
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.tls import ClientContext, client_context, server_context
from rjs.ids import ServerId
from rjs.limits import DISK_LOOK, MIB
from rjs.log_file import opened_log
from rjs.process import run_server
from rjs.quarantine import Quarantine, open_or_begin_anew
from rjs.renewal import TokenKeeper, renew_over
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.state import Boot, StateFolder, private_folder
from rjs.status import offer_facts, serve_status
from rjs.storage import StorageThread
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.dial import Acceptor
from rjs.wire.session import Self, Session

_log = Logger("cs")


def run(folder: Path) -> int:
    """Run the compute server of this state folder until it is told to stop; the exit status.

    Raises ConfigError where jobs cannot be confined and the owner has not accepted that.
    """
    await_disk(folder, "cs")
    with StateFolder.enter(folder) as state:
        state.member(Role.CS)
        settings = read_config(CsSettings, folder)
        log = opened_log(folder, settings.log)
        boot = state.next_boot()
        java = find_java(settings.java)
        choice = choose(settings, folder, java)
        spawner = start_spawner()
        record = load_or_measure(folder)
        return run_server(
            lambda reactor: ComputeServer(reactor, state, settings, boot, spawner, record, java, choice), log
        )


class ComputeServer:
    """Everything that a running CS consists of."""

    def __init__(
        self,
        reactor: ReactorBase,
        state: StateFolder,
        settings: CsSettings,
        boot: Boot,
        spawner: Spawner,
        record: LinpackRecord,
        java: Java | None,
        choice: Choice,
        wall: Wall = utc_now,
    ) -> None:
        self._reactor = reactor
        self._state = state
        self._settings = settings
        self._boot = boot
        self._spawner = spawner
        self._record = record
        self._java = java
        self._choice = choice
        self._wall = wall
        self._tasks = Tasks("cs")
        self._member = state.member(Role.CS)
        self._trust = TrustFolder(state.cluster())
        self._quarantine = Quarantine(state.cluster() / "quarantine")
        self._seen_trust = self._trust.current()
        self._trust_epoch = 0
        self._link: Link | None = None
        self._port = 0
        self._announced: ServerId | None = None
        self._looked: ServerId | None = None
        self._status: IListeningPort | None = None

    async def start(self) -> None:
        """Recover what waits for its commit notice, open the door, announce."""
        assert isinstance(self._reactor, PosixReactorBase)
        self._spawner.attach(self._reactor)
        cluster = self._state.cluster()
        self._storage = self._open_ledger(cluster)
        await self._storage.write(partial(ledger.forget_expired, wall=self._wall().timestamp()))
        self._book = RevocationBook(self._state.identity().root(), cluster / REVOCATIONS, self._wall)
        self._disk = DiskWatch(
            self._state.path, ThreadWorkers(self._reactor), lambda _: self._shell.offer_changed()
        )
        self._shell = self._build_shell(cluster)
        self._shell.checkpoints = self._checkpoint_desk(cluster)
        self._shell.grace = self._settings.grace
        await self._judge_spool()
        self._book.changed = self._shell.judge_again
        self._keeper = TokenKeeper(self._state.identity().token(), self._renewed, self._reactor, self._wall)
        self._keeper.renewed = self._show
        self._shell.served = self._keeper.poke
        self._shell.may_work = self._book.may_tell = lambda: not self._keeper.expired
        self._open_doors()
        self._keep_up()
        self._status = serve_status(self._reactor, self._state.path, self._document)
        _log.info("compute server {name} of cluster {cluster} serves on port {port}: {mflops:.0f} MFLOPS",
                  name=self._member.common_name, cluster=self._member.cluster, port=self._port,
                  mflops=self._record.median_mflops)  # fmt: skip
        _log.info("sandbox: {words}", words=self._choice.words)
        for each in self._choice.lacking:
            _log.warn("sandbox: {lacking}", lacking=each)

    def _open_ledger(self, cluster: Path) -> StorageThread:
        database = open_or_begin_anew(
            cluster / "ledger.sqlite", ledger.MIGRATIONS, ledger.APPLICATION_ID, self._quarantine, ledger.WITHOUT,
            self._wall(),
        )  # fmt: skip
        return StorageThread(self._reactor, database)

    def _open_doors(self) -> None:
        """To jobs, and to lookup servers: they may dial us, and we them."""
        me = Self(self._member.name.uri(), self._member.cluster, self._boot.id, self._boot.count, __version__)
        self._shell.jobs = self._jobs = self._job_desk(me)
        self._jobs.checkpoints = self._shell.checkpoints
        door = CsDoor(self._shell)
        guarded = GuardedDoor(door, self._book)
        self._context = server_context(self._keeper.identity, Role, self._wall)
        self._acceptor = Acceptor(self._reactor, me, guarded, self._context, limits.LUS_SESSIONS)
        self._port = self._acceptor.listen(self._settings.port, self._settings.listen)
        self._lookup = LookupServers(
            self._reactor, me, guarded, self._tasks, self._lus_context, self._serving, door.numbers
        )
        self._lookup.always([*self._settings.lus, *self._member.lus])
        self._link = Link(self._reactor, self._settings.interfaces)
        self._announce(None)
        self._link.browse(Service.LUS, self._member.cluster, self._lookup.seen)

    def _keep_up(self) -> None:
        """Begin what is done again and again while the server runs."""
        repeat = partial(self._tasks.repeat, self._reactor)
        self._tasks.spawn("own certificate", self._keeper.run())
        repeat("disk", DISK_LOOK, self._look_at_disk)
        repeat("announcement", limits.SERVED_LOOK, self._look_at_lus)
        repeat("trust", limits.TRUST_LOOK, self._look_at_trust)
        repeat("offer", limits.OFFER_LOOK, self._look_at_offer)
        if is_provisional(self._record):
            repeat("speed", LOOK, self._speed().look)

    async def stop(self) -> None:
        """Give the running task back, leave the LAN, end every process."""
        if self._link is None:
            await self._spawner.close()
            return
        await self._shell.close()
        await self._acceptor.close("the compute server stops")
        await self._link.stop()
        await self._tasks.stop()
        self._shell.preparation.bundles.close()
        await self._storage.close()
        with suppress(OSError):  # what a worker still has in hand is removed at the next start
            for folder in (self._shell.work, self._state.path / limits.DOORS):
                for left in folder.iterdir():
                    remove_tree(left)

    def _build_shell(self, cluster: Path) -> Shell:
        workers = ThreadWorkers(self._reactor)
        work = private_folder(cluster / "work")
        for left in work.iterdir():
            remove_tree(left)
        spool = Spool(private_folder(cluster / "spool"))
        self._offering = offering(
            self._settings, work, self._java.version if self._java else "", self._choice.level
        )  # fmt: skip
        self._offer = self._offering.now()
        owner = Owner(
            ServerId(self._member.id), self._member.common_name, self._member.cluster,
            self._record.median_mflops, self._state.identity().answer(),
        )  # fmt: skip
        bundles = Bundles(
            private_folder(cluster / "cache"), workers, self._reactor, self._offering.fixed.platform,
            self._settings.cache * MIB, self._wall,
        )  # fmt: skip
        bundles.sweep()
        wheels = Wheels(private_folder(cluster / "wheels"))
        wheels.sweep()
        walls = self._choice.walls
        preparation = Preparation(
            owner, bundles, self._storage, workers, self._trust.current, self._offering.now, wheels, self._java,
            self._book.check_signer, self._check_ready, self._wall,
            job_library.provide(cluster / "python", confined=walls is not None), walls,
        )  # fmt: skip
        return Shell(
            TaskMachine(spool.recover()), owner, preparation, spool, work, self._spawner, self._new_spawner, workers,
            self._reactor, self._tasks, self._describe, Refusals(self._state.path),
            networks=NetworkDesk(self._reactor, self._trust.current, self._settings.network * MIB, self._wall),
        )  # fmt: skip

    def _checkpoint_desk(self, cluster: Path) -> CheckpointDesk:
        shell, folder = self._shell, private_folder(cluster / "checkpoints")
        staging = private_folder(folder / "staging")
        for left in staging.iterdir():
            remove_tree(left)
        own = CheckpointStore(private_folder(folder / "own"))
        own.recover(self._wall().timestamp())
        desk = CheckpointDesk(
            shell.owner, CheckpointStore(private_folder(folder / "outgoing")), own, staging, shell.workers,
            self._storage, self._reactor, self._tasks, shell.machine, shell.perform, lambda: shell.work_session,
            self._book.check_answer, self._wall,
        )  # fmt: skip
        desk.recover()
        return desk

    async def _judge_spool(self) -> None:
        """Answers that cannot be believed any more are nobody's: their tasks are worth doing again at once."""
        shell = self._shell
        judged = partial(shell.spool.set_aside, tuple(shell.machine.holding), shell.owner.answer)
        for attempt, why in (await shell.workers.run(judged, self._quarantine, self._wall)).items():
            shell.perform(
                shell.machine.answer_damaged(attempt, f"its answer was damaged on this machine's disk: {why}")
            )

    def _job_desk(self, me: Self) -> JobDesk:
        doors = doors_folder(self._state.path / limits.DOORS)
        return JobDesk(
            self._reactor, self._tasks, self._shell.workers, me, self._member.id, doors,
            lambda: self._keeper.identity, lambda: self._shell.work_session, self._wall,
        )  # fmt: skip

    def _show(self, identity: Identity) -> None:
        """Our certificate was renewed: every door shows it from the next connection on."""
        self._context.renew(identity)
        self._jobs.renewed(identity)

    def _new_spawner(self) -> Spawner:
        assert isinstance(self._reactor, PosixReactorBase)
        spawner = start_spawner()
        spawner.attach(self._reactor)
        return spawner

    def _describe(self) -> m.CsState:
        self._offer = self._offering.now()
        machine, owner = self._shell.machine, self._shell.owner
        return m.CsState(
            name=owner.name,
            mflops=owner.mflops,
            offer=self._offer,
            trust_epoch=self._trust_epoch,
            busy=machine.attempt is not None or bool(self._disk.state.code),
            running=() if machine.attempt is None else (machine.attempt,),
            holding=machine.untold,
        )

    async def _renewed(self) -> Identity:
        """The next certificate, carried by the LUS that serves us; it dials anew where the old one had expired."""
        session, expired = self._shell.session, self._keeper.expired
        check_renewable(
            self._keeper.identity.chain, self._wall()
        )  # beyond the grace, that is all that is the matter
        if session is None:
            raise UnreachableError("no lookup server is here to carry the request to the web server")
        identity = await renew_over(self._reactor, session, self._state.identity(), self._wall)
        if expired:
            session.close("renewed", "our certificate has been renewed; dial anew")
        return identity

    def _serving(self) -> Session | None:
        return self._shell.session if self._shell.served_now else None

    def _lus_context(self, lus: str | None) -> ClientContext:
        return client_context(self._keeper.identity, Role.LUS, lus, wall=self._wall)

    def _announce(self, serves: ServerId | None) -> None:
        assert self._link is not None
        me, boot, cluster = ServerId(self._member.id), self._boot.id, self._member.cluster
        self._link.announce(Announcement(Service.CS, me, boot, cluster, self._port, serves=serves))
        self._announced = serves

    def _look_at_lus(self) -> None:
        """Other LUSs leave us to the one that we serve. That none is served is told when it lasts."""
        session = self._serving()
        serves = None if session is None else ServerId(session.peer.name.id)
        if serves != self._announced and (serves is not None or self._looked is None):
            self._announce(serves)
        self._looked = serves

    def _check_ready(self) -> None:
        """Raises RefusedError while nothing new is to be started here."""
        self._book.check_fresh()
        self._disk.check_room()

    async def _look_at_disk(self) -> None:
        """A ledger that could not be written takes nothing more before the next start."""
        await self._disk.look()
        if self._storage.broken and self._disk.state.writable:
            restart(self._storage.broken)

    def _look_at_trust(self) -> None:
        """The owner changed the trust store: what was refused before is worth offering again."""
        trust = self._trust.current()
        if trust != self._seen_trust:
            self._seen_trust = trust
            self._trust_epoch += 1
            self._shell.trust_changed()

    def _look_at_offer(self) -> None:
        """The owner's own files leave more or less room than the LUS was told."""
        if self._offering.now() != self._offer:
            self._shell.offer_changed()

    def _speed(self) -> SpeedKeeper:
        def why_not() -> str:
            return "a task runs" if self._shell.machine.attempt is not None else ""

        workers = ThreadWorkers(self._reactor)
        return SpeedKeeper(self._state.path, self._record, workers, why_not, self._measured)

    def _measured(self, record: LinpackRecord) -> None:
        """The machine was quiet, and this is what it can."""
        self._record = record
        self._shell.owner = attrs.evolve(self._shell.owner, mflops=record.median_mflops)
        self._shell.offer_changed()

    def _document(self) -> dict[str, Any]:
        machine, session = self._shell.machine, self._shell.session
        return {
            "role": "cs",
            "name": self._member.common_name,
            "boot": self._boot.id,
            "port": self._port,
            "certificate": self._keeper.document(),
            "revocations": self._book.document(),
            "disk": self._disk.document(),
            "clock": self._acceptor.clock_facts([] if session is None else [session]),
            "mflops": self._record.median_mflops,
            "measured": self._record.date,
            "offer": offer_facts(self._offering.now()),
            "java": f"{self._java.version} at {self._java.path}" if self._java else None,
            "sandbox": self._choice.words,
            "confined": bool(self._choice.level),
            "lacking": list(self._choice.lacking),
            "network": self._shell.networks.document() if self._shell.networks else {},
            "state": machine.slot.value,
            "task": None if machine.attempt is None else f"{machine.attempt.job[:16]}/{machine.attempt.task}",
            "answers_waiting": len(machine.holding),
            "lus": None if session is None else session.peer.common_name,
            "lookup_servers": {each.name: each.trouble for each in self._lookup.known.values()},
            "trusted": len(self._trust.current().grants),
            "trust_fault": self._trust.current().fault,
            "refused": self._shell.refusals.document(),
            "quarantine": self._quarantine.document(),
        }
