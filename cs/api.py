"""The CS's door: what a LUS may say to it. One LUS is served at a time."""

from __future__ import annotations

from functools import partial

import attrs
from twisted.logger import Logger

from cs.shell import Shell
from cs.spool import parse_name
from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.wire import messages as m
from rjs.wire.blobs import chunk_of
from rjs.wire.duplicates import DialNumbers
from rjs.wire.session import Routes, Session

_log = Logger("cs.api")


@attrs.define(eq=False)
class CsDoor:
    """Implements ``rjs.wire.session.Door`` for the CS."""

    shell: Shell
    numbers: DialNumbers = attrs.field(factory=DialNumbers)
    welcome: frozenset[Role] = frozenset({Role.LUS})
    routes: Routes = attrs.field(init=False)

    @routes.default
    def _routes(self) -> Routes:
        return {m.TaskStart: self._start, m.TaskStop: self._stop, m.BlobRead: self._answer_bytes}

    def opened(self, session: Session) -> None:
        """Serve this LUS, unless another one is served; of two sessions with it the right one stays."""
        self.numbers.seen(session.peer_hello.dial)
        current = self.shell.session
        if current is not None and current.peer.name != session.peer.name:
            if self.shell.served_now:
                session.close("serving-another", f"this compute server serves {current.peer.name.uri()} now")
                return
            current.close(
                "serving-another", f"it was silent; this compute server serves {session.peer.name.uri()}"
            )
        elif current is not None and not session.standing.supersedes(current.standing):
            session.give_way(current)
            return
        self.shell.session_opened(session)
        if current is not None:
            current.give_way(session)
        _log.info("serving the lookup server {name}", name=session.peer.common_name)

    def heard(self, session: Session) -> None:
        """We grant no leases."""

    def answered(self, session: Session, sent: float) -> None:
        """The LUS answered our heartbeat, which renewed our lease there."""
        if session is self.shell.session:
            self.shell.heartbeat_answered(sent)

    def closed(self, session: Session, reason: str) -> None:
        """What runs goes on."""
        if session is self.shell.session:
            _log.info("lost the lookup server {name}: {reason}", name=session.peer.common_name, reason=reason)
        self.shell.session_closed(session)

    async def _start(self, session: Session, message: m.TaskStart) -> None:
        self._require_current(session)
        attempt = AttemptId(message.job.job, message.task, message.fence)
        await self.shell.start(message.job, attempt, message.checkpoint)

    def _stop(self, session: Session, message: m.TaskStop) -> None:
        self._require_current(session)
        self.shell.stop(message.attempt, message.sentence)

    async def _answer_bytes(self, session: Session, message: m.BlobRead) -> m.BlobData:
        self._require_current(session)
        attempt = parse_name(message.key.rpartition(".")[0] + ".jar")
        if message.kind == "checkpoint" and attempt is not None and self.shell.checkpoints is not None:
            return await self.shell.checkpoints.chunk(attempt, message)
        if message.kind != "answer" or attempt is None or attempt not in self.shell.machine.holding:
            raise RefusedError("no-blob", f"{message.kind} {message.key[:16]} is not here")
        path = self.shell.spool.path(attempt)
        return await self.shell.workers.run(partial(chunk_of, path, message))

    def _require_current(self, session: Session) -> None:
        """Of the LUS that is served; a session of it that gives way is done with what it had under way."""
        current = self.shell.session
        if current is None or (session.peer.name, session.peer_hello.boot) != (
            current.peer.name,
            current.peer_hello.boot,
        ):
            raise RefusedError("superseded", "another session is served now")
