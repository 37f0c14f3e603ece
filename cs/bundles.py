"""The CS's bundles: fetched from the LUS, judged by the strict verifier, kept open for the next task.

A bundle is judged once while it stays open; its files are checked against the signed digests whenever they are
read, so a cache file that changed afterwards is noticed. Whether it may run now is asked again each time.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from functools import partial
from pathlib import Path

from cs import limits
from rjs.background import Workers
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.errors import RefusedError
from rjs.wire.blobs import read_blob_to_file
from rjs.wire.messages import JobBrief
from rjs.wire.session import Session


class Bundles:
    """Bundles in one folder, the last few of them open."""

    def __init__(self, folder: Path, workers: Workers) -> None:
        self._folder = folder
        self._workers = workers
        self._open: OrderedDict[str, OpenedBundle] = OrderedDict()

    async def opened(self, job: JobBrief, session: Session) -> OpenedBundle:
        """The job's bundle, judged. Raises RefusedError: it cannot be had, or is not what it must be."""
        known = self._open.get(job.job)
        if known is not None:
            self._open.move_to_end(job.job)
            return known
        path = self._folder / f"{job.job}.jar"
        if not path.exists():
            await read_blob_to_file(session, "bundle", job.job, job.size, job.sha256, path)
        try:
            bundle = await self._workers.run(partial(_judge, path, job.job))
        except RefusedError:
            await self._workers.run(partial(path.unlink, missing_ok=True))
            raise
        self._open[job.job] = bundle
        while len(self._open) > limits.OPEN_BUNDLES:
            self._open.popitem(last=False)[1].close()
        await self._workers.run(self._evict)
        return bundle

    def drop(self, job: str) -> None:
        """The bundle turned out to be damaged: fetch it again next time."""
        bundle = self._open.pop(job, None)
        if bundle is not None:
            bundle.close()
        (self._folder / f"{job}.jar").unlink(missing_ok=True)

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            self._open.popitem()[1].close()

    def _evict(self) -> None:
        """Remove the oldest files beyond the cap, but none that is open."""
        files = [(path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.glob("*.jar")]
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= limits.CACHE:
                return
            if path.stem not in self._open:
                path.unlink(missing_ok=True)
                total -= size


def _judge(path: Path, job: str) -> OpenedBundle:
    file = path.open("rb")
    try:
        bundle = open_bundle(file, at=dt.datetime.now(dt.UTC))
        if bundle.bundle_id != job:
            raise RefusedError(
                "wrong-bundle", f"the bundle is {bundle.bundle_id[:16]}, the task is of {job[:16]}"
            )
    except BaseException:
        file.close()
        raise
    return bundle
