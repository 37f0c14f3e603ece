"""Bulk data over a session: pulled by the receiver in bounded chunks, a bounded window ahead.

The sender sends only what was asked for, so neither end ever buffers more than the window. Whoever reads checks
size and SHA-256 against what was promised; nothing of a blob that differs is kept.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from rjs import limits
from rjs.background import Timers, Workers
from rjs.errors import RefusedError
from rjs.wire.messages import BlobData, BlobRead, Message


class Requests(Protocol):
    """The part of a session that reading a blob needs."""

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        """Send the message and await its reply."""
        ...


async def read_blob(
    session: Requests,
    kind: str,
    key: str,
    size: int,
    sha256: str,
    write: Callable[[bytes], object],
    timers: Timers | None = None,
    window: int = limits.BLOB_WINDOW,
) -> None:
    """Pull ``size`` bytes in order into ``write``, keeping a window of requests ahead.

    Raises RefusedError when the peer refuses, when the bytes are not those promised (``blob-differs``), or, with
    ``timers``, when none come for ``BLOB_STALL`` (``blob-stalled``); and SessionLostError.
    """
    digest = hashlib.sha256()

    def take(_: int, data: bytes) -> None:
        digest.update(data)
        write(data)

    await read_ranges(session, kind, key, [range(size)], take, timers, window)
    if digest.hexdigest() != sha256:
        raise RefusedError("blob-differs", f"{kind} {key[:16]}: the bytes are not those that were promised")


async def read_ranges(
    session: Requests,
    kind: str,
    key: str,
    ranges: Iterable[range],
    write: Callable[[int, bytes], object],
    timers: Timers | None = None,
    window: int = limits.BLOB_WINDOW,
) -> None:
    """Pull these ranges of a blob in order, calling ``write`` with the offset and the bytes of each piece.

    Raises like ``read_blob``, but knows only how many bytes were promised: whoever reads what was written must
    find out whether they are the right ones.
    """
    pieces = _pieces(ranges)
    ahead: deque[tuple[range, Deferred[BlobData]]] = deque()
    try:
        while True:
            for piece in islice(pieces, window - len(ahead)):
                read = BlobRead(kind=kind, key=key, offset=piece.start, length=len(piece))
                ahead.append((piece, Deferred.fromCoroutine(session.request(read, BlobData))))
            if not ahead:
                return
            piece, coming = ahead.popleft()
            data = (await in_time(coming, timers, f"{kind} {key[:16]}")).data
            if len(data) != len(piece):
                raise RefusedError(
                    "blob-differs", f"{kind} {key[:16]}: {len(data)} bytes came, not {len(piece)}"
                )
            write(piece.start, data)
    finally:
        for _, deferred in ahead:
            deferred.addErrback(lambda _: None)
            deferred.cancel()


def _pieces(ranges: Iterable[range]) -> Iterator[range]:
    for each in ranges:
        for start in range(each.start, each.stop, limits.BLOB_CHUNK):
            yield range(start, min(start + limits.BLOB_CHUNK, each.stop))


def joined(ranges: Iterable[range], gap: int = limits.BLOB_GAP) -> list[range]:
    """The same bytes in fewer ranges, in order: those less than ``gap`` apart become one with what lies between."""
    found: list[range] = []
    for each in sorted((each for each in ranges if each), key=lambda each: each.start):
        if found and each.start - found[-1].stop < gap:
            found[-1] = range(found[-1].start, max(found[-1].stop, each.stop))
        else:
            found.append(each)
    return found


def in_time(chunk: Deferred[BlobData], timers: Timers | None, what: str) -> Deferred[BlobData]:
    """``chunk``, which fails with RefusedError ``blob-stalled`` if it has not come after ``BLOB_STALL``."""
    if timers is None:
        return chunk

    def stalled(_: object, seconds: float) -> NoReturn:
        raise RefusedError("blob-stalled", f"{what}: nothing came for {seconds:.0f} s; try again later")

    clock = cast(IReactorTime, timers)  # all that it needs of a clock is callLater
    return chunk.addTimeout(limits.BLOB_STALL, clock, onTimeoutCancel=stalled)


async def read_blob_to_file(
    session: Requests,
    kind: str,
    key: str,
    size: int,
    sha256: str,
    destination: Path,
    durably: Workers | None = None,
    timers: Timers | None = None,
    window: int = limits.BLOB_WINDOW,
) -> None:
    """Pull a blob into a new file at ``destination``: there whole, or not there at all.

    With ``durably`` its bytes are on the disk when this returns (its name is not): syncing may take seconds on
    a busy desktop's disk, so it is done there and not in the reactor.
    """
    part = destination.with_name(f".{destination.name}.part")
    part.unlink(missing_ok=True)
    try:
        with part.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            await read_blob(session, kind, key, size, sha256, file.write, timers, window)
            file.flush()
            if durably is not None:
                await durably.run(os.fsync, file.fileno())
        part.replace(destination)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def chunk_of(path: Path, read: BlobRead) -> BlobData:
    """The reply to ``read`` from the file at ``path``. Raises RefusedError when it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        raise RefusedError("no-blob", f"{read.kind} {read.key[:16]} is not here") from None
    try:
        return BlobData(data=os.pread(descriptor, read.length, read.offset))
    finally:
        os.close(descriptor)
