"""What a person's end of a session lets a web server, or a lookup server that carries a request, ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.wire import messages as m
from rjs.wire.blobs import chunk_of
from rjs.wire.session import Routes, Session


@attrs.define(eq=False)
class PersonDoor:
    """What a WS may ask of a client, or a LUS that carries its request: the bytes of the bundle that it offered,
    nothing else.

    ``told`` hears how many bytes the WS has asked for so far.
    """

    upload: Path | None = None
    upload_key: str = ""
    told: Callable[[int], None] | None = None
    welcome: frozenset[Role] = frozenset({Role.WS, Role.LUS})
    routes: Routes = attrs.field(init=False)

    @routes.default
    def _routes(self) -> Routes:
        return {m.BlobRead: self._bytes}

    def opened(self, session: Session) -> None:
        """The caller has the session."""

    def heard(self, session: Session) -> None:
        """No leases here."""

    def answered(self, session: Session, sent: float) -> None:
        """No leases here."""

    def closed(self, session: Session, reason: str) -> None:
        """The caller's request fails."""

    def _bytes(self, session: Session, message: m.BlobRead) -> m.BlobData:
        if self.upload is None or message.kind != "upload" or message.key != self.upload_key:
            raise RefusedError("no-blob", "nothing of the kind was offered")
        chunk = chunk_of(self.upload, message)
        if self.told is not None:
            self.told(message.offset + len(chunk.data))
        return chunk
