"""What the simulated servers stand on: one clock for all, disks that lose what was not committed, and links.

A link delivers in order, late, and to the end: until it is cut. Then what was on its way is lost, and each end
notices in its own time, or, when its process was killed, never.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar, cast

import attrs
import msgspec
from twisted.internet.defer import Deferred, succeed

from rjs.errors import ProtocolError, RefusedError
from rjs.identity.names import RjsName, Role
from rjs.storage import Connection, GroupCommit
from rjs.wire import messages as m
from rjs.wire.duplicates import Standing
from rjs.wire.serving import Serving
from rjs.wire.session import Door, Session, SessionLostError

T = TypeVar("T")
Reply = TypeVar("Reply", bound=m.Message)


class Call:
    """A call that is due later."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def active(self) -> bool:
        """It was neither called nor cancelled."""
        return self.call is not None

    def cancel(self) -> None:
        """It will not be called."""
        self.call = None


class SimulatedClock:
    """Time for everyone; it passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, Call]] = []
        self._order = itertools.count()

    def at(self, when: float, call: Callable[[], object]) -> Call:
        """Call at a time; what is due at the same time is called in the order of asking."""
        due = Call(call)
        heapq.heappush(self._due, (max(when, self.now), next(self._order), due))
        return due

    def pass_until(self, when: float) -> None:
        """Call everything that is due until then."""
        while self._due and self._due[0][0] <= when:
            self.now, _, due = heapq.heappop(self._due)
            call, due.call = due.call, None
            if call is not None:
                call()
        self.now = when


class ProcessClock:
    """The timers of one process: when it is killed, none of them fires any more."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock = clock
        self.alive = True

    def seconds(self) -> float:
        """Steady seconds."""
        return self._clock.now

    def callLater(self, delay: float, f: Callable[..., Any], /, *args: object) -> Call:
        """Call it in ``delay`` seconds, if the process lives until then."""
        return self._clock.at(self._clock.now + delay, lambda: f(*args) if self.alive else None)


class SimulatedStorage:
    """A process's storage: commits after a delay what was submitted until then; a kill loses the rest."""

    def __init__(self, timers: ProcessClock, disk: Connection, delay: Callable[[], float]) -> None:
        self._timers = timers
        self._commit = GroupCommit(disk)
        self._delay = delay
        self._waiting: list[tuple[Callable[[Connection], Any], Deferred[Any]]] = []

    def write(self, operation: Callable[[Connection], T], *, always: bool = False) -> Deferred[T]:
        """See rjs.storage.Storage."""
        if not self._waiting:
            self._timers.callLater(self._delay(), self._run)
        done: Deferred[T] = Deferred()
        self._waiting.append((operation, done))
        return done

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        """See rjs.storage.Storage."""
        return self.write(operation)

    def copy(self, target: Path) -> Deferred[None]:
        """See rjs.storage.Storage."""
        return self.read(lambda _: None).addCallback(lambda _: cast(None, self._commit.copy(target)[0]))

    def close(self) -> Deferred[None]:
        """See rjs.storage.Storage."""
        return succeed(None)

    def _run(self) -> None:
        batch, self._waiting = self._waiting, []
        for (_, done), outcome in zip(batch, self._commit.run([each for each, _ in batch]), strict=True):
            done.callback(outcome)


class Process(Protocol):
    """A simulated process, as links see it."""

    name: RjsName
    boot: str
    boot_count: int
    timers: ProcessClock


@attrs.frozen
class Peer:
    """What a session knows of its peer."""

    name: RjsName
    common_name: str


class End:
    """One end of a link: to its door, a session."""

    def __init__(self, link: Link, owner: Process, door: Door) -> None:
        self._link = link
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Deferred[m.Message]] = {}
        self._serving = Serving(self._session, door.routes, owner.name.id)
        self._opened = False
        self.owner = owner
        self.door = door
        self.other: End = self
        self.reason = ""
        self.ended = False
        self.remote = "192.0.2.1"

    @property
    def _session(self) -> Session:
        return cast(Session, self)

    @property
    def peer(self) -> Peer:
        """As a session's."""
        return Peer(self.other.owner.name, self.other.owner.name.id)

    @property
    def peer_hello(self) -> m.Hello:
        """As a session's."""
        owner = self.other.owner
        dial = self._link.number if owner is self._link.dialler else 0
        return m.Hello(
            protocol=1, release="1.0", cluster="0" * 16, name=owner.name.uri(),
            boot=owner.boot, boot_count=owner.boot_count, dial=dial,
        )  # fmt: skip

    @property
    def standing(self) -> Standing:
        """As a session's."""
        return Standing(self.other.owner.boot_count, self._link.number, self._link.dialler.name.id)

    def tell(self, message: m.Message) -> None:
        """As a session's: what does not fit the caps is found here."""
        if not self.reason:
            self._link.carry(self, m.decode(m.encode(message)))

    def do_held(self) -> None:
        """Nothing is held here: nobody simulated has as much under way as a peer may."""

    async def request(self, message: m.Message, kind: type[Reply]) -> Reply:
        """As a session's."""
        if self.reason:
            raise SessionLostError(self.reason)
        number = next(self._numbers)
        waiting = self._waiting[number] = Deferred[m.Message]()
        try:
            self.tell(msgspec.structs.replace(message, rid=number))
            reply = await waiting
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, m.Refused):
            raise RefusedError(reply.code, reply.sentence)
        if not isinstance(reply, kind):
            raise ProtocolError(f"{m.tag_of(reply)} is no answer to {m.tag_of(message)}")
        self._link.replied(message, reply)
        return reply

    def close(self, code: str, sentence: str) -> None:
        """As a session's."""
        if not self.reason:
            self.tell(m.Bye(code=code, sentence=sentence))
            self.reason = sentence
            self.owner.timers.callLater(0, self.lost, sentence)

    def give_way(self, newer: Session) -> None:
        """As a session's; at once: the hardest case for what is under way."""
        self.close("superseded", f"a newer session of {newer.peer.common_name} was opened")

    def receive(self, message: m.Message) -> None:
        """A message arrives, the hello first."""
        if self.reason or not self.owner.timers.alive:
            return
        if isinstance(message, m.Hello):
            self._opened = True
            self.door.opened(self._session)
            if self.owner.name.role is Role.CS:
                self._beat()
        elif isinstance(message, m.Bye):
            self.reason = message.sentence
            self.owner.timers.callLater(0, self.lost, message.sentence)
        elif isinstance(message, m.Ping):
            self.tell(m.Pong(n=message.n))
            self.door.heard(self._session)
        elif isinstance(message, m.Pong):
            self.door.answered(self._session, message.n / 1000)
        elif message.re:
            waiting = self._waiting.pop(message.re, None)
            if waiting is not None and not waiting.called:
                waiting.callback(message)
        else:
            self._serving.call(message)

    def _beat(self) -> None:
        """Of all heartbeats only a CS's carry a lease; the others' are left out."""
        if not self.reason:
            self.tell(m.Ping(n=int(self.owner.timers.seconds() * 1000)))
            self.owner.timers.callLater(1.0, self._beat)

    def lost(self, reason: str) -> None:
        """The connection has ended, as this end sees it."""
        if self.ended or not self.owner.timers.alive:
            return
        self.reason, self.ended = self.reason or reason, True
        self._serving.end()
        if self._opened:
            self.door.closed(self._session, self.reason)
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            if not reply.called:
                reply.errback(SessionLostError(self.reason))


class Link:
    """A connection between two processes. ``delay`` gives the seconds that the next message is on its way."""

    def __init__(
        self,
        clock: SimulatedClock,
        random: Random,
        dialler: tuple[Process, Door],
        dialled: tuple[Process, Door],
        number: int,
        replied: Callable[[m.Message, m.Message], object],
    ) -> None:
        self._clock = clock
        self._random = random
        self._arrival = {True: clock.now, False: clock.now}
        self._cut = False
        self.replied = replied
        self.number = number
        self.dialler, self.dialled = dialler[0], dialled[0]
        self.ends = (End(self, *dialler), End(self, *dialled))
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]
        for end in self.ends:
            self.carry(end, end.other.peer_hello)

    def carry(self, sender: End, message: m.Message) -> None:
        """Deliver in order, some time later."""
        direction = sender is self.ends[0]
        delay = self._random.choice((0.001, 0.001, 0.01, 0.2))
        self._arrival[direction] = max(self._arrival[direction], self._clock.now + delay)
        self._clock.at(self._arrival[direction], lambda: None if self._cut else sender.other.receive(message))

    def stall(self, seconds: float) -> None:
        """Deliver nothing for a while, and then all of it."""
        for direction in self._arrival:
            self._arrival[direction] = max(self._arrival[direction], self._clock.now + seconds)

    def cut(self) -> None:
        """Lose what is on its way; each end notices at once, or late: by its silence."""
        if not self._cut:
            self._cut = True
            for end in self.ends:
                noticed = self._random.choice((0.0, 0.0, 2.0, 15.0)) * self._random.random()
                end.owner.timers.callLater(noticed, end.lost, "the connection was lost")
