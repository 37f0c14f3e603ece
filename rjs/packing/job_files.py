"""What a bundle will hold, and the judgement on it before a byte is written.

A person will mend what is wrong, so every fault is reported at once: those that our own verifier would find in the
finished bundle, and those that a compute server would find when it runs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related
from rjs.descriptor import DESCRIPTOR_NAME, Descriptor, DescriptorError, parse_descriptor
from rjs.errors import RefusedError
from rjs.packing.tree import DiskFile, Tree, UnfitFileError

FAULTS_SHOWN: Final = 20


class PackingError(RefusedError):
    """What was given cannot become a bundle; the sentence lists every fault, one a line."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        lines = [f"{path} cannot become a bundle:", *faults[:FAULTS_SHOWN]]
        if len(faults) > FAULTS_SHOWN:
            lines.append(f"and {len(faults) - FAULTS_SHOWN} more")
        super().__init__("pack", "\n".join(lines))
        self.faults = tuple(faults)


@attrs.frozen
class JobFile:
    """One file of a bundle to be: its name there, its content, its size in bytes, and ``why`` it is taken."""

    name: str
    content: bytes | DiskFile = attrs.field(repr=False)
    size: int
    executable: bool = False
    why: str = ""

    def chunks(self) -> Iterator[bytes]:
        """Yield the content in bounded pieces; raises ChangedFileError when it is not what was gathered."""
        if isinstance(self.content, bytes):
            yield self.content
        else:
            yield from self.content.chunks()


@attrs.frozen
class JobFiles:
    """Everything that a bundle will hold, by name; the descriptor among it; what was left out; and doubts."""

    files: tuple[JobFile, ...]
    descriptor: Descriptor
    left_out: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


@attrs.define
class Gathered:
    """What is taken so far for a bundle, by name; what stays out of it; and what was wrong, or is doubtful."""

    files: dict[str, JobFile] = attrs.field(factory=dict)
    left_out: list[str] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)
    warnings: list[str] = attrs.field(factory=list)

    def add(self, file: JobFile) -> None:
        """Take ``file`` in place of whatever has its name."""
        self.files[file.name] = file

    def take(self, name: str, look: Callable[[], JobFile]) -> None:
        """Take what ``look`` gives for ``name``, unless that is taken; a fault where it is not fit for a bundle."""
        if name in self.files:
            return
        try:
            self.add(look())
        except UnfitFileError as error:
            self.faults.append(f"{shown(name)} {error}")
        except BundleRefusedError as error:
            self.faults.append(error.sentence)

    def take_of(self, tree: Tree, name: str, why: str) -> None:
        """Take the file ``name`` of ``tree`` likewise."""
        self.take(name, lambda: file_of(tree, name, why))

    def judged(self, path: Path) -> JobFiles:
        """Give all this as a job, or raise PackingError about ``path`` with every fault.

        Added are those that the verifier or the descriptor's reader would find later. The descriptor is held as
        bytes; where there is none, ``faults`` say why.
        """
        files = tuple(sorted(self.files.values(), key=lambda file: file.name))
        found = [*self.faults, *_name_faults([file.name for file in files]), *_size_faults(files)]
        toml = self.files.get(DESCRIPTOR_NAME)
        try:
            if toml is not None and isinstance(toml.content, bytes):
                descriptor = parse_descriptor(toml.content, set(self.files), self._content)
        except DescriptorError as error:
            found += [f"{DESCRIPTOR_NAME}: {mistake}" for mistake in error.mistakes]
        if found:
            raise PackingError(path, list(dict.fromkeys(found)))
        return JobFiles(files, descriptor, tuple(self.left_out), tuple(self.warnings))

    def _content(self, name: str, cap: int) -> bytes:
        """The whole content; raises BundleRefusedError, as an opened bundle does, when it is longer than ``cap``."""
        file = self.files[name]
        if file.size > cap:
            raise BundleRefusedError("file-size", f"{shown(name)} is larger than {cap} bytes")
        return b"".join(file.chunks())


def file_of(tree: Tree, name: str, why: str) -> JobFile:
    """The file ``name`` of a folder as it is now; raises UnfitFileError."""
    file = tree.look_at(name)
    return JobFile(name, file, file.size, file.executable, why)


def _size_faults(files: Sequence[JobFile]) -> Iterator[str]:
    if len(files) > limits.MAX_ENTRIES:
        yield f"it has {len(files)} files; a bundle holds at most {limits.MAX_ENTRIES}"
    if sum(file.size for file in files) > limits.MAX_ARCHIVE_BYTES:
        yield f"its files are larger than {limits.MAX_ARCHIVE_BYTES} bytes together"


def _name_faults(names: Sequence[str]) -> Iterator[str]:
    safe = []
    for name in names:
        try:
            parts_of(name)
        except BundleRefusedError as error:
            yield error.sentence
            continue
        if is_signature_related(name):
            yield f"{shown(name)} is a place for signatures; leave it out"
            continue
        safe.append(name)
    try:
        check_coexistence([MANIFEST_NAME, *safe])
    except BundleRefusedError as error:
        yield error.sentence
