"""The folders and JARs that Java would look for classes in, the first that has a name winning.

JARs are read by our own strict reader. What it refuses is refused here, though Java may take it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.resign import read_loosely
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related
from rjs.bundle.zip import ZipArchive, read_archive
from rjs.descriptor.patterns import FileNames
from rjs.files import open_plain
from rjs.packing.job_files import JobFile, PackingError, file_of
from rjs.packing.tree import Tree, folder_fault, stays_out

SERVICES: Final = "META-INF/services/"
_OTHER_JAVA: Final = "META-INF/versions/"
_CLASS: Final = ".class"
_MODULE: Final = "module-info.class"
_JAR_INDEX: Final = "META-INF/INDEX.LIST"


class Place(Protocol):
    """One folder or JAR; ``label`` names it to people."""

    @property
    def label(self) -> str: ...

    @property
    def names(self) -> Sequence[str]: ...

    def read(self, name: str) -> bytes:
        """The whole content of a file; raises UnfitFileError or BundleRefusedError."""

    def take(self, name: str, why: str) -> JobFile:
        """The file for a bundle; raises like ``read``."""


@attrs.frozen
class FolderPlace:
    """A folder of classes."""

    label: str
    tree: Tree
    names: Sequence[str]

    def read(self, name: str) -> bytes:
        return self.tree.read(name)

    def take(self, name: str, why: str) -> JobFile:
        return file_of(self.tree, name, why)


@attrs.frozen
class JarPlace:
    """A JAR, open; what is taken out of it is held in memory."""

    label: str
    archive: ZipArchive

    @property
    def names(self) -> Sequence[str]:
        return tuple(self.archive.files)

    def read(self, name: str) -> bytes:
        return b"".join(self.archive.chunks(self.archive.files[name]))

    def take(self, name: str, why: str) -> JobFile:
        content = self.read(name)
        return JobFile(name, content, len(content), why=why)


@attrs.frozen
class ClassPath:
    """Places in Java's order; ``first`` says where each file that a bundle may take is found."""

    places: tuple[Place, ...]
    first: Mapping[str, Place] = attrs.field(init=False)

    @first.default
    def _first(self) -> Mapping[str, Place]:
        found: dict[str, Place] = {}
        for place in self.places:
            for name in place.names:
                if _may_be_taken(name):
                    found.setdefault(name, place)
        return found

    def class_names(self) -> Iterator[str]:
        """The files of classes, in order."""
        return (name for name in self.first if name.endswith(_CLASS))

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The files that a pattern names, by the rule of ``include.matching``. Raises TooManyStepsError."""
        return FileNames(self.first, hidden=False).matching(pattern)

    def services(self, name: str) -> bytes:
        """What every place says in its file ``name`` of service providers: Java reads all."""
        return b"".join(
            place.read(name).rstrip(b"\r\n") + b"\n" for place in self.places if name in place.names
        )

    def manifest(self, place: Place) -> Mapping[str, str]:
        """The main attributes of a place's manifest; none where it has none."""
        if MANIFEST_NAME not in place.names:
            return {}
        return read_loosely(place.read(MANIFEST_NAME)[: limits.MAX_MANIFEST_BYTES]).main

    def unneeded(self, taken: Mapping[str, JobFile]) -> list[str]:
        """What is not taken, each with its place; what an old signature needs goes without saying."""
        return [
            f"{place.label}: {name}"
            for place in self.places
            for name in place.names
            if not (name in taken and self.first.get(name) is place)
            and name != MANIFEST_NAME
            and not is_signature_related(name)
        ]


@contextmanager
def opened_class_path(paths: Sequence[Path]) -> Iterator[ClassPath]:
    """Yield the class path of these folders and JARs; its places are read while it is open.

    Raises PackingError about a path that is neither, and OSError.
    """
    with ExitStack() as open_files:
        yield ClassPath(tuple(_place(path, open_files) for path in paths))


def _place(path: Path, open_files: ExitStack) -> Place:
    if path.is_dir():
        return _folder(path)
    if path.suffix != ".jar":
        raise PackingError(path, ["it is neither a folder of classes nor a .jar"])
    file = open_files.enter_context(open_plain(path))
    try:
        return JarPlace(path.name, read_archive(file))
    except BundleRefusedError as error:
        raise PackingError(path, [error.sentence]) from error


def _folder(path: Path) -> Place:
    tree = Tree(path)
    names = []
    for name, entry in tree.below():
        if not entry.is_dir(follow_symlinks=False):
            names.append(name)
        elif fault := folder_fault(name, entry):
            raise PackingError(path, [fault])
    return FolderPlace(path.resolve().name, tree, [name for name in names if not stays_out(name)])


def _may_be_taken(name: str) -> bool:
    """Classes for one newer Java count only where the manifest says so, and ours does not; nor has it modules."""
    is_for_whole_jar = name in (MANIFEST_NAME, _JAR_INDEX, _MODULE) or is_signature_related(name)
    return not is_for_whole_jar and not name.startswith(_OTHER_JAVA)
