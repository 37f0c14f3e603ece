"""Notices bundles in the ``jobs/`` folders: watchdog tells at once, a periodic rescan finds what it missed.

A closed file proves nothing (a killed scp closes too). A bundle proves itself: while it arrives its strict
verification fails, so a refusal that an unfinished file would get waits until the file has been quiet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from twisted.internet.base import ReactorBase
from twisted.logger import Logger
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from rjs.background import Tasks, Workers, sleep
from rjs.errors import RefusedError
from rjs.storage import Storage
from ws import limits, store
from ws.homes import JOBS, NAME_RULE, STATUS_SUFFIX, Found, Homes
from ws.intake import Intake, may_be_unfinished
from ws.job import Job
from ws.status_files import StatusFiles

_log = Logger("ws.watcher")


MISNAMED = "refused-names"
"""The status file of uploads whose own names cannot be used."""


def misnamed_sentence(names: tuple[str, ...]) -> str:
    """The refusal of files with such names, harmless to print."""
    listed = ", ".join(ascii(name) for name in names[:20]) or "none any more"
    return f"file-name: {NAME_RULE}; refused: {listed}"


class _Events(FileSystemEventHandler):
    """Watchdog's thread: any change but our own status files wakes the watcher."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def on_any_event(self, event: FileSystemEvent) -> None:
        name = str(event.dest_path or event.src_path)
        if event.event_type in ("closed", "moved", "created") and not name.endswith((STATUS_SUFFIX, ".part")):
            self._wake()


@attrs.define
class Watcher:
    """Turns files in ``jobs/`` into jobs or refusals, each file version once."""

    reactor: ReactorBase
    homes: Homes
    intake: Intake
    status: StatusFiles
    storage: Storage
    workers: Workers
    tasks: Tasks
    accounts: Callable[[], frozenset[str]]
    judged: dict[tuple[str, str], str]
    _observer: BaseObserver = attrs.field(factory=Observer)
    _watched: set[str] = attrs.field(factory=set)
    _scanning: bool = False
    _again: bool = False
    _underway: dict[tuple[str, str], str] = attrs.field(factory=dict)
    _reading: dict[tuple[str, str], bool] = attrs.field(factory=dict)
    _misnamed: dict[str, tuple[str, ...]] = attrs.field(factory=dict)

    def start(self) -> None:
        """Watch, and scan once for what came while nobody watched."""
        self._observer.start()
        self.tasks.repeat(self.reactor, "rescan of jobs/", limits.RESCAN, self.wake)
        self.wake()

    async def stop(self) -> None:
        """Stop watching."""
        if self._observer.is_alive():
            self._observer.stop()
            await self.workers.run(self._observer.join)

    def wake(self) -> None:
        """Look at every ``jobs/`` now, or once more if a look is under way."""
        if self._scanning:
            self._again = True
            return
        self._scanning = True
        self.tasks.spawn("scan of jobs/", self._scan())

    async def _scan(self) -> None:
        try:
            accounts = self.accounts()
            self._watch(accounts)
            found = await self.workers.run(partial(self.homes.bundles, sorted(accounts)))
            await self._tell_misnamed(sorted(accounts))
        finally:
            self._scanning = False
        for each in found:
            self._consider(each)
        if self._again:
            self._again = False
            self.wake()

    def _consider(self, found: Found) -> None:
        """Judge a version of a file that was not judged yet; one at a time, for each costs a copy."""
        key = (found.account, found.file_name)
        if found.stamp in (self.judged.get(key), self._underway.get(key)):
            return
        if key in self._reading:
            self._reading[key] = True  # and look again when that is done
            return
        self._underway[key], self._reading[key] = found.stamp, False
        self.tasks.spawn(f"judging {found.file_name}", self._judge(found))

    def _watch(self, accounts: frozenset[str]) -> None:
        for account in sorted(accounts - self._watched):
            path = self.homes.path / account / JOBS
            try:
                self._observer.schedule(_Events(lambda: self.reactor.callFromThread(self.wake)), str(path))
            except OSError as error:
                _log.warn("cannot watch {path} ({error}); it is rescanned only", path=path, error=error)
            self._watched.add(account)

    async def _tell_misnamed(self, accounts: list[str]) -> None:
        """A name that we would not write a status beside gets its refusal in a file of a name of ours."""
        for account in accounts:
            names = tuple(sorted(await self.workers.run(partial(self.homes.misnamed, account))))
            if names != self._misnamed.get(account, ()):
                self._misnamed[account] = names
                self.status.refused(account, MISNAMED, misnamed_sentence(names))

    async def _judge(self, found: Found) -> None:
        key = (found.account, found.file_name)
        try:
            job = await self._read(key, found)
        except RefusedError as error:
            if may_be_unfinished(error) and not await self._stands(found):
                return
            await self._refuse(found, error)
        except OSError as error:
            _log.warn("cannot read {file}: {error}", file=found.file_name, error=error)
        else:
            self.judged[key] = found.stamp
            self.status.changed(job.id)
        finally:
            if self._underway.get(key) == found.stamp:
                del self._underway[key]

    async def _read(self, key: tuple[str, str], found: Found) -> Job:
        try:
            return await self.intake.take_found(found)
        finally:
            if self._reading.pop(key):
                self.wake()

    async def _stands(self, found: Found) -> bool:
        """Whether the file is still what it was after a quiet while; if not, the next scan judges it."""
        await sleep(self.reactor, limits.QUIET)
        now = await self.workers.run(partial(self.homes.bundles, [found.account]))
        return found in now

    async def _refuse(self, found: Found, error: RefusedError) -> None:
        _log.info(
            "refused {file} of {account}: {error}", file=found.file_name, account=found.account, error=error
        )
        await self.storage.write(
            partial(
                store.record_upload, account=found.account, file_name=found.file_name, stamp=found.stamp,
                refusal=str(error),
            )
        )  # fmt: skip
        self.judged[found.account, found.file_name] = found.stamp
        self.status.refused(found.account, found.file_name, str(error))
