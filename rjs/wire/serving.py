"""What a peer asks of us: may it, who does it, and how much of it at a time.

It belongs to one session and knows neither the hello nor heartbeats. Everything that a peer can make grow here
has a cap: calls under way, calls held because the peer does not read our replies, and the reads of bulk data
served at a time. Every call is answered exactly once if it asked for a reply, whatever its handler does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from rjs import limits
from rjs.background import Tasks
from rjs.disk import is_of_disk
from rjs.errors import ProtocolError, RefusedError, RjsError
from rjs.wire import messages as m
from rjs.wire.access import decide
from rjs.wire.calls import CallLog

if TYPE_CHECKING:
    from rjs.wire.session import Session

_log = Logger("rjs.session")

Handler = Callable[["Session", Any], "m.Message | Awaitable[m.Message | None] | None"]
Routes = Mapping[type[m.Message], Handler]

_CODE, _SENTENCE = 64, 1024  # characters, as the messages' Code and Sentence say


class Serving:
    """The calls of one peer."""

    def __init__(self, session: Session, routes: Routes, name: str) -> None:
        self._session = session
        self._routes = routes
        self._tasks = Tasks(f"session of {name}")
        self._under_way = 0
        self._held: deque[bytes] | None = None  # as rare as an empty deque is large, a thousand times
        self._held_bytes = 0
        self._reads: deque[m.BlobRead] | None = None
        self._reading = 0
        self._starting_reads = False
        self._log = CallLog()
        self.paused = False

    @property
    def busy(self) -> bool:
        """Something that the peer asked for is under way or waits."""
        return bool(self._under_way or self._reads or self._held)

    @property
    def holding(self) -> bool:
        """No call may be done now: the peer does not read what we send, or has as much under way as it may."""
        return self.paused or self._under_way + len(self._reads or ()) >= limits.REQUESTS_IN_FLIGHT

    def call(self, message: m.Message) -> None:
        """The one place that every call passes: may this caller say this, and who does it."""
        caller, tag = self._session.peer.name, m.tag_of(message)
        decision = decide(caller, type(message))
        if not decision.allowed:
            self._refuse(message, decision.code, decision.sentence)
            return
        self._log.allowed(caller, tag)
        handler = self._routes.get(type(message))
        if handler is None:
            self._session.tell(m.Unsupported(re=message.rid, what=tag))
        elif isinstance(message, m.BlobRead):
            self._reads = self._reads or deque()
            self._reads.append(message)
            self._start_reads()
        else:
            self._start(handler, message)

    def hold(self, frame: bytes) -> None:
        """Keep a call for later: see ``holding``. Raises ProtocolError beyond the caps."""
        self._held = self._held or deque()
        self._held.append(frame)
        self._held_bytes += len(frame)
        if len(self._held) > limits.HELD_CALLS or self._held_bytes > limits.HELD_BYTES:
            raise ProtocolError("it asks for more and more, and waits for nothing")

    def next_held(self) -> bytes | None:
        """The next call that was held, if it may be done now."""
        if self.holding or not self._held:
            return None
        frame = self._held.popleft()
        self._held_bytes -= len(frame)
        return frame

    def resume(self) -> None:
        """The peer reads again."""
        self.paused = False
        self._start_reads()

    def end(self) -> None:
        """The session ended: nobody waits for what is under way."""
        self._held = self._reads = None
        self._tasks.cancel_all()

    # --- one call -----------------------------------------------------------------------------------

    def _start(self, handler: Handler, message: m.Message) -> None:
        try:
            outcome = handler(self._session, message)
        except ProtocolError:
            raise
        except Exception as error:
            self._failed(message, error)
            return
        if outcome is None or isinstance(outcome, m.Message):
            self._answer(message, outcome)
        else:
            self._under_way += 1
            self._reading += isinstance(message, m.BlobRead)
            self._tasks.spawn(m.tag_of(message), self._finish(message, outcome))

    async def _finish(self, message: m.Message, outcome: Awaitable[m.Message | None]) -> None:
        try:
            self._answer(message, await outcome)
        except CancelledError:
            self._refuse(message, "stopped", "this side stopped before it was done; ask again")
            raise
        except Exception as error:
            self._failed(message, error)
        finally:
            self._under_way -= 1
            self._reading -= isinstance(message, m.BlobRead)
            self._start_reads()
            self._session.do_held()

    def _start_reads(self) -> None:
        if self._starting_reads:
            return  # a read was done at once: the loop below, further out, goes on
        self._starting_reads = True
        try:
            while self._reads and not self.paused and self._reading < limits.BLOB_READS:
                self._start(self._routes[m.BlobRead], self._reads.popleft())
        finally:
            self._starting_reads = False

    def _answer(self, message: m.Message, reply: m.Message | None) -> None:
        if message.rid:
            self._session.tell(msgspec.structs.replace(reply or m.Done(), re=message.rid))

    def _failed(self, message: m.Message, error: Exception) -> None:
        if isinstance(error, RefusedError):
            self._refuse(message, error.code, error.sentence)
        elif isinstance(error, RjsError):
            self._refuse(message, "failed", str(error))
        elif isinstance(error, OSError) and is_of_disk(error):
            self._refuse(
                message, "disk", f"this side's disk takes nothing now ({error.strerror}); ask again later"
            )
        else:
            _log.failure("{tag} of {peer} failed", tag=m.tag_of(message), peer=self._session.peer.name.uri())
            self._refuse(message, "internal", "a defect on this side; its log has the details")

    def _refuse(self, message: m.Message, code: str, sentence: str) -> None:
        if self._session.reason:
            return  # it ended, and with it the wish for a reply
        self._log.refused(self._session.peer.name, m.tag_of(message), code, sentence)
        if message.rid:
            refused = m.Refused(re=message.rid, code=words(code, _CODE), sentence=words(sentence, _SENTENCE))
            self._session.tell(refused)


def words(text: str, most: int = _SENTENCE) -> str:
    """``text`` as a message may carry it: cut, and without the halves of characters that odd file names have."""
    return text[:most].encode("utf-8", "replace").decode()
