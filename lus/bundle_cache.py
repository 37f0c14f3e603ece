"""The LUS's bundles on disk, by bundle id: fetched from the WS once, given to every CS that asks.

What is here is never executed or unpacked; its digest is checked when it is first used and whenever the file is
not the one that was checked, so that a damaged file is fetched again. A CS judges every bundle itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from lus import limits
from rjs import limits as shared
from rjs.background import Tasks, Timers, Workers
from rjs.errors import RefusedError, RjsError
from rjs.wire.blobs import chunk_of, read_blob_to_file
from rjs.wire.messages import BlobData, BlobRead, JobBrief
from rjs.wire.session import Session, SessionLostError

_log = Logger("lus.bundle_cache")

Stamp = tuple[int, int, int]
"""Inode, size and time of change: another stamp, another file."""


class BundleCache:
    """Keeps bundles in ``folder``; ``ws`` gives the session with the WS, or None."""

    def __init__(
        self,
        folder: Path,
        workers: Workers,
        tasks: Tasks,
        timers: Timers,
        ws: Callable[[], Session | None],
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._timers = timers
        self._tasks = tasks
        self._ws = ws
        self._briefs: dict[str, JobBrief] = {}
        self._sound: dict[str, Stamp] = {}  # the one used last stands last
        self._reading: Counter[str] = Counter()
        self._coming: dict[str, list[Deferred[None]]] = {}

    def clear_unfinished(self) -> None:
        """At start: remove what a fetch left when the process was killed. Blocks for a moment."""
        for path in self._folder.glob(".*.part"):
            path.unlink()

    def know(self, job: JobBrief) -> None:
        """A job that tasks were leased of: its bundle may be asked for."""
        self._briefs.pop(job.job, None)
        self._briefs[job.job] = job
        while len(self._briefs) > limits.BRIEFS:
            self._briefs.pop(next(iter(self._briefs)))

    async def chunk(self, read: BlobRead) -> BlobData:
        """Part of a bundle, fetched first if need be. Raises RefusedError when it cannot be had."""
        brief = self._briefs.get(read.key)
        if brief is None:
            raise RefusedError("no-blob", f"no task of job {read.key[:16]} is leased here")
        self._reading[brief.job] += 1
        try:
            stamp = await self._workers.run(_stamp, self._path(brief.job))
            if stamp is None or self._sound.get(brief.job) != stamp:
                self._sound.pop(brief.job, None)
                await self._fetch_once(brief)
            else:
                self._sound[brief.job] = self._sound.pop(brief.job)
            return await self._workers.run(chunk_of, self._path(brief.job), read)
        finally:
            self._reading[brief.job] -= 1
            if not self._reading[brief.job]:
                del self._reading[brief.job]

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}.jar"

    async def _fetch_once(self, brief: JobBrief) -> None:
        done: Deferred[None] = Deferred()
        waiting = self._coming.setdefault(brief.job, [])
        waiting.append(done)
        if len(waiting) == 1:
            self._tasks.spawn(f"fetch of {brief.job[:16]}", self._fetch(brief))
        await done

    async def _fetch(self, brief: JobBrief) -> None:
        """Whoever waits hears how it ended; the fetch is nobody's own, so none of them can cancel it."""
        error: Exception | None = None
        try:
            await self._have(brief)
        except CancelledError:
            error = RefusedError("stopped", "the lookup server stops")
            raise
        except RefusedError as refused:
            error = refused
        except SessionLostError as lost:
            error = RefusedError("ws-away", f"the web server was lost meanwhile ({lost}); try again later")
        except (RjsError, OSError) as fault:
            error = RefusedError("no-blob", f"the bundle cannot be had now: {fault}; try again later")
        finally:
            for waiting in self._coming.pop(brief.job):
                if waiting.called:
                    continue
                if error is None:
                    waiting.callback(None)
                else:
                    waiting.errback(error)
        if error is None:
            await self._evict()

    async def _have(self, brief: JobBrief) -> None:
        path = self._path(brief.job)
        stamp = await self._workers.run(_sound_stamp, path, brief)
        if stamp is None:
            if brief.size > shared.MAX_ARCHIVE_BYTES:
                raise RefusedError("too-large", f"a bundle has at most {shared.MAX_ARCHIVE_BYTES} bytes")
            session = self._ws()
            if session is None:
                raise RefusedError("ws-away", "the web server cannot be reached now; try again later")
            await read_blob_to_file(
                session, "bundle", brief.job, brief.size, brief.sha256, path, timers=self._timers
            )
            stamp = await self._workers.run(_stamp, path)
        if stamp is not None:
            self._sound[brief.job] = stamp

    async def _evict(self) -> None:
        """Remove the least recently used files beyond the cap, but none that is being read or fetched."""
        files = await self._workers.run(_files, self._folder)
        order = {job: place for place, job in enumerate(self._sound)}
        total = sum(files.values())
        for job in sorted(files, key=lambda each: order.get(each, -1)):
            if total <= limits.CACHE:
                return
            if job not in self._reading and job not in self._coming:
                total -= files[job]
                self._sound.pop(job, None)
                self._path(job).unlink(missing_ok=True)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _sound_stamp(path: Path, brief: JobBrief) -> Stamp | None:
    """The stamp of the file if it is the bundle that was promised, else None."""
    stamp = _stamp(path)
    if stamp is None or stamp[1] != brief.size:
        return None
    with path.open("rb") as file:
        return stamp if hashlib.file_digest(file, "sha256").hexdigest() == brief.sha256 else None


def _files(folder: Path) -> dict[str, int]:
    """The size of each bundle, by job."""
    return {path.stem: path.stat().st_size for path in folder.glob("*.jar")}
