"""Machines on a network in memory: each a reactor that the real servers run in, on a clock that a test turns.

Nothing waits, nothing runs beside the test: work for threads is done at once, bytes move when ``World.turn`` says so.
What the servers have from outside their own process is here too: the LAN's announcements, the spawner, the token
authority's process. A machine that sleeps does nothing and hears nothing; its clock goes on (``rjs.clock``).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionRefusedError, TimeoutError
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cs.spawner.messages import Ended, Run
from rjs import limits
from rjs.background import sleep
from rjs.discovery import Announcement, Seen, Service
from rjs.storage import Connection, ImmediateStorage
from rjs.wire.testing import MemoryEnd
from ws.authority.main import Desk, open_desk
from ws.authority.messages import Begin, Question

T = TypeVar("T")

HOUR = 3600.0
DAY = 24 * HOUR

_TURNS = 10_000  # a network that is not quiet after so many rounds never will be


class World:
    """All machines, their links, and the time."""

    def __init__(self, start: dt.datetime) -> None:
        self.start = start
        self.now = 0.0
        self.machines: dict[str, Machine] = {}
        self.links: list[LanLink] = []
        self.ends: list[MemoryEnd] = []

    @property
    def days(self) -> float:
        """Days since the start."""
        return self.now / DAY

    def machine(self, name: str) -> Machine:
        """A new machine on the LAN."""
        machine = Machine(self, name, f"192.0.2.{len(self.machines) + 1}")
        self.machines[machine.host] = machine
        return machine

    def do(self, coroutine: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result of something that needs no time to pass."""
        outcome: list[Any] = []
        Deferred.fromCoroutine(coroutine).addBoth(outcome.append)
        self.turn()
        assert outcome, "it waits for something that never comes without time"
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return cast(T, outcome[0])

    def turn(self) -> None:
        """Let happen what can, until nothing moves any more. Time stands still."""
        for _ in range(_TURNS):
            moved = [machine.do_what_is_due() for machine in self.machines.values() if machine.awake]
            moved += [end.deliver() for end in tuple(self.ends) if self._reaches(end)]
            if not any(moved):
                return
        raise AssertionError("the network never becomes quiet")

    def pass_until(self, when: float) -> None:
        """Let time pass until ``when``, in seconds since the start."""
        self.turn()
        while (soonest := self._soonest()) <= when:
            self.now = soonest
            self.turn()
        self.now = when
        self.turn()

    def _soonest(self) -> float:
        waits = [machine.timeout() for machine in self.machines.values() if machine.awake]
        wait = min((wait for wait in waits if wait is not None), default=math.inf)
        return max(
            self.now + wait, math.nextafter(self.now, math.inf)
        )  # or a wait below a float's step would not end

    def _reaches(self, end: MemoryEnd) -> bool:
        return self.machines[end.getHost().host].awake and self.machines[end.getPeer().host].awake


class Machine(PosixReactorBase):
    """The reactor of one machine. ``document`` is what its server's status says."""

    def __init__(self, world: World, name: str, host: str) -> None:
        self.world = world
        self.name = name
        self.host = host
        self.awake = True
        self.document: Callable[[], dict[str, Any]] = dict
        self._doors: dict[int, Any] = {}
        super().__init__()

    # --- time ---------------------------------------------------------------------------------------

    def seconds(self) -> float:
        """Steady seconds; sleep counts."""
        return self.world.now

    def wall(self) -> dt.datetime:
        """The time of this machine's clock."""
        return self.world.start + dt.timedelta(seconds=self.world.now)

    def do_what_is_due(self) -> bool:
        """Make the calls that are due; whether there were any."""
        due = bool(self.threadCallQueue) or self.timeout() == 0
        if due:
            self.runUntilCurrent()
        return due

    # --- the network --------------------------------------------------------------------------------

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Open a door; 0: any port."""
        number = port or 49152 + len(self._doors)
        assert number not in self._doors
        self._doors[number] = factory
        return _Port(self, number)

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30.0,
        bindAddress: Any = None,  # noqa: N803
    ) -> Any:
        """Connect as soon as the other machine hears it; one that sleeps does not."""
        return _Connector(self, host, port, factory, timeout)

    def join(self, host: str, port: int, factory: ClientFactory) -> bool:
        """Whether somebody listens there, and is connected now. Raises ConnectionRefusedError: nobody does."""
        other = self.world.machines.get(host)
        if other is None or not other.awake:
            return False
        if port not in other._doors:
            raise ConnectionRefusedError
        accepted = cast(Factory, other._doors[port]).buildProtocol(IPv4Address("TCP", self.host, 9))
        dialled = factory.buildProtocol(IPv4Address("TCP", host, port))
        assert accepted is not None
        assert dialled is not None
        ours = MemoryEnd(cast(Clock, self), cast(Any, dialled), self.host)
        theirs = MemoryEnd(cast(Clock, other), cast(Any, accepted), other.host)
        ours.other, theirs.other = theirs, ours
        self.world.ends = [*(end for end in self.world.ends if not end.lost), ours, theirs]
        cast(Any, accepted).makeConnection(theirs)
        cast(Any, dialled).makeConnection(ours)
        return True

    # --- what a real reactor has and this one does not need -------------------------------------------

    def installWaker(self) -> None:
        """Nothing sleeps here that would have to be woken."""

    def _initThreads(self) -> None:
        """Work for threads is done at once."""

    def getThreadPool(self) -> Any:
        """The pool that ThreadWorkers use."""
        return _NoThreads()


class _NoThreads:
    def callInThreadWithCallback(
        self, done: Callable[[bool, object], None], work: Callable[[], object]
    ) -> None:
        try:
            result = work()
        except Exception:
            done(False, Failure())  # type: ignore[no-untyped-call]  # Twisted's
        else:
            done(True, result)


@attrs.frozen
class _Port:
    machine: Machine
    number: int

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.machine.host, self.number)

    def stopListening(self) -> None:
        del self.machine._doors[self.number]


class _Connector:
    """One try to connect."""

    def __init__(self, machine: Machine, host: str, port: int, factory: Any, timeout: float) -> None:
        self._machine = machine
        self._place = (host, port)
        self._factory = factory
        self._late = machine.callLater(timeout, self._failed, TimeoutError())  # type: ignore[no-untyped-call]  # Twisted's
        factory.startedConnecting(self)
        self._try = machine.callLater(0, self._connect)

    def _connect(self) -> None:
        try:
            connected = self._machine.join(*self._place, self._factory)
        except ConnectionRefusedError as error:
            self._failed(error)
        else:
            if connected:
                self._late.cancel()

    def _failed(self, error: Exception) -> None:
        self.stopConnecting()
        self._factory.clientConnectionFailed(self, Failure(error))  # type: ignore[no-untyped-call]  # Twisted's

    def stopConnecting(self) -> None:
        for call in (self._late, self._try):
            if call.active():
                call.cancel()

    def getDestination(self) -> IPv4Address:
        return IPv4Address("TCP", *self._place)


class LanLink:
    """In place of ``rjs.discovery.Link``: who is awake hears what others who are awake announce."""

    def __init__(self, reactor: Machine, interfaces: object = ()) -> None:
        self.machine = reactor
        self._heard: dict[Service, Callable[[Seen], None]] = {}
        reactor.world.links.append(self)

    def announce(self, announcement: Announcement) -> None:
        """Now, and again and again."""
        a, machine = announcement, self.machine
        seen = Seen(a.service, a.id, a.boot, (machine.host,), a.port, a.version)
        for link in machine.world.links:
            if link.machine.awake and a.service in link._heard:
                link.machine.callLater(0, link._heard[a.service], seen)
        machine.callLater(limits.DISCOVERY_RENEWAL, self.announce, announcement)

    def browse(self, service: Service, cluster: str, on_seen: Callable[[Seen], None]) -> None:
        """There is one cluster here."""
        self._heard[service] = on_seen

    def stop(self) -> Deferred[None]:
        """There is no goodbye."""
        return succeed(None)


class StorageHere(ImmediateStorage):
    """In place of ``rjs.storage.StorageThread``."""

    def __init__(self, reactor: object, connection: Connection) -> None:
        super().__init__(connection)


class DeafObserver:
    """In place of watchdog's: it tells nothing, and the rescan finds everything."""

    def start(self) -> None:
        """Nothing starts."""

    def is_alive(self) -> bool:
        """It never started."""
        return False

    def schedule(self, handler: object, path: str) -> object:
        """What ``unschedule`` takes."""
        return path

    def unschedule(self, watch: object) -> None:
        """Nothing was watched."""


class PretendingSpawner:
    """In place of ``cs.spawner.client.Spawner``: an attempt takes the hours that its last argument says, and writes
    one file. ``began`` keeps job and task of every attempt, as ``JOB-TASK``."""

    alive = True

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._running: Deferred[None] | None = None
        self.began: list[str] = []

    def attach(self, reactor: object) -> None:
        """There is no connection."""

    async def run(self, request: Run) -> Ended:
        """See Spawner."""
        hours, folder, before = float(request.argv[-1]), Path(request.cwd), self._machine.seconds()
        bundle = Path(request.stdout).parent.name
        self.began.append(f"{bundle[:16]}-{request.environment['RJS_TASK_INDEX']}")
        Path(request.stdout).write_bytes(b"")
        Path(request.stderr).write_bytes(b"")
        self._running = sleep(self._machine, hours * HOUR)
        try:
            await self._running
        except CancelledError:
            return self._ended(None, 15, before)
        (folder / "out" / "result.txt").write_text(f"{hours} hours")
        return self._ended(0, None, before)

    def stop(self, grace: float = 0.0) -> None:
        """See Spawner."""
        if self._running is not None and not self._running.called:
            self._running.cancel()

    async def close(self) -> None:
        """Nothing is left."""
        self.stop()

    def _ended(self, status: int | None, signal: int | None, before: float) -> Ended:
        return Ended(
            exit_status=status, signal=signal, limit=None, stopped=signal is not None,
            wall_seconds=self._machine.seconds() - before, cpu_seconds=1.0, max_memory=1, strays=0,
        )  # fmt: skip


class AuthorityProcess:
    """In place of the process of ``ws.authority.process``: the real desk with its keys and files, in this one, whose
    folder it changes as the authority does its own's."""

    pid = 0
    separation = None

    def __init__(
        self, reactor: Machine, received: Callable[[Any], None], gone: Callable[[float, str], None]
    ) -> None:
        self._machine = reactor
        self._received = received
        self._gone = gone
        self._desk: Desk | None = None

    def send(self, question: Question) -> None:
        """The answer comes in the next turn."""
        if isinstance(question, Begin):
            self._desk = open_desk(question, self._machine.wall, self._machine.seconds)
            self._machine.callLater(0, self._received, self._desk.ready)
            return
        assert self._desk is not None
        for answer in self._desk.answer([question]):
            self._machine.callLater(0, self._received, answer)

    def end(self, patience: float) -> None:
        """It ends at once."""
        self._machine.callLater(0, self._gone, 0.0, "it was told to")
