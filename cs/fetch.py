"""Fetching a job's file from a LUS: whole when it is small, else only the parts that this platform needs.

Of a large one comes what the bundle is judged by, then the files and JARs that are unpacked here (docs/parts.md).
Whether the signer may run anything is asked before the bulk is fetched.
"""

from __future__ import annotations

import os
import shutil
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
from rjs.wall_time import Wall, utc_now
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
    room: int,
    workers: Workers,
    timers: Timers,
    wall: Wall = utc_now,
) -> OpenedJob:
    """The job out of a new file at ``path``, which is complete when this returns and else not there.

    What comes of it may take ``room`` bytes. Raises RefusedError: it cannot be had, is not what it must be, takes
    more room than there is (``no-room``), or may not run; OSError, SessionLostError.
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
        job = PartialFile(brief, file, Present(), wall)
        room = max(room, limits.WHOLE)
        opened = await _Fetch(job, session, platform, room, workers, timers).opened(may_run)
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
    room: int
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
        await self.workers.run(self._missing, [range(brief.size)])
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
        missing = await self.workers.run(self._missing, ranges)
        await read_ranges(
            self.session, "bundle", self.job.brief.job, joined(missing), self._write, self.timers
        )

    def _missing(self, ranges: Sequence[range]) -> list[range]:
        """What of these ranges has not come. Raises ``no-room``: the owner, or the disk, has less room than it takes,
        with what came before."""
        missing = self.job.missing(ranges)
        more = sum(map(len, missing))
        came = self.job.brief.size - sum(map(len, self.job.missing([range(self.job.brief.size)])))
        if came + more > self.room:
            raise RefusedError(
                "no-room",
                f"{came + more} bytes of its file are needed here; this machine's owner gives jobs' files "
                f"{self.room} (the setting `cache`)",
            )
        free = shutil.disk_usage(Path(self.job.file.name).parent).free
        if more > free:
            raise RefusedError(
                "no-room", f"{more} bytes of its file are still to come; {free} are free on the disk here"
            )
        return missing

    def _write(self, offset: int, data: bytes) -> None:
        written = 0
        while written < len(data):
            written += os.pwrite(self.job.file.fileno(), data[written:], offset + written)
        self.job.present.add(range(offset, offset + len(data)))
