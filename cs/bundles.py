"""The CS's bundles: fetched from the LUS, judged by the strict verifier, kept open for the next task.

A job's file is judged once while it stays open; its files are checked against the signed digests whenever they are
read. A cache file that changed is noticed by its stamp before, or by a digest then, and fetched again. Whether a job
may run now is asked again each time.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from cs import limits
from cs.fetch import MayRun, fetch
from cs.opened_job import OpenedJob, PartialFile
from rjs.background import Timers, Workers
from rjs.bundle.window import Present
from rjs.errors import RefusedError
from rjs.needs import Platform
from rjs.wall_time import Wall, utc_now
from rjs.wire.messages import JobBrief
from rjs.wire.session import Session

_log = Logger("cs.bundles")


class Bundles:
    """Jobs' files in one folder, of at most ``cap`` bytes on disk together, the last few of them open."""

    def __init__(
        self,
        folder: Path,
        workers: Workers,
        timers: Timers,
        platform: Platform,
        cap: int = limits.CACHE,
        wall: Wall = utc_now,
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._timers = timers
        self._platform = platform
        self._cap = cap
        self._wall = wall
        self._open: OrderedDict[str, OpenedJob] = OrderedDict()
        self._coming: dict[str, list[Deferred[None]]] = {}
        self._fetch: Deferred[OpenedJob] | None = None

    async def opened(self, job: JobBrief, session: Session, may_run: MayRun) -> OpenedJob:
        """The job, judged. Raises RefusedError: it cannot be had, is not what it must be, or ``may_run`` says so,
        which is asked before more of it is fetched than its signer is judged by.

        Whoever asks while it is on its way waits, and then has it too or tries with a session of its own.
        """
        while job.job in self._coming:
            await self._turn(job.job)
        known = self._open.get(job.job)
        if known is not None:
            if known.is_at(self._path(job.job)):
                self._open.move_to_end(job.job)
                return known
            _log.warn("the file of job {job} in the cache was changed", job=job.job[:16])
            self._close(job.job)
        self._coming[job.job] = []
        try:
            opened = await self._had(job, session, may_run)
            self._open[job.job] = opened
            while len(self._open) > limits.OPEN_BUNDLES:
                self._close(next(iter(self._open)))
            await self._workers.run(self._evict, frozenset([*self._open, *self._coming]))
        finally:
            for waiting in self._coming.pop(job.job):
                if not waiting.called:
                    waiting.callback(None)
        return opened

    def stop_fetching(self) -> None:
        """Nobody wants the bundle that is on its way; who waits for it gets CancelledError."""
        if self._fetch is not None:
            self._fetch.cancel()

    def sweep(self) -> None:
        """At start: remove what a killed process had fetched in part."""
        for part in self._folder.glob(".*.part"):
            part.unlink()

    def drop(self, job: str) -> None:
        """The bundle turned out to be damaged: fetch it again next time."""
        self._close(job)
        self._path(job).unlink(missing_ok=True)

    def close(self) -> None:
        """Close what is open."""
        for job in tuple(self._open):
            self._close(job)

    def _close(self, job: str) -> None:
        opened = self._open.pop(job, None)
        if opened is not None:
            opened.close()
            with suppress(OSError):
                _touch(self._path(job))

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}.jar"

    async def _turn(self, job: str) -> None:
        turn: Deferred[None] = Deferred()
        self._coming[job].append(turn)
        await turn

    async def _had(self, job: JobBrief, session: Session, may_run: MayRun) -> OpenedJob:
        """From the disk, where only what could run came to lie; else from the LUS."""
        path = self._path(job.job)
        try:
            return await self._workers.run(_reopened, path, job, self._platform, self._wall)
        except FileNotFoundError:
            pass
        except RefusedError as refused:
            _log.warn("job {job} in the cache is fetched again: {why}", job=job.job[:16], why=refused)
            self.drop(job.job)
        self._fetch = Deferred.fromCoroutine(
            fetch(
                job,
                session,
                path,
                self._platform,
                may_run,
                room=self._cap,
                workers=self._workers,
                timers=self._timers,
                wall=self._wall,
            )
        )
        try:
            return await self._fetch
        finally:
            self._fetch = None

    def _evict(self, in_use: frozenset[str]) -> None:
        """Remove the least recently used files beyond the cap, but none that is open or on its way."""
        files = list(_found(self._folder.glob("*.jar")))
        total = sum(_on_disk(found) for found, _ in files)
        for found, path in sorted(files, key=lambda each: each[0].st_atime_ns):
            if total <= self._cap:
                return
            if path.stem not in in_use:
                path.unlink(missing_ok=True)
                total -= _on_disk(found)


def _found(paths: Iterable[Path]) -> Iterator[tuple[os.stat_result, Path]]:
    """Those of these files that are still there: ``drop`` may remove one meanwhile."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield path.stat(), path


def _on_disk(found: os.stat_result) -> int:
    """Bytes that a file takes; its holes take none."""
    return found.st_blocks * 512


def _touch(path: Path) -> None:
    """It was used now: eviction goes by that. Whether it was changed stays visible."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _reopened(path: Path, brief: JobBrief, platform: Platform, wall: Wall) -> OpenedJob:
    """The job out of its file in the cache. Its holes are read as zeros, which are no content that anybody signed.

    Raises RefusedError, and FileNotFoundError.
    """
    file = path.open("rb", buffering=0)
    try:
        size = file.seek(0, os.SEEK_END)
        if size != brief.size:
            raise RefusedError("job-size", f"the file has {size} bytes, not {brief.size}")
        _touch(path)
        present = Present()
        present.add(range(size))
        job = PartialFile(brief, file, present, wall)
        return job.opened(job.judged(), platform)
    except BaseException:
        file.close()
        raise
