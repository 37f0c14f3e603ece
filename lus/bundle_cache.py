"""The LUS's bundles on disk, by bundle id: fetched from the WS once, given to every CS that asks.

What is here is never executed or unpacked; its digest is checked so that a damaged file is fetched again. A CS
judges every bundle itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lus import limits
from rjs.background import Tasks, Workers
from rjs.errors import RefusedError
from rjs.wire.blobs import chunk_of, read_blob_to_file
from rjs.wire.messages import BlobData, BlobRead, JobBrief
from rjs.wire.session import Session

_log = Logger("lus.bundle_cache")


class BundleCache:
    """Keeps bundles in ``folder``; ``ws`` gives the session with the WS, or None."""

    def __init__(
        self, folder: Path, workers: Workers, tasks: Tasks, ws: Callable[[], Session | None]
    ) -> None:
        self._folder = folder
        self._workers = workers
        self._tasks = tasks
        self._ws = ws
        self._briefs: dict[str, JobBrief] = {}
        self._sound: dict[str, int] = {}
        self._coming: dict[str, list[Deferred[None]]] = {}

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
        if read.key not in self._sound:
            await self._fetch_once(brief)
        self._sound[read.key] = self._sound.pop(read.key, brief.size)
        return await self._workers.run(partial(chunk_of, self._path(read.key), read))

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
        try:
            if not await self._workers.run(partial(_is_sound, self._path(brief.job), brief)):
                session = self._ws()
                if session is None:
                    raise RefusedError("ws-away", "the web server cannot be reached now; try again later")
                await read_blob_to_file(
                    session, "bundle", brief.job, brief.size, brief.sha256, self._path(brief.job)
                )
        except Exception as error:
            for waiting in self._coming.pop(brief.job):
                waiting.errback(error)
            return
        self._sound[brief.job] = brief.size
        for waiting in self._coming.pop(brief.job):
            waiting.callback(None)
        await self._workers.run(self._evict)

    def _evict(self) -> None:
        """Remove the least recently used files beyond the cap; the one used last always stays."""
        files = [(path, path.stat().st_size) for path in self._folder.glob("*.jar")]
        total = sum(size for _, size in files)
        order = {job: place for place, job in enumerate(self._sound)}
        for path, size in sorted(files, key=lambda each: order.get(each[0].stem, -1))[:-1]:
            if total <= limits.CACHE:
                return
            self._sound.pop(path.stem, None)
            path.unlink(missing_ok=True)
            total -= size


def _is_sound(path: Path, brief: JobBrief) -> bool:
    try:
        if path.stat().st_size != brief.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == brief.sha256
    except FileNotFoundError:
        return False
