"""Fetching a job's file from a LUS: whole when it is small, else only the parts that this platform needs.

Of a large one comes what the bundle is judged by, then the files and JARs that are unpacked here (docs/parts.md).
Whether the signer may run anything is asked before the bulk is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from cs import limits
from cs.opened_job import OpenedJob, PartialFile
from rjs.background import Timers, Workers
from rjs.bundle.skeleton import skeleton
from rjs.bundle.verify import OpenedBundle
from rjs.bundle.window import AbsentError, Present
from rjs.descriptor import DESCRIPTOR_NAME, JNLP_NAME
from rjs.errors import RefusedError
from rjs.limits import MAX_ARCHIVE_BYTES
from rjs.needs import Platform
from rjs.wire.blobs import joined, read_blob, read_ranges
from rjs.wire.messages import JobBrief
from rjs.wire.session import Session

MayRun = Callable[[OpenedBundle], object]
"""Raises RefusedError when this bundle's signer may run nothing here."""


async def fetch(
    brief: JobBrief,
    session: Session,
    path: Path,
    platform: Platform,
    may_run: MayRun,
    *,
    workers: Workers,
    timers: Timers,
) -> OpenedJob:
    """The job out of a new file at ``path``, which is complete when this returns and else not there.

    Raises RefusedError: it cannot be had, is not what it must be, or may not run; OSError, SessionLostError.
    """
    if brief.size > MAX_ARCHIVE_BYTES:  # a LUS that lies about sizes could fill the owner's disk
        raise RefusedError(
            "too-large", f"a job's file has at most {MAX_ARCHIVE_BYTES} bytes, not {brief.size}"
        )
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    file = part.open("x+b", buffering=0)
    try:
        os.fchmod(file.fileno(), 0o600)
        file.truncate(brief.size)
        opened = await _Fetch(PartialFile(brief, file, Present()), session, platform, workers, timers).opened(
            may_run
        )
        part.replace(path)
    except BaseException:
        file.close()
        part.unlink(missing_ok=True)
        raise
    return opened


@attrs.frozen
class _Fetch:
    job: PartialFile
    session: Session
    platform: Platform
    workers: Workers
    timers: Timers

    async def opened(self, may_run: MayRun) -> OpenedJob:
        whole = self.job.brief.size <= limits.WHOLE
        await (self._whole() if whole else self._skeleton())
        bundle = await self.workers.run(self.job.judged)
        may_run(bundle)
        if not whole:
            await self._bulk(bundle)
        return await self.workers.run(self.job.opened, bundle, self.platform)

    async def _whole(self) -> None:
        brief, content = self.job.brief, bytearray()
        await read_blob(
            self.session, "bundle", brief.job, brief.size, brief.sha256, content.extend, self.timers
        )
        self._write(0, bytes(content))

    async def _skeleton(self) -> None:
        steps = skeleton(self.job.window(self.job.places[0]), (DESCRIPTOR_NAME, JNLP_NAME))
        while (ranges := await self.workers.run(lambda: next(steps, None))) is not None:
            await self._have(ranges)

    async def _bulk(self, bundle: OpenedBundle) -> None:
        while True:
            try:
                needed = await self.workers.run(self.job.needed, bundle, self.platform)
            except AbsentError as absent:  # the descriptor continues in another file of the bundle
                places = map(bundle.place_of, bundle.entries)
                await self._have([next(place for place in places if absent.place.start in place)])
            else:
                return await self._have(needed)

    async def _have(self, ranges: Sequence[range]) -> None:
        missing = await self.workers.run(self.job.missing, ranges)
        await read_ranges(
            self.session, "bundle", self.job.brief.job, joined(missing), self._write, self.timers
        )

    def _write(self, offset: int, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self.job.file.fileno(), data[written:], offset + written)
        self.job.present.add(range(offset, offset + len(data)))
