"""The shell: performs the queue's instructions. Durable first, then said, always in the queue's order.

Every event of the queue goes through here. If the journal cannot be written, memory is ahead of the disk, and
the process ends at once: what was not journalled was told to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from rjs.background import Timers
from rjs.crash_points import crash_point
from rjs.ids import BundleId
from rjs.storage import Storage
from rjs.wall_time import Wall, utc_now
from ws import store
from ws.instructions import AnswerReady, DropFile, Instruction, JobChanged, SendGrant, SendLeaseEnded, Word
from ws.queue import Queue


class Shell:
    """The queue, its journal, and those who listen to it."""

    def __init__(
        self,
        queue: Queue,
        storage: Storage,
        timers: Timers,
        broken: Callable[[str], object],
        wall: Wall = utc_now,
    ) -> None:
        self.queue = queue
        self.storage = storage
        self.timers = timers
        self.wall = wall
        """The time for certificates and receipts."""
        self._broken = broken
        self._writing = 0
        self.to_lus: Callable[[SendGrant | SendLeaseEnded], object] = lambda _: None
        self.changed: Callable[[BundleId], object] = lambda _: None
        self.answer_ready: Callable[[], object] = lambda: None
        self.drop_file: Callable[[str], object] = lambda _: None

    def now(self) -> float:
        """The steady clock that leases are counted by."""
        return self.timers.seconds()

    def perform(self, instructions: Iterable[Instruction]) -> Deferred[None]:
        """Make the entries durable, then say the words. Fires when that, and everything performed before, is
        done: with no instructions it is a barrier. Cancelling it stops the waiting only, for whoever waits may
        leave at any time; if the journal fails it never fires."""
        entries = [each for each in instructions if not isinstance(each, Word)]
        words = [each for each in instructions if isinstance(each, Word)]
        if not entries and not self._writing:
            self._say(words)
            return succeed(None)
        self._writing += 1
        done: Deferred[None] = Deferred()
        written = self.storage.write(partial(store.persist, entries=entries), always=True)
        written.addCallbacks(self._written, self._failed, callbackArgs=(words, done))
        return done

    def _written(self, _: object, words: list[Word], done: Deferred[None]) -> None:
        self._writing -= 1
        try:
            self._say(words)
        finally:
            done.callback(None)

    def _failed(self, failure: Failure) -> None:
        self._broken(f"the journal cannot be written: {failure.getErrorMessage()}")

    def _say(self, words: Iterable[Word]) -> None:
        for word in words:
            match word:
                case SendGrant():
                    crash_point("ws.lease.journalled")
                    self.to_lus(word)
                    crash_point("ws.lease.granted")
                case SendLeaseEnded():
                    self.to_lus(word)
                case JobChanged(job):
                    self.changed(job)
                case AnswerReady():
                    self.answer_ready()
                case DropFile(file):
                    self.drop_file(file)
