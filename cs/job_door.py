"""The door for one attempt's job, on a Unix socket: its inputs, outputs, checkpoints and progress, and nothing else.

Implements ``rjs.wire.session.Door``. Only the holder of a job token for exactly this attempt is welcome, and only
until the attempt has ended: from then on nothing is done any more, whatever connections are still open.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cs.control import Progress
from cs.job_files import Budget, JobFolder, JobInputs
from cs.prepared import Prepared
from rjs.background import Workers
from rjs.errors import RefusedError
from rjs.identity.job_tokens import job_name
from rjs.identity.names import Role
from rjs.limits import KIB
from rjs.wire import messages as m
from rjs.wire.session import Routes, Session

_log = Logger("cs.door")

P = ParamSpec("P")
T = TypeVar("T")

_FILES = 1000  # as many as ``job.inputs`` may carry
_NAMES_BYTES = 512 * KIB  # of their names: a frame holds them


class JobDoor:
    """What stands behind the socket of ``prepared``'s attempt. ``progress`` hears what the job says of itself."""

    welcome = frozenset({Role.JOB})

    def __init__(self, prepared: Prepared, workers: Workers, progress: Callable[[Progress], object]) -> None:
        place, budget = prepared.workplace, Budget()
        self._name = job_name(prepared.attempt)
        self._workers = workers
        self._progress = progress
        self._inputs = JobInputs(prepared.bundle, place.staging)
        self._outputs = JobFolder(place.task, place.out, place.staging, budget)
        self._checkpoint = JobFolder(place.task, place.checkpoint, place.staging, budget, flat=True)
        self._over = False
        self._busy: Deferred[None] | None = None
        self.routes: Routes = {
            m.JobInputList: self._list,
            m.JobInputRead: self._read_input,
            m.JobOutputWrite: partial(self._write, self._outputs),
            m.JobCheckpointWrite: partial(self._write, self._checkpoint),
            m.JobCheckpointRead: self._read_checkpoint,
            m.JobProgress: self._said,
        }

    # --- sessions -----------------------------------------------------------------------------------

    def opened(self, session: Session) -> None:
        """A job is there, with a valid token: is it this one?"""
        if self._over:
            session.close("attempt-over", "the attempt has ended, and its door with it")
        elif session.peer.name != self._name:
            _log.warn("{name} came to the door of {own}", name=session.peer.name.uri(), own=self._name.uri())
            session.close("wrong-attempt", f"this door is for {self._name.uri()} alone")

    def heard(self, session: Session) -> None:
        """No lease depends on it."""

    def answered(self, session: Session, sent: float) -> None:
        """We hold no lease of a job."""

    def closed(self, session: Session, reason: str) -> None:
        """It may come again; the owner's log says why it left, or was cut off."""
        _log.info("{caller} left its door: {reason}", caller=session.peer.name.uri(), reason=reason)

    async def end(self) -> None:
        """The attempt is over. Returns when the last thing that was being done for it is done."""
        self._over = True
        while self._busy is not None:
            await self._turn()

    # --- calls --------------------------------------------------------------------------------------

    async def _list(self, session: Session, message: m.JobInputList) -> m.JobInputs:
        found, more = self._inputs.files(message.first, _FILES)
        shown: list[m.FileLine] = []
        size = 0
        for name, length in found:
            size += len(name.encode())
            if size > _NAMES_BYTES:
                break
            shown.append(m.FileLine(name, length))
        return m.JobInputs(files=tuple(shown), more=more + len(found) - len(shown))

    async def _read_input(self, session: Session, message: m.JobInputRead) -> m.BlobData:
        return m.BlobData(
            data=await self._do(self._inputs.read, message.name, message.offset, message.length)
        )

    async def _read_checkpoint(self, session: Session, message: m.JobCheckpointRead) -> m.BlobData:
        read = self._checkpoint.read
        return m.BlobData(data=await self._do(read, message.name, message.offset, message.length))

    async def _write(
        self, folder: JobFolder, session: Session, message: m.JobOutputWrite | m.JobCheckpointWrite
    ) -> None:
        await self._do(folder.write, message.name, message.offset, message.data, message.last)

    def _said(self, session: Session, message: m.JobProgress) -> None:
        if not message.text.isprintable():
            raise RefusedError("malformed", "a text of progress is one line of printable characters")
        self._progress(Progress(message.fraction, message.text))

    async def _do(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One piece of disk work at a time, in the order of the calls; nothing once the attempt is over."""
        while self._busy is not None:
            await self._turn()
        if self._over:
            raise RefusedError("attempt-over", "the attempt has ended")
        self._busy = Deferred()
        try:
            return await self._workers.run(work, *args, **kwargs)
        except OSError as error:
            raise RefusedError("disk", f"this machine's disk says: {error.strerror}") from None
        finally:
            done, self._busy = self._busy, None
            assert done is not None
            done.callback(None)

    def _turn(self) -> Deferred[None]:
        """Fires when the work under way is done."""
        assert self._busy is not None
        turn: Deferred[None] = Deferred()
        self._busy.addBoth(lambda _: None if turn.called else turn.callback(None))
        return turn
