"""Notices bundles in the ``jobs/`` folders: watchdog tells at once, a periodic rescan finds what it missed.

A closed file proves nothing (a killed scp closes too). A bundle proves itself: while it arrives its strict
verification fails, so a refusal that an unfinished file would get waits until the file has been quiet. And a
refusal is recorded only when it is about the file: what may pass is told, and the file judged again later.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

import attrs
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from rjs.background import FromThreads, Tasks, Timers, Workers
from rjs.errors import OverloadedError, RefusedError
from ws import limits
from ws.admission import FurtherJarsError
from ws.homes import JNLP_SUFFIX, JOBS, NAME_RULE, STATUS_SUFFIX, Found, Homes
from ws.intake import Intake, is_over, may_be_unfinished, may_pass
from ws.job_sets import IncompleteSetError, waiting_sentence
from ws.status_files import StatusFiles
from ws.why_uploads import Upload

_log = Logger("ws.watcher")


MISNAMED = "refused-names"
"""The status file of uploads whose own names cannot be used."""


def misnamed_sentence(names: tuple[str, ...]) -> str:
    """The refusal of files with such names, harmless to print."""
    listed = ", ".join(ascii(name) for name in names[:20]) or "none any more"
    return f"file-name: {NAME_RULE}; refused: {listed}"


class _Events(FileSystemEventHandler):
    """Watchdog's thread: any change but our own status files wakes the watcher; the folder itself may go."""

    def __init__(self, folder: str, wake: Callable[[], None], gone: Callable[[], None]) -> None:
        self._folder = folder
        self._wake = wake
        self._gone = gone

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type == "deleted" and event.src_path == self._folder:
            self._gone()
        name = str(event.dest_path or event.src_path)
        if event.event_type in ("closed", "moved", "created") and not name.endswith((STATUS_SUFFIX, ".part")):
            self._wake()


class Reactor(FromThreads, Timers, Protocol):
    """The parts of a reactor that the watcher needs."""


_Key: TypeAlias = tuple[str, str]
"""An account and a file name."""


@attrs.frozen
class _Held:
    """A version of a file that is left alone until ``until``; then it is refused for good with ``refusal``, or
    judged again. ``told`` is what its status file says."""

    stamp: str
    until: float
    delay: float
    refusal: RefusedError | None = None
    told: str = ""


@attrs.define
class Watcher:
    """Turns files in ``jobs/`` into jobs or refusals, each file version once.

    A few files are judged at once; accounts take turns, for each judgement costs a copy.
    """

    reactor: Reactor
    homes: Homes
    intake: Intake
    status: StatusFiles
    workers: Workers
    tasks: Tasks
    accounts: Callable[[], frozenset[str]]
    judged: dict[tuple[str, str], str]
    wall: Callable[[], float] = time.time
    _observer: BaseObserver = attrs.field(factory=Observer)
    _watched: dict[str, int] = attrs.field(factory=dict)
    _watches: dict[str, ObservedWatch] = attrs.field(factory=dict)
    _scanning: bool = False
    _again: bool = False
    _waiting: dict[str, dict[str, Found]] = attrs.field(factory=dict)
    _judging: dict[str, Found] = attrs.field(factory=dict)
    _turns: dict[str, int] = attrs.field(factory=dict)
    _judges: int = 0
    _held: dict[_Key, _Held] = attrs.field(factory=dict)
    _misnamed: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
    _parts: dict[_Key, tuple[str, ...]] = attrs.field(factory=dict)

    def start(self) -> None:
        """Watch, and scan once for what came while nobody watched."""
        self._observer.start()
        self.tasks.repeat(self.reactor, "rescan of jobs/", limits.RESCAN, self.wake)
        self.wake()

    def stands(self, account: str, file_name: str) -> Upload:
        """What is known of a file in ``jobs/`` that is not judged for good."""
        key, judged_now = (account, file_name), self._judging.get(account)
        held = self._held.get(key)
        return Upload(
            is_judged_now=judged_now is not None and judged_now.file_name == file_name,
            is_waiting=file_name in self._waiting.get(account, ()),
            refusal="" if held is None or held.refusal is None else str(held.refusal),
            told="" if held is None else held.told,
            again_in=0.0 if held is None else max(0.0, held.until - self.reactor.seconds()),
            leads=self._parts.get(key, ()),
        )

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
            await self.workers.run(partial(self._watch, sorted(accounts)))
            look = await self.workers.run(partial(self.intake.sets.look, sorted(accounts)))
            self._again |= look.more
            self._tell_parts(look.parts)
            self._consider(look.found)
            await self._tell_misnamed(sorted(accounts))
        finally:
            self._scanning = False
        if self._again:
            self._again = False
            self.wake()

    def _consider(self, found: Iterable[Found]) -> None:
        """What is there now and was not judged yet waits for its turn, in place of what waited before."""
        self._waiting, held, now = {}, self._held, self.reactor.seconds()
        self._held = {}
        for each in found:
            key = (each.account, each.file_name)
            hold = held.get(key)
            if hold is not None and hold.stamp == each.stamp:
                self._held[key] = hold
                if now < hold.until:
                    continue
            if each.stamp != self.judged.get(key) and each != self._judging.get(each.account):
                self._waiting.setdefault(each.account, {})[each.file_name] = each
        for _ in range(min(len(self._waiting), limits.JUDGING - self._judges)):
            self._judges += 1
            self.tasks.spawn("judging of jobs/", self._judge_all())

    async def _judge_all(self) -> None:
        try:
            while (found := self._next()) is not None:
                self._judging[found.account] = found
                try:
                    await self._judge(found)
                except CancelledError:
                    raise
                except Exception:
                    _log.failure(
                        "judging {file} of {account} failed", file=found.file_name, account=found.account
                    )
                    self._postpone(
                        found, limits.JUDGE_AGAIN, "fault: the web server's log says what went wrong"
                    )
                finally:
                    del self._judging[found.account]
        finally:
            self._judges -= 1

    def _next(self) -> Found | None:
        """The next file of the account that had no turn for longest, if none of its files is judged now."""
        accounts = self._waiting.keys() - self._judging.keys()
        if not accounts:
            return None
        account = min(accounts, key=lambda each: (self._turns.get(each, 0), each))
        self._turns[account] = max(self._turns.values(), default=0) + 1
        files = self._waiting[account]
        found = files.pop(next(iter(files)))
        if not files:
            del self._waiting[account]
        return found

    def _watch(self, accounts: Iterable[str]) -> None:
        """In a thread: watch every ``jobs/``, and a new one that took its place (its inode is another)."""
        for account in accounts:
            path = self.homes.path / account / JOBS
            with contextlib.suppress(FileNotFoundError):
                inode = path.lstat().st_ino
                if self._watched.get(account) != inode:
                    self._watched[account] = inode
                    self._watch_folder(account, path)

    def _watch_folder(self, account: str, path: Path) -> None:
        def wake() -> None:
            self.reactor.callFromThread(self.wake)

        def gone() -> None:  # the next folder may have the same inode
            self.reactor.callFromThread(self._watched.pop, account, None)

        try:
            if (old := self._watches.pop(account, None)) is not None:
                self._observer.unschedule(old)
            self._watches[account] = self._observer.schedule(_Events(str(path), wake, gone), str(path))
        except OSError as error:
            _log.warn("cannot watch {path} ({error}); it is rescanned only", path=path, error=error)

    def _tell_parts(self, parts: Mapping[Found, tuple[str, ...]]) -> None:
        """A JAR that is part of a job gets a status of its own, unless it was judged by itself as it is."""
        told, self._parts = self._parts, {}
        for part, leads in parts.items():
            key = (part.account, part.file_name)
            self._parts[key] = leads
            if told.get(key) != leads and self.judged.get(key, "").partition("+")[0] != part.stamp:
                self.status.part(*key, leads)

    async def _tell_misnamed(self, accounts: list[str]) -> None:
        """A name that we would not write a status beside gets its refusal in a file of a name of ours."""
        for account in accounts:
            names = tuple(sorted(await self.workers.run(partial(self.homes.misnamed, account))))
            if names != self._misnamed.get(account, ()):
                self._misnamed[account] = names
                self.status.refused(account, MISNAMED, misnamed_sentence(names))

    async def _judge(self, found: Found) -> None:
        key = (found.account, found.file_name)
        held = self._held.get(key)
        try:
            if held is not None and held.stamp == found.stamp and held.refusal is not None:
                await self._refuse(found, held.refusal)
                return
            job = await self.intake.take_found(found)
        except RefusedError as error:
            await self._not_taken(found, error)
        except FileNotFoundError:
            pass  # removed meanwhile
        except OSError as error:
            _log.warn("cannot read {file}: {error}", file=found.file_name, error=error)
            self._postpone(found, limits.LATER, f"unreadable: {error.strerror}; the web server tries again")
        else:
            self._settle(found)
            if job.file_name == found.file_name:
                self.status.accepted(job.id)
            else:
                self.status.known_as(found.account, found.file_name, job.id)

    async def _not_taken(self, found: Found, error: RefusedError) -> None:
        """It is judged again later, or refused when it has been quiet, or now; or with what names it since."""
        if (found.account, found.file_name) in self._parts:
            return
        if isinstance(error, FurtherJarsError) and not found.file_name.endswith(JNLP_SUFFIX) and error.jars:
            self._await_jars(found, error)
        elif isinstance(error, IncompleteSetError):
            await self._await_rest(found, error)
        elif isinstance(error, OverloadedError):
            self._postpone(found, limits.LATER, str(error))
        elif may_pass(error):
            self._postpone(found, limits.JUDGE_AGAIN, str(error), is_over(error))
        elif may_be_unfinished(error):
            self._hold(found, limits.QUIET, error)
        else:
            await self._refuse(found, error)

    def _await_jars(self, found: Found, error: FurtherJarsError) -> None:
        """A main JAR is judged again together with those that its signed descriptor names."""
        self.intake.sets.learned(found, error.jars)
        self._hold(found, limits.QUIET)  # a look that is under way does not know them yet
        self.wake()

    async def _await_rest(self, found: Found, error: IncompleteSetError) -> None:
        """Refused when nothing of it came for long; any file that comes makes another candidate of it."""
        left = found.arrived + limits.SET_PATIENCE - self.wall()
        if left <= 0:
            await self._refuse(found, error)
        else:
            self._hold(found, left, error)
            self.status.waiting(found.account, found.file_name, waiting_sentence(error, found))

    def _postpone(self, found: Found, delay: float, sentence: str, refused: bool = False) -> None:
        """Judge it again later, each time after twice the time, and tell the user why."""
        held = self._held.get((found.account, found.file_name))
        if held is not None:
            delay = min(max(delay, 2 * held.delay), limits.JUDGE_AGAIN_MOST)
        self._hold(found, delay, told=sentence)
        if held is None or held.told != sentence:
            tell = self.status.refused if refused else self.status.waiting
            tell(found.account, found.file_name, sentence)

    def _hold(self, found: Found, delay: float, refusal: RefusedError | None = None, told: str = "") -> None:
        until = self.reactor.seconds() + delay
        self._held[found.account, found.file_name] = _Held(found.stamp, until, delay, refusal, told)
        if delay < limits.RESCAN:
            self.reactor.callLater(delay, self.wake)

    def _settle(self, found: Found) -> None:
        key = (found.account, found.file_name)
        self.judged[key] = found.stamp
        self._held.pop(key, None)

    async def _refuse(self, found: Found, error: RefusedError) -> None:
        _log.info(
            "refused {file} of {account}: {error}", file=found.file_name, account=found.account, error=error
        )
        try:
            await self.intake.record(found, str(error))
        except OverloadedError:
            self._hold(found, limits.LATER, error)
            return
        self._settle(found)
        if (found.account, found.file_name) not in self._parts:
            self.status.refused(found.account, found.file_name, str(error))
