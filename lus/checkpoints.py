"""Checkpoints on their way through a lookup server, which holds none: to the web server, and to the next attempt."""

from __future__ import annotations

from collections import Counter

import attrs
from twisted.internet.defer import Deferred

from lus import limits
from lus.shell import Shell
from rjs.errors import RefusedError
from rjs.wire import messages as m
from rjs.wire.blobs import in_time
from rjs.wire.session import Routes, Session, SessionLostError


@attrs.define(eq=False)
class CheckpointRelay:
    """For the sessions with compute servers of one LUS. What is signed is for others to judge."""

    shell: Shell
    _offers: Counter[str] = attrs.field(factory=Counter)

    def routes(self) -> Routes:
        """What a compute server may say of checkpoints."""
        return {m.CheckpointOffer: self._offered, m.CheckpointRejected: self._rejected}

    async def read(self, session: Session, message: m.BlobRead) -> m.BlobData:
        """Bytes for the attempt that this compute server was given, from the web server. Raises RefusedError."""
        server = self.shell.board.registry.get(session.peer.name.id)
        attempt = None if server is None else server.attempt
        if attempt is None or message.key.rpartition(".")[0] != f"{attempt.job}.{attempt.task}":
            raise RefusedError("no-blob", "this compute server was given no attempt at that task")
        ws = self.shell.ws
        if ws is None:
            raise RefusedError("ws-away", "the web server cannot be reached now; try again later")
        asked = Deferred.fromCoroutine(ws.request(message, m.BlobData))
        try:
            return await in_time(asked, self.shell.timers, f"checkpoint {message.key[:16]}")
        except SessionLostError:
            raise RefusedError("ws-away", "the web server was lost meanwhile; try again later") from None

    async def _offered(self, session: Session, message: m.CheckpointOffer) -> m.CheckpointVerdict:
        cs = _own(session, message.cs)
        if self._offers[cs] >= limits.CHECKPOINT_OFFERS_PER_CS:
            return m.CheckpointVerdict(verdict="retry", code="too-many-offers")
        self._offers[cs] += 1
        try:
            verdict = await self.shell.to_ws(message, m.CheckpointVerdict)
        finally:
            self._offers -= Counter((cs,))
        if verdict.verdict == "kept":
            attempt = message.attempt
            ref = m.CheckpointRef(attempt.task, attempt.fence, message.sequence, message.size, message.sha256)
            self.shell.board.checkpoint_kept(cs, attempt, ref)
        return verdict

    async def _rejected(self, session: Session, message: m.CheckpointRejected) -> m.Done:
        _own(session, message.cs)
        return await self.shell.to_ws(message, m.Done)


def _own(session: Session, cs: str) -> str:
    if cs != session.peer.name.id:
        raise RefusedError("wrong-cs", f"{session.peer.name.uri()} cannot speak for {cs}")
    return cs
