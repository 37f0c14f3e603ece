"""A whole cluster in one process, without a reactor: the real rules, shells and doors of every server, on
simulated links, disks and processes, that can be killed, cut off and silenced at any instant.

Not simulated, and tested elsewhere: TLS and frames, discovery, bundles and answers (attempts yield a few bytes),
the folders of users.
"""

from __future__ import annotations

import contextlib
import io
import sqlite3
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

import attrs
from invariants import check_board, check_machine, check_queue
from simulated_links import Link, ProcessClock, SimulatedClock, SimulatedStorage
from twisted.internet.defer import Deferred

import cs.api
import cs.shell
import lus.api
import lus.shell
import ws.api
import ws.shell
from cs import ledger
from cs.spawner.errors import NotStartedError, SpawnerDiedError
from cs.spawner.messages import Ended
from cs.spool import Spooled
from cs.task_machine import Slot, TaskMachine
from lus.board import Board
from rjs.attempts import AttemptId
from rjs.background import Tasks, sleep
from rjs.descriptor.model import Descriptor, Permissions
from rjs.errors import OverloadedError, RefusedError
from rjs.identity.names import RjsName, Role
from rjs.ids import BundleId
from rjs.jobs import TaskState
from rjs.limits import GIB
from rjs.needs import Needs, Offer
from rjs.storage import Connection
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from ws import store
from ws.answers import AnswerDesk
from ws.job import Job

DESCRIPTOR = Descriptor(name="job", runtime="python", entry="run.py")
RUNS = (Slot.RUNNING, Slot.COLLECTING)
OFFER = Offer(memory=GIB, cores=1, disk=GIB, python="3.11.7")

P = ParamSpec("P")
T = TypeVar("T")


def disk(migrations: tuple[str, ...]) -> Connection:
    """A disk that outlives processes."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for each in migrations:
        connection.executescript(each)
    return connection


@attrs.define
class Workers:
    """Workers that take their time."""

    timers: ProcessClock
    random: Random

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See rjs.background.Workers."""
        await sleep(self.timers, self.random.choice((0.0, 0.001, 0.3)))
        return function(*args, **kwargs)


class Server:
    """A process of any role."""

    def __init__(self, cluster: SimulatedCluster, role: Role, number: int, boot_count: int) -> None:
        self.cluster = cluster
        self.name = RjsName(role, f"{number:032x}")
        self.boot = f"{cluster.random.getrandbits(128):032x}"
        self.boot_count = boot_count
        self.timers = ProcessClock(cluster.clock)
        self.tasks = Tasks(self.name.uri())
        self.workers = Workers(self.timers, cluster.random)

    def storage(self, connection: Connection) -> SimulatedStorage:
        """This process's door to a disk."""
        return SimulatedStorage(self.timers, connection, lambda: self.cluster.random.choice((0.0, 0.01, 0.5)))


@attrs.define(eq=False)
class Desk(AnswerDesk):
    """Answers here are a few bytes that nobody signed; now and then there is too much to do to look at them."""

    cluster: SimulatedCluster

    def _verify(self, offer: m.AnswerOffer, staged: Path | None) -> None:
        assert len(offer.data) == offer.size
        if self.cluster.faulty and self.cluster.random.random() < 0.1:
            raise OverloadedError("workers", "too much to do")


class WebServer(Server):
    """A WS process."""

    def __init__(self, cluster: SimulatedCluster, boot_count: int) -> None:
        super().__init__(cluster, Role.WS, 1, boot_count)
        self.queue = store.load_queue(cluster.disk, self.timers.seconds())
        self.shell = ws.shell.Shell(
            self.queue, self.storage(cluster.disk), self.timers, cluster.defects.append
        )
        desk = Desk(self.shell, self.workers, Path(), cast(Any, None), dict, cast(Any, None), cluster)
        self.door = ws.api.WsDoor(self.shell, cast(Any, None), desk, cast(Any, None), self.workers)
        self.tasks.repeat(self.timers, "tick", 1.0, self._tick)

    def _tick(self) -> None:
        now = self.timers.seconds()
        self.shell.perform(self.queue.tick(now, now))


class LookupServer(Server):
    """A LUS process; ``reached`` and ``dead`` are those of lus.contacts."""

    def __init__(self, cluster: SimulatedCluster, number: int, boot_count: int) -> None:
        super().__init__(cluster, Role.LUS, number, boot_count)
        self.board = Board()
        self.shell = lus.shell.Shell(self.board, self.timers, self.tasks)
        bundles = cast(Any, SimpleNamespace(know=lambda job: None))
        self.ws_door = lus.api.WsDoor(self.shell, bundles)
        self.cs_door = lus.api.CsDoor(self.shell, bundles)
        self.dials = 0
        self.reached: dict[RjsName, str] = {}
        self.tasks.repeat(self.timers, "tick", 0.5, self._tick)
        self.tasks.repeat(self.timers, "renewal", 20.0, self.shell.renew)

    def _tick(self) -> None:
        self.shell.perform(self.board.tick(self.timers.seconds()))

    def refused(self, called: RjsName) -> None:
        """Nobody listens there."""
        if self.reached.pop(called, None) is not None and called.role is Role.CS:
            self.shell.perform(self.board.cs_dead(called.id, self.timers.seconds()))


class Spool:
    """The files of a CS's spool; they outlive its processes."""

    def __init__(self) -> None:
        self.files: dict[AttemptId, bytes] = {}

    def recover(self) -> list[AttemptId]:
        """See cs.spool."""
        return sorted(self.files)

    def keep(self, attempt: AttemptId, write: Callable[[BinaryIO], object]) -> None:
        """See cs.spool."""
        file = io.BytesIO()
        write(file)
        self.files[attempt] = file.getvalue()

    def load(self, attempt: AttemptId) -> Spooled:
        """See cs.spool."""
        if attempt not in self.files:
            raise FileNotFoundError(attempt)
        data = self.files[attempt]
        return Spooled(Path(), len(data), data.hex().ljust(64, "0")[:64], data)

    def forget(self, attempt: AttemptId) -> None:
        """See cs.spool."""
        self.files.pop(attempt, None)


@attrs.define
class Spawner:
    """Runs one attempt at a time, and ends it in every way that there is."""

    timers: ProcessClock
    cluster: SimulatedCluster
    alive: bool = True
    _running: Deferred[Ended] | None = None

    async def run(self, prepared: Any) -> Ended:
        """See cs.spawner.client."""
        assert self._running is None, "two attempts at once"
        self.cluster.began(prepared.attempt)
        random, running = self.cluster.random, Deferred[Ended]()
        self._running = running
        outcome: Ended | Exception = _ended(0)
        if self.cluster.faulty and random.random() < 0.2:
            outcome = random.choice(
                (_ended(1), _ended(1), NotStartedError("spawner.program", "no"), SpawnerDiedError("died"))
            )
        seconds = self.cluster.task_seconds or random.choice((0.1, 2.0, 25.0)) * random.random()
        self.timers.callLater(seconds, self._end, running, outcome)
        return await running

    def stop(self, grace: float = 0.0) -> None:
        """See cs.spawner.client."""
        if self._running is not None:
            self.timers.callLater(0.1 + grace, self._end, self._running, _ended(None))

    def _end(self, running: Deferred[Ended], outcome: Ended | Exception) -> None:
        if self._running is running:
            self._running = None
            running.errback(outcome) if isinstance(outcome, Exception) else running.callback(outcome)


def _ended(status: int | None) -> Ended:
    return Ended(status, None if status is not None else 9, None, status is None, 1.0, 1.0, 1, 0)


@attrs.define
class Preparation:
    """Takes its time, records in the real ledger, and refuses now and then."""

    server: ComputeServer
    wall: Wall = utc_now

    async def prepare(self, attempt: AttemptId, job: m.JobBrief, *_: object) -> Any:
        """See cs.attempt."""
        server, random = self.server, self.server.cluster.random
        await sleep(server.timers, random.choice((0.0, 0.05, 6.0)) * random.random())
        if job.job in server.distrusts:
            raise RefusedError("not-trusted", "the owner does not trust its signer")
        if server.cluster.faulty and random.random() < 0.1:
            raise RefusedError("no-blob", "the bundle cannot be had now")
        await server.ledger.write(partial(ledger.record, attempt=attempt, not_after=1e12))
        return SimpleNamespace(
            attempt=attempt,
            workplace=SimpleNamespace(tail=lambda: "tail"),
            bundle=job.job,
            descriptor=DESCRIPTOR,
        )

    def check_may_run(self, bundle: str, _: Permissions) -> None:
        """See cs.attempt."""
        if bundle in self.server.distrusts:
            raise RefusedError("not-trusted", "the owner does not trust its signer any more")

    def check_fresh(self) -> None:
        """Nothing is revoked here."""

    @property
    def bundles(self) -> Any:
        """Nothing is fetched here."""
        return SimpleNamespace(stop_fetching=lambda: None)

    @property
    def wheels(self) -> Any:
        """Nothing is unpacked here."""
        return SimpleNamespace(release=lambda attempt: None)


class ComputeServer(Server):
    """A CS process; its spool and its ledger are older."""

    def __init__(self, cluster: SimulatedCluster, number: int, boot_count: int) -> None:
        super().__init__(cluster, Role.CS, number, boot_count)
        self.spool, ledger_disk = cluster.cs_disks[number]
        self.ledger = self.storage(ledger_disk)
        self.distrusts: set[str] = set()
        self.trust_epoch = 0
        self.machine = TaskMachine(self.spool.recover())
        spawner = Spawner(self.timers, cluster)
        owner = cast(Any, SimpleNamespace(id=self.name.id, name=f"cs{number}"))
        self.shell = cs.shell.Shell(
            self.machine, owner, cast(Any, Preparation(self)), cast(Any, self.spool), Path("/nonexistent"),
            cast(Any, spawner), lambda: cast(Any, Spawner(self.timers, cluster)), self.workers, self.timers,
            self.tasks, self._describe,
        )  # fmt: skip
        self.door = cs.api.CsDoor(self.shell)

    def _describe(self) -> m.CsState:
        machine = self.machine
        return m.CsState(
            name=self.name.id[-4:], mflops=1.0, offer=OFFER, trust_epoch=self.trust_epoch,
            busy=machine.attempt is not None, running=() if machine.attempt is None else (machine.attempt,),
            holding=machine.untold,
        )  # fmt: skip

    def trust(self, distrusted: set[str]) -> None:
        """The owner edits the trust store."""
        self.distrusts = distrusted
        self.trust_epoch += 1
        self.shell.trust_changed()


class SimulatedCluster:
    """One WS, LUSs and CSs; all that happens follows from the seed. ``faulty``: attempts fail now and then.
    ``task_seconds``: how long they run, instead of at random."""

    def __init__(self, seed: int, luses: int = 2, css: int = 3) -> None:
        self.random = Random(seed)
        self.clock = SimulatedClock()
        self.disk = disk(store.MIGRATIONS)
        self.cs_disks = {number: (Spool(), disk(ledger.MIGRATIONS)) for number in range(css)}
        self.defects: list[str] = []
        self.accepted: dict[BundleId, int] = {}
        self.starts: Counter[tuple[str, int]] = Counter()
        self.needless: list[str] = []
        self.faulty = True
        self.task_seconds: float | None = None
        self.links: list[Link] = []
        self.running: dict[tuple[Role, int], Any] = {}
        self._boots: dict[tuple[Role, int], int] = {}
        self._blocked: dict[frozenset[RjsName], float] = {}
        self.places = [
            (Role.WS, 0),
            *((Role.LUS, each) for each in range(luses)),
            *((Role.CS, each) for each in range(css)),
        ]
        for place in self.places:
            self.start(place)
        for number in range(luses):
            for called in [self.places[0], *(each for each in self.places if each[0] is Role.CS)]:
                self._keep_contact((Role.LUS, number), called)

    # --- faults -------------------------------------------------------------------------------------

    def start(self, place: tuple[Role, int]) -> None:
        """Start the server there, if it does not run."""
        if place in self.running:
            return
        role, number = place
        boots = self._boots[place] = self._boots.get(place, 0) + 1
        if role is Role.WS:
            self.running[place] = WebServer(self, boots)
        else:
            kind = LookupServer if role is Role.LUS else ComputeServer
            self.running[place] = kind(self, number, boots)

    def kill(self, place: tuple[Role, int], down: float) -> None:
        """kill -9, and a start after ``down`` seconds."""
        server = self.running.pop(place, None)
        if server is not None:
            server.timers.alive = False
            for link in [each for each in self.links if server in (each.dialler, each.dialled)]:
                self._cut(link)
            self.clock.at(self.clock.now + down, lambda: self.start(place))

    def cut(self, link: Link, until: float) -> None:
        """Cut a connection, and let none be made between these two until then."""
        self._blocked[frozenset((link.dialler.name, link.dialled.name))] = until
        self._cut(link)

    def _cut(self, link: Link) -> None:
        link.cut()
        self.links.remove(link)

    def submit(self, tasks: int, life: float) -> None:
        """Offer a job; it is accepted once the WS says so."""
        server = self.running.get((Role.WS, 0))
        if server is not None:
            job = BundleId(f"{self.random.getrandbits(256):064x}")
            brief = m.JobBrief(
                job=job,
                name="job",
                signer="0" * 64,
                tasks=tasks,
                size=1,
                sha256="0" * 64,
                needs=Needs(wall_time=30.0),
            )
            now = self.clock.now
            added = server.queue.add_job(
                Job(brief, "ada", "job.jar", now, now + life, self.random.choice((1, 3))), now
            )
            server.shell.perform(added).addCallback(lambda _: self.accepted.setdefault(job, tasks))

    def cancel(self) -> None:
        """Cancel some job."""
        server = self.running.get((Role.WS, 0))
        if server is not None and server.queue.jobs:
            with contextlib.suppress(RefusedError):
                job = self.random.choice(sorted(server.queue.jobs))
                server.shell.perform(server.queue.cancel(job, "cancelled by ada", self.clock.now))

    # --- contacts -----------------------------------------------------------------------------------

    def _keep_contact(self, calling: tuple[Role, int], called: tuple[Role, int]) -> None:
        """As rjs.wire.dial and lus.contacts: one connection after the other."""
        pause = self.random.choice((0.1, 0.5, 5.0)) if self.faulty else 1.0
        self.clock.at(self.clock.now + pause, partial(self._keep_contact, calling, called))
        caller: LookupServer | None = self.running.get(calling)
        if caller is None or any(
            link.dialler is caller and link.dialled.name == self._name(called) and not link.ends[0].ended
            for link in self.links
        ):
            return
        names = frozenset((caller.name, self._name(called)))
        if self._blocked.get(names, 0.0) > self.clock.now:
            return
        server = self.running.get(called)
        if server is None:
            caller.refused(self._name(called))
        else:
            self._connect(caller, server)

    def _connect(self, caller: LookupServer, called: Any) -> None:
        caller.dials += 1
        door = caller.ws_door if called.name.role is Role.WS else caller.cs_door
        caller.reached[called.name] = called.boot
        self.links = [each for each in self.links if not all(end.ended for end in each.ends)]
        self.links.append(
            Link(self.clock, self.random, (caller, door), (called, called.door), caller.dials, self._replied)
        )

    def _name(self, place: tuple[Role, int]) -> RjsName:
        role, number = place
        return RjsName(role, f"{1 if role is Role.WS else number:032x}")

    # --- what must be true --------------------------------------------------------------------------

    def _replied(self, message: m.Message, reply: m.Message) -> None:
        """Whoever is told that an answer is committed may forget it: it must be on the disk."""
        if not isinstance(message, m.AnswerOffer) or not isinstance(reply, m.AnswerVerdict):
            return
        attempt = message.attempt
        query = "SELECT state FROM ends WHERE job = ? AND task = ?"
        row = self.disk.execute(query, (attempt.job, attempt.task)).fetchone()
        if reply.verdict in ("committed", "duplicate") and row != (TaskState.COMMITTED,):
            self.defects.append(f"{attempt} was acknowledged and is not on the disk")

    def began(self, attempt: AttemptId) -> None:
        """An attempt starts: needlessly, while the task runs on another living CS, or is done there, and the WS knows
        that it was placed there."""
        self.starts[attempt.job, attempt.task] += 1
        for place, server in self.running.items():
            if place[0] is Role.CS:
                machine = server.machine
                has = {*machine.holding, *((machine.attempt,) if machine.slot in RUNS else ())} - {attempt}
                self.needless += [
                    f"{attempt} started while {place} has {each}"
                    for each in has
                    if (each.job, each.task) == (attempt.job, attempt.task) and self._is_placed(each)
                ]

    def _is_placed(self, attempt: AttemptId) -> bool:
        query = "SELECT 1 FROM placements WHERE (job, task, generation, lease, sequence) = (?, ?, ?, ?, ?)"
        fence = attempt.fence
        key = (attempt.job, attempt.task, fence.generation, fence.lease, fence.sequence)
        return self.disk.execute(query, key).fetchone() is not None

    def check(self) -> None:
        """The invariants of every machine."""
        for server in self.running.values():
            if isinstance(server, WebServer):
                check_queue(server.queue)
            elif isinstance(server, LookupServer):
                check_board(server.board)
            else:
                check_machine(server.machine)
        assert self.defects == []

    def unrest(self) -> list[str]:
        """What has not come to its end; empty: nothing is left to do."""
        found = []
        for place in self.places:
            server = self.running.get(place)
            if server is None:
                found.append(f"{place} is down")
            elif isinstance(server, WebServer):
                found += [
                    f"job {job[:4]}: {each.counts}"
                    for job, each in server.queue.jobs.items()
                    if not each.ended
                ]
            elif isinstance(server, LookupServer):
                found += [f"{place} holds {each}" for each in server.board.held()]
            elif server.machine.slot is not Slot.FREE or server.machine.untold:
                found.append(f"{place}: {server.machine.slot}, {server.machine.untold}")
        return found
