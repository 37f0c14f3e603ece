"""The WS's own copies of bundles: of accepted jobs, and of what is not judged yet.

A job is one file: its bundle, and then each further JAR that it names (``JobBrief.jars``).
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import starmap
from pathlib import Path
from typing import BinaryIO

import attrs

from rjs.bundle.window import Window
from rjs.errors import RefusedError
from rjs.files import sync_folder
from rjs.ids import BundleId
from rjs.wire.blobs import chunk_of
from rjs.wire.messages import BlobData, BlobRead, JarPart, JobBrief
from ws import limits

Stamp = tuple[int, int, int]
"""Inode, size and time of change: another stamp, another file."""

_INCOMING = ".incoming-"


@attrs.frozen
class Incoming:
    """Bytes of our own that are not judged yet: a bundle, and the JARs that follow it, of these sizes."""

    path: Path
    sizes: tuple[int, ...]
    sha256: str
    names: tuple[str, ...] = ()
    """Of the JARs that follow."""
    jnlp: bytes = b""
    """What the main JAR must hold, signed; empty when it came by itself."""

    @property
    def parts(self) -> tuple[JarPart, ...]:
        """The JARs that follow."""
        return tuple(starmap(JarPart, zip(self.names, self.sizes[1:], strict=True)))

    def windows(self, file: BinaryIO) -> Iterator[Window]:
        """The bundle, and each JAR that follows, in the open ``file``."""
        start = 0
        for size in self.sizes:
            yield Window(file, range(start, start + size))
            start += size


class Bundles:
    """The WS's own copies of accepted bundles, by bundle id."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._judging = threading.Lock()
        self._judged: dict[str, tuple[Stamp, bool]] = {}  # the one judged last stands last

    def clear_incoming(self) -> None:
        """Remove what a killed process left half done."""
        for pattern in (f"{_INCOMING}*", f".{_INCOMING}*.part"):  # copied here, and read from a session
            for path in self._folder.glob(pattern):
                path.unlink()

    def path(self, job: str) -> Path:
        """Where the bundle of a job is."""
        return self._folder / f"{job}.jar"

    def chunk(self, brief: JobBrief, read: BlobRead) -> BlobData:
        """Part of a job's bundle; blocks, and from threads. Raises RefusedError where it is not what was accepted.

        That is asked of the whole file before its first byte is given, and again whenever the file is another one:
        what a disk spoiled need not cross the network to be told from what was promised.
        """
        path = self.path(brief.job)
        try:
            with self._judging:
                sound = self._is_sound(path, brief)
        except OSError as error:
            raise damaged(error.strerror or str(error)) from error
        if not sound:
            raise damaged("its bytes are not those that were accepted")
        return chunk_of(path, read)

    def _is_sound(self, path: Path, brief: JobBrief) -> bool:
        found = path.stat()
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        known = self._judged.get(brief.job)
        if known is not None and known[0] == stamp:
            return known[1]
        with path.open("rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == brief.sha256
        self._judged.pop(brief.job, None)
        self._judged[brief.job] = stamp, sound
        while len(self._judged) > limits.BUNDLES_JUDGED:
            self._judged.pop(next(iter(self._judged)))
        return sound

    def incoming(self) -> Path:
        """A new name for bytes that are not judged yet."""
        return self._folder / f"{_INCOMING}{secrets.token_hex(16)}"

    def copy_in(self, sources: Iterable[AbstractContextManager[BinaryIO]]) -> Incoming:
        """Copy the bytes of all sources, one after the other, into a new incoming file, durably. Refuses too many."""
        path = self.incoming()
        digest, sizes, left = hashlib.sha256(), [], limits.BUNDLE
        try:
            with path.open("xb") as file:
                for opened in sources:
                    with opened as source:
                        sizes.append(_copy(source, file, digest, left))
                    left -= sizes[-1]
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Incoming(path, tuple(sizes), digest.hexdigest())

    def keep(self, incoming: Path, job: BundleId) -> None:
        """The incoming file is this job's bundle: name it so, durably."""
        incoming.replace(self.path(job))
        sync_folder(self._folder)


def _copy(source: BinaryIO, file: BinaryIO, digest: hashlib._Hash, most: int) -> int:
    """Copy and hash at most ``most`` bytes; how many they were."""
    size = 0
    while chunk := source.read(limits.COPY):
        size += len(chunk)
        if size > most:
            raise too_large()
        digest.update(chunk)
        file.write(chunk)
    return size


def damaged(why: str) -> RefusedError:
    """The refusal of a bundle that the disk spoiled."""
    return RefusedError(
        "bundle-damaged",
        f"the web server's copy of it is damaged ({why}): cancel the job, and submit it again",
    )


def too_large() -> RefusedError:
    """The refusal of more bytes than one job has here."""
    return RefusedError("too-large", f"a job's files have at most {limits.BUNDLE} bytes together here")
