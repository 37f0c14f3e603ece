"""What a compute server says for its jobs, carried to the web server: requests for tokens, and progress.

A request is signed, and for others to judge. Progress is told on, the newest of each compute server, and forgotten.
"""

from __future__ import annotations

import attrs

from lus.shell import Shell
from rjs.errors import RefusedError
from rjs.identity.errors import IdentityError
from rjs.identity.paths import read_chain
from rjs.identity.peers import token_name
from rjs.limits import PROGRESS_PAUSE
from rjs.newest import Newest
from rjs.wire import messages as m
from rjs.wire.session import Routes, Session


@attrs.define(eq=False)
class JobRelay:
    """For the sessions with compute servers of one LUS."""

    shell: Shell
    _asking: set[str] = attrs.field(factory=set)
    _progress: dict[str, Newest[m.AttemptProgress]] = attrs.field(factory=dict)

    def routes(self) -> Routes:
        """What a compute server may say of its jobs."""
        return {m.JobToken: self._token, m.AttemptProgress: self._told}

    def forget(self, cs: str) -> None:
        """It is gone; what it said last is not worth telling."""
        newest = self._progress.pop(cs, None)
        if newest is not None:
            newest.close()

    async def _token(self, session: Session, message: m.JobToken) -> m.JobTokenIssued:
        cs = session.peer.name.id
        if _signer_of(message) != cs:
            raise RefusedError("wrong-cs", f"{session.peer.name.uri()} cannot ask for the jobs of another")
        if cs in self._asking:
            raise RefusedError("busy", "the request before this one is still on its way")
        self._asking.add(cs)
        try:
            return await self.shell.to_ws(message, m.JobTokenIssued)
        finally:
            self._asking.discard(cs)

    def _told(self, session: Session, message: m.AttemptProgress) -> None:
        cs = session.peer.name.id
        if message.cs != cs:
            raise RefusedError("wrong-cs", f"{session.peer.name.uri()} cannot speak for {message.cs}")
        newest = self._progress.get(cs)
        if newest is None:
            newest = self._progress[cs] = Newest(self.shell.timers, PROGRESS_PAUSE, self._tell_on)
        newest.offer(message)

    def _tell_on(self, message: m.AttemptProgress) -> None:
        if self.shell.ws is not None:
            self.shell.ws.tell(message)


def _signer_of(message: m.JobToken) -> str:
    try:
        return token_name(read_chain(message.request.chain[:1])[0]).id
    except (IdentityError, IndexError):
        return ""
