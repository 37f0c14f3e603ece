"""A job's file, opened: the bundle and the further JARs that this platform needs, each judged by itself.

The file is the bundle's bytes, then those of each further JAR, in the order that the job's brief states. What the
brief says comes from a LUS and is a claim; the bundle's signed descriptor says which JARs there are, and its signer
must have signed each. Nothing here fetches anything.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import attrs

from cs.prepared import JarFolder
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.bundle.window import AbsentError, Present, Window
from rjs.descriptor import TaskList, read_descriptor
from rjs.descriptor.model import Descriptor, Jar
from rjs.errors import RefusedError
from rjs.needs import Platform
from rjs.wall_time import Wall, utc_now
from rjs.wire.messages import JobBrief

Stamp = tuple[int, int, int]
"""Inode, size and time of change: another stamp, another file."""


def _stamp_of(found: os.stat_result) -> Stamp:
    return found.st_ino, found.st_size, found.st_mtime_ns


@attrs.frozen
class OpenedJar:
    """A further JAR, signed by the bundle's signer."""

    bundle: OpenedBundle
    native: bool


@attrs.frozen
class OpenedJob:
    """A job whose signers and manifests were judged. Files are checked as they are read; close it at last.

    ``descriptor`` is the job as this platform sees it; ``unneeded`` files of the bundle may be missing.
    """

    bundle: OpenedBundle
    descriptor: Descriptor
    tasks: TaskList
    unneeded: frozenset[str]
    jars: tuple[OpenedJar, ...]
    _file: io.FileIO = attrs.field(repr=False)
    _stamp: Stamp = attrs.field(repr=False)

    def unpack(self, job: Path, jars: Path, without: frozenset[str] = frozenset()) -> tuple[JarFolder, ...]:
        """Write the bundle's needed files, but for those named in ``without``, below the new folder ``job``, and each
        further JAR's below one of its own in the new folder ``jars``. Raises BundleRefusedError: a file is not what
        was signed; and OSError."""
        self.bundle.unpack(job, self.unneeded | without)
        if self.jars:
            jars.mkdir(mode=0o700)
        return tuple(_unpacked(jar, jars / str(number)) for number, jar in enumerate(self.jars))

    def is_at(self, path: Path) -> bool:
        """Whether its file lies there, and looks as it did when it was judged."""
        try:
            return _stamp_of(path.stat()) == self._stamp
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Read no more."""
        self._file.close()


def _unpacked(jar: OpenedJar, folder: Path) -> JarFolder:
    jar.bundle.unpack(folder)
    return JarFolder.of(jar.bundle, folder, jar.native)


@attrs.frozen
class PartialFile:
    """The open file of the job ``brief``, of which the ranges ``present`` are there; judged at ``wall()``."""

    brief: JobBrief
    file: io.FileIO
    present: Present
    wall: Wall = utc_now

    @property
    def places(self) -> list[range]:
        """Where the bundle lies, and each further JAR. Raises ``job-size``: what was claimed cannot be."""
        jars = [part.size for part in self.brief.jars]
        sizes = [self.brief.size - sum(jars), *jars]
        if min(sizes) <= 0:
            raise RefusedError(
                "job-size", f"{len(jars)} further JARs do not fit into {self.brief.size} bytes"
            )
        return [range(start, stop) for start, stop in pairwise(accumulate(sizes, initial=0))]

    def window(self, place: range) -> Window:
        """A part of the file, to be read as far as it is there."""
        return Window(self.file, place, self.present)

    def judged(self) -> OpenedBundle:
        """The bundle, which is the brief's job. Raises RefusedError."""
        try:
            bundle = open_bundle(self.window(self.places[0]), at=self.wall())
        except AbsentError:  # its skeleton came, as its directory describes it
            raise BundleRefusedError(
                "zip-layout", "entries do not lie where the directory says; send it again"
            ) from None
        if bundle.bundle_id != self.brief.job:
            raise RefusedError(
                "wrong-bundle", f"the bundle is {bundle.bundle_id[:16]}, the task is of {self.brief.job[:16]}"
            )
        return bundle

    def missing(self, ranges: Iterable[range]) -> list[range]:
        """What of these ranges has not come."""
        return [hole for each in ranges for hole in self.present.missing(each)]

    def needed(self, bundle: OpenedBundle, platform: Platform) -> list[range]:
        """Where the files lie that a machine of this platform needs, and the JARs.

        Raises AbsentError when what says so has not come either, and RefusedError like ``opened``.
        """
        descriptor = read_descriptor(bundle)
        unneeded = descriptor.unneeded_files(platform)
        files = [bundle.place_of(name) for name in bundle.entries if name not in unneeded]
        return [*files, *(place for _, place in self._jars(descriptor, platform))]

    def opened(self, bundle: OpenedBundle, platform: Platform) -> OpenedJob:
        """The whole job, as far as this platform needs it. Raises RefusedError: its descriptor is wrong, the
        JARs are not those that it names (``jar-names``), invalid, or not of the bundle's signer (``jar-signer``)."""
        descriptor = read_descriptor(bundle)
        jars = [
            OpenedJar(self._judged_jar(jar, place, bundle), jar.native)
            for jar, place in self._jars(descriptor, platform)
        ]
        here = descriptor.on(platform)
        return OpenedJob(
            bundle,
            here,
            TaskList(bundle, here),
            descriptor.unneeded_files(platform),
            tuple(jars),
            self.file,
            _stamp_of(os.fstat(self.file.fileno())),
        )

    def _jars(self, descriptor: Descriptor, platform: Platform) -> list[tuple[Jar, range]]:
        """The further JARs that this platform needs, and where they lie."""
        names = [part.name for part in self.brief.jars]
        if sorted(names) != sorted({jar.name for jar in descriptor.jars}):
            raise RefusedError(
                "jar-names", "the JARs that came with the bundle are not those that its descriptor names"
            )
        places = dict(zip(names, self.places[1:], strict=True))
        return [(jar, places[jar.name]) for jar in descriptor.on(platform).jars]

    def _judged_jar(self, jar: Jar, place: range, bundle: OpenedBundle) -> OpenedBundle:
        opened = open_bundle(self.window(place), at=self.wall())
        if opened.signer.spki != bundle.signer.spki:
            raise RefusedError(
                "jar-signer",
                f"{shown(jar.name)} was signed by another key than the bundle; sign all of them once more",
            )
        return opened
