"""The CS's bundles: fetched from the LUS, judged by the strict verifier, kept open for the next task.

A bundle is judged once while it stays open; its files are checked against the signed digests whenever they are
read, so a cache file that changed afterwards is noticed. Whether it may run now is asked again each time.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import OrderedDict
from pathlib import Path

from twisted.internet.defer import Deferred

from cs import limits
from rjs.background import Timers, Workers
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.errors import RefusedError
from rjs.limits import MAX_ARCHIVE_BYTES
from rjs.wire.blobs import read_blob_to_file
from rjs.wire.messages import JobBrief
from rjs.wire.session import Session


class Bundles:
    """Bundles in one folder, the last few of them open."""

    def __init__(self, folder: Path, workers: Workers, timers: Timers) -> None:
        self._folder = folder
        self._workers = workers
        self._timers = timers
        self._open: OrderedDict[str, OpenedBundle] = OrderedDict()
        self._coming: dict[str, list[Deferred[None]]] = {}
        self._fetch: Deferred[None] | None = None

    async def opened(self, job: JobBrief, session: Session) -> OpenedBundle:
        """The job's bundle, judged. Raises RefusedError: it cannot be had, or is not what it must be.

        Whoever asks while it is on its way waits, and then has it too or tries with a session of its own.
        """
        while job.job in self._coming:
            await self._turn(job.job)
        known = self._open.get(job.job)
        if known is not None:
            self._open.move_to_end(job.job)
            return known
        self._coming[job.job] = []
        try:
            bundle = await self._had(job, session)
            self._open[job.job] = bundle
            while len(self._open) > limits.OPEN_BUNDLES:
                self._open.popitem(last=False)[1].close()
            await self._workers.run(self._evict, frozenset([*self._open, *self._coming]))
        finally:
            for waiting in self._coming.pop(job.job):
                if not waiting.called:
                    waiting.callback(None)
        return bundle

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
        bundle = self._open.pop(job, None)
        if bundle is not None:
            bundle.close()
        self._path(job).unlink(missing_ok=True)

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()

    def _path(self, job: str) -> Path:
        return self._folder / f"{job}.jar"

    async def _turn(self, job: str) -> None:
        turn: Deferred[None] = Deferred()
        self._coming[job].append(turn)
        await turn

    async def _had(self, job: JobBrief, session: Session) -> OpenedBundle:
        """From the disk, else from the LUS; what the disk spoiled is fetched again."""
        try:
            return await self._workers.run(_judge, self._path(job.job), job.job)
        except (RefusedError, FileNotFoundError):
            self.drop(job.job)
        if job.size > MAX_ARCHIVE_BYTES:  # a LUS that lies about sizes could fill the owner's disk
            raise RefusedError("too-large", f"a bundle has at most {MAX_ARCHIVE_BYTES} bytes, not {job.size}")
        self._fetch = Deferred.fromCoroutine(
            read_blob_to_file(
                session, "bundle", job.job, job.size, job.sha256, self._path(job.job), timers=self._timers
            )
        )
        try:
            await self._fetch
        finally:
            self._fetch = None
        try:
            return await self._workers.run(_judge, self._path(job.job), job.job)
        except RefusedError:
            self.drop(job.job)
            raise

    def _evict(self, in_use: frozenset[str]) -> None:
        """Remove the least recently used files beyond the cap, but none that is open or on its way."""
        files = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.jar")]
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= limits.CACHE:
                return
            if path.stem not in in_use:
                path.unlink(missing_ok=True)
                total -= size


def _judge(path: Path, job: str) -> OpenedBundle:
    file = path.open("rb")
    try:
        os.utime(file.fileno())  # eviction goes by it
        bundle = open_bundle(file, at=dt.datetime.now(dt.UTC))
        if bundle.bundle_id != job:
            raise RefusedError(
                "wrong-bundle", f"the bundle is {bundle.bundle_id[:16]}, the task is of {job[:16]}"
            )
    except BaseException:
        file.close()
        raise
    return bundle
