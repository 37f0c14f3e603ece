"""Sessions to be fuzzed: real ones, whose peer's certificate was proved once in a real handshake, and then said many
frames in every state that a session can be in. Each frame is cut into pieces as networks do.

The oracle is in ``SessionRig``: see ``say``.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISystemHandle, ITransport
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs import limits
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.frames import HEADER
from rjs.wire.session import Session, SessionLostError
from rjs.wire.testing import RecordingDoor, Wire

FRAMES: Final = 12
"""Frames that one session is said at most."""

ANSWER: Final = 8 * limits.KIB
"""Bytes that one frame may make us send: nobody is to make more of us than he sends."""

REASON: Final = 1_100
"""Characters of the reason of an end, which stands in logs."""

MEETINGS: Final = (
    (Role.LUS, Role.WS), (Role.CS, Role.LUS), (Role.USER, Role.WS), (Role.JOB, Role.CS), (Role.WS, Role.LUS),
)  # fmt: skip
"""Who is there, and whose door it is."""

STATES: Final = ("before the hello", "after it", "under way")


@implementer(ITransport, ISystemHandle)
class _Tap:
    """A transport with the proof of a handshake, which counts what is written."""

    def __init__(self, clock: Clock, handle: object) -> None:
        self._clock = clock
        self._handle = handle
        self.session: Session | None = None
        self.sent = 0
        self.closing = False

    def write(self, data: bytes) -> None:
        self.sent += len(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:  # noqa: N802 - Twisted's name
        self.write(b"".join(data))

    def registerProducer(self, producer: object, streaming: bool) -> None:  # noqa: N802 - Twisted's name
        """It is never full."""

    def unregisterProducer(self) -> None:  # noqa: N802 - Twisted's name
        """Nobody was paused."""

    def loseConnection(self) -> None:  # noqa: N802 - Twisted's name
        if not self.closing:
            self.closing = True
            self._clock.callLater(0, self._lose)

    abortConnection = loseConnection  # noqa: N815 - Twisted's name

    def _lose(self) -> None:
        assert self.session is not None
        self.session.protocol.connectionLost(Failure(ConnectionDone()))

    def getHandle(self) -> object:  # noqa: N802 - Twisted's name
        return self._handle

    def getPeer(self) -> IPv4Address:  # noqa: N802 - Twisted's name
        return IPv4Address("TCP", "192.0.2.1", 9)

    getHost = getPeer  # noqa: N815 - Twisted's name


class _Meeting:
    """Two members whose handshake was done: every session at this door has that peer."""

    def __init__(self, organisation: Organisation, caller: Role, called: Role) -> None:
        self.wire = Wire(organisation, caller, called)
        self.wire.open()
        transport = self.wire.accepted.protocol.transport
        assert transport is not None and not self.wire.endings
        self.handle = cast(Any, transport).getHandle()
        self.hello = m.encode(self.wire.caller.hello.hello(1, organisation.now))


class _Said:
    """One session under attack."""

    def __init__(self, meeting: _Meeting, state: str) -> None:
        self.clock = Clock()
        self.door = RecordingDoor(routes=dict.fromkeys(m.TYPES, self._route))
        self.tap = _Tap(self.clock, meeting.handle)
        now = dt.datetime.now(dt.UTC)
        self.session = self.tap.session = Session(
            self.clock, meeting.wire.called.hello, self.door, 0, lambda: now
        )
        self.failed = 0
        self.session.ready.addErrback(lambda _: self._count())
        self.session.protocol.makeConnection(cast(Any, self.tap))
        self.state = state
        self.left = FRAMES
        self._calls = 0
        if state != STATES[0]:
            self.feed(meeting.hello)
        if state == STATES[2]:
            for each in (m.Done, m.BlobData, m.JobAccepted, m.TaskAdopted):
                asking = self.session.request(m.BlobRead(kind="bundle", key="k", offset=0, length=1), each)
                Deferred.fromCoroutine(asking).addErrback(self._unanswered)

    def feed(self, frame: bytes, pieces: int = 1) -> None:
        data = len(frame).to_bytes(HEADER, "big") + frame
        step = -(-len(data) // pieces)
        for start in range(0, len(data), step):
            self.session.protocol.dataReceived(data[start : start + step])

    def _count(self) -> None:
        self.failed += 1

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(SessionLostError, RefusedError)

    def _route(self, session: Session, message: m.Message) -> Any:
        """Every way in which a handler may end, in turn."""
        self._calls += 1
        match self._calls % 4:
            case 0:
                return None
            case 1:
                return m.Done()
            case 2:
                return Deferred()
        raise RefusedError("not-placed", "the door says no")


class SessionRig:
    """Says frames to sessions, a new one whenever one ended. Used as a context manager, once."""

    def __init__(self) -> None:
        organisation = Organisation(dt.datetime.now(dt.UTC))
        self._meetings = [_Meeting(organisation, *each) for each in MEETINGS]
        self._said: _Said | None = None
        self._defects: list[str] = []
        self._observer = _observer(self._defects)
        self.ends: Counter[str] = Counter()

    def __enter__(self) -> Self:
        globalLogPublisher.addObserver(self._observer)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        globalLogPublisher.removeObserver(self._observer)

    def say(self, frame: bytes, dice: random.Random) -> None:
        """Let the session hear ``frame``. Raises AssertionError where

        1. it raises, or a defect is logged;
        2. what it sends in answer is longer than ``ANSWER``;
        3. it ends otherwise than once, with one reason, after which nothing is left to be done.
        """
        said = self._said = self._said or _Said(dice.choice(self._meetings), dice.choice(STATES))
        before, said.left = said.tap.sent, said.left - 1
        if dice.random() < 0.02:  # the length lies, and what follows is read as frames
            said.session.protocol.dataReceived(dice.randbytes(HEADER) + frame)
        else:
            said.feed(frame, dice.choice((1, 1, 1, 2, 5)))
        assert not self._defects, f"a defect was logged: {self._defects}"
        assert said.tap.sent - before <= ANSWER, f"one frame made us send {said.tap.sent - before} bytes"
        if said.session.reason or not said.left or said.tap.closing:
            self.finish()

    def finish(self) -> None:
        """End the session, if there is one, and judge how it ended."""
        said, self._said = self._said, None
        if said is None:
            return
        said.session.close("done", "enough")
        said.clock.advance(0)
        said.clock.advance(limits.LINGER)
        session = said.session
        assert session.ended and session.reason, "it has not ended"
        assert len(session.reason) <= REASON, f"a reason of {len(session.reason)} characters"
        code = session.reason.partition(":")[0]
        assert code != "internal", session.reason
        opened = [each for each in said.door.milestones if each.startswith("opened")]
        closed = [each for each in said.door.milestones if each.startswith("closed")]
        assert len(opened) == len(closed) == 1 - said.failed, f"{said.door.milestones}, {said.failed}"
        assert not said.clock.getDelayedCalls(), "a timer is left"
        self.ends[f"{said.state}: {code if code in _CODES else 'ended'}"] += 1


_CODES: Final = frozenset({"protocol", "done", "wrong-role", "wrong-name", "wrong-cluster", "old-protocol"})


def _observer(defects: list[str]) -> ILogObserver:
    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: LogEvent) -> None:
            if "log_failure" in event:
                defects.append(str(event["log_failure"].getTraceback()))

    return Observer()
