"""Simulated compute servers: many in one process, which speak the protocol over TLS as real ones do, and run nothing.

    server = SimulatedServer(reactor, who, cluster, book, [("127.0.0.1", 9001)])
    tasks.spawn("a simulated server", server.run())
    link.announce(server.listen())  # or so: it is dialled

What is real: certificates, TLS, sessions, heartbeats, redialling, lists of what is revoked, the signed answer and how
long it is kept. What is not: it fetches and judges no bundle, and answers at once, whatever the task is. It is for
benchmarks and tests, and trusts everybody, because nothing is ever run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import uuid
from collections.abc import Sequence
from typing import Final

import attrs
from twisted.internet.base import ReactorBase

from cs.limits import LUS_SESSIONS
from rjs import __version__
from rjs.answers.answer_jar import STDERR_NAME, STDOUT_NAME, Exited, Receipt, write_answer
from rjs.attempts import AttemptId
from rjs.background import Tasks
from rjs.discovery import Announcement, Service
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.names import RjsName, Role
from rjs.identity.tls import client_context, server_context
from rjs.ids import BootId, BundleId, ClusterId, ServerId, SpkiDigest
from rjs.limits import GIB
from rjs.needs import Offer, Platform
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.wall_time import utc_now
from rjs.wire import messages as m
from rjs.wire.dial import Acceptor, Dialler
from rjs.wire.session import Routes, Self, Session, SessionLostError

_OFFER: Final = Offer(
    memory=8 * GIB, cores=8, disk=64 * GIB, platform=Platform("linux", "x86_64"), python="3.12.0"
)


@attrs.frozen
class Enrolled:
    """A compute server that joined: its id, and the keys with which it calls and answers."""

    id: ServerId
    token: Identity = attrs.field(repr=False)
    answer: Identity = attrs.field(repr=False)


class SimulatedServer:
    """One of them; implements ``rjs.wire.session.Door``. It tells the LUS what a real one would."""

    def __init__(
        self,
        reactor: ReactorBase,
        who: Enrolled,
        cluster: ClusterId,
        book: RevocationBook,
        lus: Sequence[tuple[str, int]],
    ) -> None:
        self.welcome = frozenset({Role.LUS})
        self.routes: Routes = {m.TaskStart: self._start, m.TaskStop: self._stop}
        self.session: Session | None = None
        self.committed = 0
        """Answers that the WS has, by its own word."""
        self._who = who
        self._reactor = reactor
        self._tasks = Tasks(f"simulated server {who.id}")
        self._held: dict[AttemptId, m.AnswerOffer] = {}
        self._me = Self(RjsName(Role.CS, who.id).uri(), cluster, uuid.uuid4().hex, 1, __version__)
        self._guarded = GuardedDoor(self, book)
        self._lus = lus
        self._acceptor: Acceptor | None = None

    async def run(self) -> None:
        """Keep a session to the LUS, which is dialled. Never returns; cancel it to stop."""
        context = client_context(self._who.token, Role.LUS)
        try:
            await Dialler(self._reactor, self._lus, self._me, self._guarded, lambda: context).run()
        finally:
            self._tasks.cancel_all()

    def listen(self) -> Announcement:
        """Take calls on a port of loopback until ``shut``; what is to be announced."""
        context = server_context(self._who.token, Role)
        self._acceptor = Acceptor(self._reactor, self._me, self._guarded, context, LUS_SESSIONS)
        port = self._acceptor.listen(0, "127.0.0.1")
        cluster, boot = ClusterId(self._me.cluster), BootId(self._me.boot)
        return Announcement(Service.CS, self._who.id, boot, cluster, port)

    async def shut(self) -> None:
        """Take no calls any more; whoever called is gone on return."""
        if self._acceptor is not None:
            await self._acceptor.close("the simulation is over")
        self._tasks.cancel_all()

    # --- the door -----------------------------------------------------------------------------------

    def opened(self, session: Session) -> None:
        """The LUS hears what we are, and what it has yet to be told."""
        self.session = session
        session.tell(
            m.CsState(
                name=f"simulated {self._who.id[:8]}", mflops=1000.0, offer=_OFFER, trust_epoch=1, busy=False,
                holding=tuple(self._held),
            )
        )  # fmt: skip
        for attempt in tuple(self._held):
            self._tasks.spawn("offer", self._offer(attempt))

    def heard(self, session: Session) -> None:
        """We grant no leases."""

    def answered(self, session: Session, sent: float) -> None:
        """Our lease was renewed; nothing that we do lasts as long as one."""

    def closed(self, session: Session, reason: str) -> None:
        """The dialler dials again."""
        if self.session is session:
            self.session = None

    def _start(self, session: Session, message: m.TaskStart) -> None:
        """It runs, says the reply to this; the answer follows in the next turn."""
        attempt = AttemptId(message.job.job, message.task, message.fence)
        self._reactor.callLater(0, self._end, attempt, message.job.signer)

    def _stop(self, session: Session, message: m.TaskStop) -> None:
        """What was asked for was done already, and is kept until its verdict comes."""

    # --- answers ------------------------------------------------------------------------------------

    def _end(self, attempt: AttemptId, signer: str) -> None:
        data = self._signed(attempt, signer)
        digest = hashlib.sha256(data).hexdigest()
        self._held[attempt] = m.AnswerOffer(
            attempt=attempt, cs=self._who.id, size=len(data), sha256=digest, data=data
        )
        self._tasks.spawn("offer", self._offer(attempt))

    async def _offer(self, attempt: AttemptId) -> None:
        """Kept until the WS's final word; what is lost or put off is offered again on the next session."""
        if self.session is None or attempt not in self._held:
            return
        try:
            verdict = await self.session.request(self._held[attempt], m.AnswerVerdict)
        except (SessionLostError, RefusedError):
            return
        if verdict.verdict != "retry":
            self._held.pop(attempt, None)
            self.committed += verdict.verdict == "committed"

    def _signed(self, attempt: AttemptId, signer: str) -> bytes:
        now = utc_now()
        receipt = Receipt(
            bundle_id=BundleId(attempt.job), task=attempt.task, fence=attempt.fence, signer=SpkiDigest(signer),
            cs=self._who.id, cs_name="simulated", mflops=1000.0, limits={}, limit_hit=None, exit=Exited(0),
            started=now, ended=now + dt.timedelta(milliseconds=1), wall_seconds=0.001, cpu_seconds=0.001,
            max_memory=0,
        )  # fmt: skip
        out = io.BytesIO()
        files = [(STDOUT_NAME, b""), (STDERR_NAME, b"")]
        write_answer(
            out, receipt=receipt, files=files, key=self._who.answer.key, chain=self._who.answer.chain
        )
        return out.getvalue()
