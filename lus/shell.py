"""The shell: performs the board's instructions over the sessions with the WS and the CSs, and relays answers.

What must reach the WS (ends of attempts, answers) waits for a session with it, as long as the CS that said it
is there; what must reach a CS is decided anew when it comes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lus import limits
from lus.board import Board
from lus.descriptions import Descriptions
from lus.instructions import Adopt, DropServer, Instruction, ReportEnded, Return, Start, Stop, TellWant
from rjs.attempts import AttemptId
from rjs.background import Tasks, Timers
from rjs.crash_points import crash_point
from rjs.errors import RefusedError, RjsError
from rjs.wire import messages as m
from rjs.wire.session import Session, SessionLostError

_log = Logger("lus.shell")

Reply = TypeVar("Reply", bound=m.Message)


@attrs.define(eq=False)
class Shell:
    """The board with its sessions."""

    board: Board
    timers: Timers
    tasks: Tasks
    ws: Session | None = None
    servers: dict[str, Session] = attrs.field(factory=dict)
    descriptions: Descriptions = attrs.field(init=False)
    _ws_waiters: set[Deferred[Session]] = attrs.field(factory=set)
    _ends: dict[tuple[str, AttemptId], set[Deferred[None]]] = attrs.field(factory=dict)
    _offers: Counter[str] = attrs.field(factory=Counter)
    _strange_ends: Counter[str] = attrs.field(factory=Counter)

    @descriptions.default
    def _descriptions(self) -> Descriptions:
        return Descriptions(self.timers, self._described, self.board.gave)

    def now(self) -> float:
        """The steady clock that leases are counted by."""
        return self.timers.seconds()

    def perform(self, instructions: Iterable[Instruction]) -> None:
        """Carry out, in order."""
        for each in instructions:
            match each:
                case TellWant(outstanding, epoch):
                    self._tell_ws(m.TaskWant(outstanding=outstanding, epoch=epoch))
                case Start():
                    self._tell_placed(each)
                    crash_point("lus.placement.told")
                    self.tasks.spawn("start of a task", self._start(each))
                case Stop(cs, attempt, sentence):
                    self._tell_cs(cs, m.TaskStop(attempt=attempt, sentence=sentence[:1024]))
                case Return(job, leases, epoch, code, sentence):
                    self._tell_ws(
                        m.TaskReturn(job=job, leases=leases, epoch=epoch, code=code, sentence=sentence)
                    )
                case Adopt():
                    self.tasks.spawn("adoption", self._adopt(each))
                case ReportEnded():
                    self.tasks.spawn("report of an end", self._report(each))
                case DropServer(cs, sentence):
                    if cs in self.servers:
                        self.servers[cs].close("dropped", sentence)

    # --- the WS -------------------------------------------------------------------------------------

    def ws_opened(self, session: Session) -> None:
        """A new session: what was placed is told again, then all that waits goes out, and only then leases are
        renewed, for an end that is told counts and a lease that is merely not listed does not."""
        self.ws = session
        for start in self.board.placements():
            self._tell_placed(start)
        self.perform(self.board.ws_opened(self.now()))
        waiters, self._ws_waiters = self._ws_waiters, set()
        for waiter in waiters:
            if not waiter.called:
                waiter.callback(session)
        self.tasks.spawn("renewal", self.renew())

    def ws_closed(self, session: Session) -> None:
        """Requests under way fail with SessionLostError and go out again on the next session."""
        if self.ws is session:
            self.ws = None

    async def renew(self) -> None:
        """Renew what we hold; counted from sending."""
        session, sent = self.ws, self.now()
        if session is None:
            return
        leases, upto = self.board.leases()
        try:
            reply = await session.request(m.LeaseRenew(leases=leases, upto=upto), m.LeaseRenewed)
        except RjsError as error:
            _log.info("renewal failed: {error}", error=error)
            return
        self.perform(self.board.renewed(sent, reply.ended, self.now()))

    async def to_ws(self, message: m.Message, kind: type[Reply]) -> Reply:
        """The WS's reply, however many sessions it takes. Raises RefusedError."""
        while True:
            session = self.ws if self.ws is not None else await self._next_ws()
            try:
                return await session.request(message, kind)
            except SessionLostError:
                if self.ws is session:
                    self.ws = None

    def _next_ws(self) -> Deferred[Session]:
        waiter: Deferred[Session] = Deferred(self._ws_waiters.discard)
        self._ws_waiters.add(waiter)
        return waiter

    async def _adopt(self, ask: Adopt) -> None:
        session = self.ws
        if session is None:
            return  # the board asks again on the next one
        try:
            reply = await session.request(
                m.TaskAdopt(cs=ask.cs, attempts=ask.attempts, whole=ask.whole), m.TaskAdopted
            )
        except SessionLostError:
            return
        except RefusedError as error:
            _log.info("the WS lets us adopt nothing: {error}", error=error)
            if error.code != "unsupported":
                return
            reply = m.TaskAdopted()  # an older WS opens what we lost and takes its answers
        self.perform(self.board.adopted(ask.cs, ask.attempts, reply, self.now()))

    async def _report(self, report: ReportEnded) -> None:
        ended = m.AttemptEnded(
            attempt=report.attempt, cs=report.cs, kind=report.kind, detail=report.detail[:1024]
        )
        try:
            await self.to_ws(ended, m.Done)
        except RefusedError as error:
            _log.info("the WS does not count {detail}: {error}", detail=report.detail, error=error)

    def _tell_ws(self, message: m.Message) -> None:
        if self.ws is not None:
            self.ws.tell(message)

    def _tell_placed(self, start: Start) -> None:
        self._tell_ws(m.TaskPlaced(attempt=start.attempt, cs=start.cs, cs_name=start.cs_name))

    # --- compute servers ----------------------------------------------------------------------------

    def registered(self, session: Session, state: m.CsState) -> None:
        """A CS described itself for the first time in its session."""
        self._tell_board(session, state, True)

    def _described(self, session: Session, state: m.CsState, ran: Collection[AttemptId]) -> None:
        self._tell_board(session, state, False, ran)

    def _tell_board(
        self, session: Session, state: m.CsState, fresh: bool, ran: Collection[AttemptId] = ()
    ) -> None:
        cs, boot = session.peer.name.id, session.peer_hello.boot
        self.perform(self.board.cs_state(cs, boot, session.remote, state, fresh, self.now(), ran))

    async def _start(self, start: Start) -> None:
        session = self.servers.get(start.cs)
        if session is None:
            self.perform(
                self.board.start_refused(start.cs, start.attempt, "busy", "not connected", self.now())
            )
            return
        message = m.TaskStart(
            job=start.job, task=start.attempt.task, fence=start.attempt.fence, checkpoint=start.checkpoint
        )
        try:
            await session.request(message, m.Done)
        except RefusedError as error:
            self.descriptions.settle(session)
            _log.info("{cs} refused task {task} of {job}: {error}", cs=start.cs_name, task=start.attempt.task,
                      job=start.attempt.job[:16], error=error)  # fmt: skip
            self.perform(
                self.board.start_refused(start.cs, start.attempt, error.code, error.sentence, self.now())
            )
        except SessionLostError:
            pass  # the CS says what became of it when it is back, or its lease ends
        else:
            crash_point("lus.start.confirmed")
            self.descriptions.settle(session)
            self.perform(self.board.started(start.cs, start.attempt))

    def _tell_cs(self, cs: str, message: m.Message) -> None:
        session = self.servers.get(cs)
        if session is not None:
            session.tell(message)

    async def relay_end(self, message: m.AttemptEnded) -> None:
        """A CS's attempt ended without an answer: it is free, and the WS decides what follows.

        What the CS said goes to the WS even if the CS leaves meanwhile; when it says so again, that is the same
        end. Raises RefusedError when too many ends wait of which we know nothing.
        """
        end = (message.cs, message.attempt)
        crash_point("lus.end.received")
        self.descriptions.settle(self.servers.get(message.cs))
        strange = not self.board.gave(*end)
        self.perform(self.board.attempt_over(*end, self.now()))
        waiters = self._ends.get(end)
        if waiters is None:
            if strange:
                self._count_strange(message.cs)
            waiters = self._ends[end] = set()
            self.tasks.spawn("end of an attempt", self._tell_end(message, strange))
        if end not in self._ends:
            return  # the WS has answered already
        done: Deferred[None] = Deferred(waiters.discard)
        waiters.add(done)
        await done

    def _count_strange(self, cs: str) -> None:
        if (
            self._strange_ends[cs] >= limits.STRANGE_ENDS_PER_CS
            or self._strange_ends.total() >= limits.STRANGE_ENDS
        ):
            raise RefusedError(
                "too-many-ends", "too many ends of attempts that are unknown here wait for the WS"
            )
        self._strange_ends[cs] += 1

    async def _tell_end(self, message: m.AttemptEnded, strange: bool) -> None:
        end = (message.cs, message.attempt)
        try:
            await self.to_ws(message, m.Done)
            crash_point("lus.end.relayed")
        except RefusedError as error:
            _log.info("the end of an attempt changes nothing: {error}", error=error)
        finally:
            waiters = self._ends.pop(end)
            if strange:
                self._strange_ends -= Counter((message.cs,))
        self.perform(self.board.lease_over(*end, False, self.now()))
        for done in waiters:
            done.callback(None)

    async def relay_answer(self, message: m.AnswerOffer) -> m.AnswerVerdict:
        """A CS offers an answer: it is free, and the WS's verdict goes back."""
        crash_point("lus.answer.received")
        self.descriptions.settle(self.servers.get(message.cs))
        offered = self.now()
        self.perform(self.board.attempt_over(message.cs, message.attempt, offered))
        if self._offers[message.cs] >= limits.OFFERS_PER_CS:
            return m.AnswerVerdict(verdict="retry", code="too-many-offers")
        self._offers[message.cs] += 1
        try:
            verdict = await self.to_ws(message, m.AnswerVerdict)
            crash_point("lus.answer.relayed")
        finally:
            self._offers -= Counter((message.cs,))
        if verdict.verdict == "committed":
            self.board.committed(message.cs, message.attempt, offered)
        if verdict.verdict != "retry":
            ended = verdict.verdict in ("committed", "duplicate")
            self.perform(self.board.lease_over(message.cs, message.attempt, ended, self.now()))
        return verdict
