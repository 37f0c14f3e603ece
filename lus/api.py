"""The LUS's two doors: what the WS may say to it, and what compute servers may."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lus.bundle_cache import BundleCache
from lus.checkpoints import CheckpointRelay
from lus.job_relay import JobRelay
from lus.shell import Shell
from lus.why import why
from rjs.crash_points import crash_point
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.wire import messages as m
from rjs.wire.blobs import in_time
from rjs.wire.duplicates import DialNumbers
from rjs.wire.session import Routes, Session

_log = Logger("lus.api")


@attrs.define(eq=False)
class WsDoor:
    """Sessions with the WS, dialled by us."""

    shell: Shell
    bundles: BundleCache
    welcome: frozenset[Role] = frozenset({Role.WS})
    routes: Routes = attrs.field(init=False)

    @routes.default
    def _routes(self) -> Routes:
        return {
            m.TaskGrant: self._granted,
            m.LeaseEnded: self._ended,
            m.BlobRead: self._answer_bytes,
            m.LusJobWhy: self._why,
        }

    def opened(self, session: Session) -> None:
        """The WS is there."""
        _log.info("connected to the web server {name}", name=session.peer.common_name)
        self.shell.ws_opened(session)

    def heard(self, session: Session) -> None:
        """The WS holds no lease of ours."""

    def answered(self, session: Session, sent: float) -> None:
        """Leases are renewed by name, not by heartbeat."""

    def closed(self, session: Session, reason: str) -> None:
        """The dialler dials again."""
        _log.info("lost the web server: {reason}", reason=reason)
        self.shell.ws_closed(session)

    def _granted(self, session: Session, message: m.TaskGrant) -> None:
        crash_point("lus.grant.received")
        self.bundles.know(message.job)
        self.shell.perform(
            self.shell.board.granted(
                message.generation, message.job, message.tasks, self.shell.now(), message.checkpoints
            )
        )

    def _ended(self, session: Session, message: m.LeaseEnded) -> None:
        board, now = self.shell.board, self.shell.now()
        if message.code == m.MOVED:
            self.shell.perform(board.moved(message.leases, now))
        else:
            sentence = f"{message.code}: {message.sentence}"
            self.shell.perform(board.ended(message.leases, sentence, now))

    def _why(self, session: Session, message: m.LusJobWhy) -> m.LusJobReasons:
        return why(self.shell.board, message, self.shell.now())

    async def _answer_bytes(self, session: Session, message: m.BlobRead) -> m.BlobData:
        """The WS pulls an answer or a checkpoint through us from the CS that holds it; nothing of it rests here."""
        cs = self.shell.servers.get(message.key.rpartition(".")[2])
        if message.kind not in ("answer", "checkpoint") or cs is None:
            raise RefusedError("no-blob", f"{message.kind} {message.key[:16]} cannot be had here now")
        asked = Deferred.fromCoroutine(cs.request(message, m.BlobData))
        return await in_time(asked, self.shell.timers, f"{message.kind} {message.key[:16]}")


@attrs.define(eq=False)
class CsDoor:
    """Sessions with compute servers."""

    shell: Shell
    bundles: BundleCache
    numbers: DialNumbers = attrs.field(factory=DialNumbers)
    welcome: frozenset[Role] = frozenset({Role.CS, Role.EXPIRED})
    jobs: JobRelay = attrs.field(init=False)
    checkpoints: CheckpointRelay = attrs.field(init=False)
    routes: Routes = attrs.field(init=False)
    _described: set[Session] = attrs.field(factory=set)
    _renewing: set[str] = attrs.field(factory=set)

    @jobs.default
    def _jobs(self) -> JobRelay:
        return JobRelay(self.shell)

    @checkpoints.default
    def _checkpoints(self) -> CheckpointRelay:
        return CheckpointRelay(self.shell)

    @routes.default
    def _routes(self) -> Routes:
        return {
            m.CsState: self._state,
            m.MemberRenew: self.renew,
            m.AttemptEnded: self._attempt_ended,
            m.AnswerOffer: self._offered,
            m.BlobRead: self._bundle_bytes,
            **self.jobs.routes(),
            **self.checkpoints.routes(),
        }

    def opened(self, session: Session) -> None:
        """It is registered once it describes itself, and gets nothing before. Of two sessions one stays."""
        if session.peer.name.role is Role.EXPIRED:
            _log.info("{name} came with an expired certificate, to renew it", name=session.peer.common_name)
            return
        self.numbers.seen(session.peer_hello.dial)
        old = self.shell.servers.get(session.peer.name.id)
        if old is not None and not session.standing.supersedes(old.standing):
            session.give_way(old)
            return
        self.shell.perform(self.shell.board.cs_lost(session.peer.name.id))
        self.shell.servers[session.peer.name.id] = session
        if old is not None:
            self.shell.descriptions.forget(old)
            old.give_way(session)

    def heard(self, session: Session) -> None:
        """A CS's heartbeat renews its lease; an expired one's name is none that has a lease."""
        self.shell.board.cs_heard(session.peer.name.id, self.shell.now())

    def answered(self, session: Session, sent: float) -> None:
        """We hold no lease of a CS."""

    def closed(self, session: Session, reason: str) -> None:
        """A lost connection ends no lease."""
        cs = session.peer.name.id
        self._described.discard(session)
        self.shell.descriptions.forget(session)
        _log.info("lost {name}: {reason}", name=session.peer.common_name, reason=reason)
        if self.shell.servers.get(cs) is session:
            del self.shell.servers[cs]
            self.jobs.forget(cs)
            self.shell.perform(self.shell.board.cs_lost(cs))

    def _state(self, session: Session, message: m.CsState) -> None:
        if self.shell.servers.get(session.peer.name.id) is not session:
            return  # it gave way: the CS describes itself on the session that stays
        if session in self._described:
            self.shell.descriptions.say(session, message)
            return
        self._described.add(session)
        _log.info("registered {name}: {mflops:.0f} MFLOPS", name=message.name, mflops=message.mflops)
        self.shell.registered(session, message)

    async def renew(self, session: Session, message: m.MemberRenew) -> m.MemberRenewed:
        """Carry a CS's request to the WS; what it asks for is signed, and for others to judge."""
        cs = session.peer.certified.id
        if cs in self._renewing:
            raise RefusedError("busy", "the request before this one is still on its way")
        self._renewing.add(cs)
        try:
            return await self.shell.to_ws(message, m.MemberRenewed)
        finally:
            self._renewing.discard(cs)

    async def _attempt_ended(self, session: Session, message: m.AttemptEnded) -> None:
        _require_own(session, message.cs)
        await self.shell.relay_end(message)

    async def _offered(self, session: Session, message: m.AnswerOffer) -> m.AnswerVerdict:
        _require_own(session, message.cs)
        return await self.shell.relay_answer(message)

    async def _bundle_bytes(self, session: Session, message: m.BlobRead) -> m.BlobData:
        if message.kind == "checkpoint":
            return await self.checkpoints.read(session, message)
        if message.kind != "bundle":
            raise RefusedError("no-blob", f"a LUS has no {message.kind}s")
        return await self.bundles.chunk(message)


def _require_own(session: Session, cs: str) -> None:
    if cs != session.peer.name.id:
        raise RefusedError("wrong-cs", f"{session.peer.name.uri()} cannot speak for {cs}")
