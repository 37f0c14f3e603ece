"""Gathers a Java job: of folders and JARs of classes, only those that its main class reaches.

What a class uses is found by ``jdeps``. What it loads by a computed name nobody can see by reading: such places are
warned about, with the option that takes what they need. Nothing is run.
"""

from __future__ import annotations

import difflib
from collections import deque
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.bundle.resign import read_loosely
from rjs.bundle.verify import MANIFEST_NAME
from rjs.descriptor import DESCRIPTOR_NAME
from rjs.descriptor.patterns import TooManyStepsError
from rjs.packing.class_file import ClassFile, ClassFileError, read_class
from rjs.packing.class_path import SERVICES, ClassPath, opened_class_path
from rjs.packing.java_doubts import doubts, providers
from rjs.packing.jdeps import ClassGraph, class_graph
from rjs.packing.job_files import Gathered, JobFile, JobFiles, PackingError
from rjs.packing.made import made_descriptor
from rjs.packing.tree import UnfitFileError

MAIN_WHY: Final = "the main class"


def gather_java(
    path: Path,
    *,
    jdeps: Path,
    class_path: Sequence[Path] = (),
    main_class: str | None = None,
    include: Sequence[str] = (),
    tasks: int = 1,
    name: str | None = None,
    allow_missing: Collection[str] = (),
) -> JobFiles:
    """Give what the bundle of the classes in ``path``, a folder or JAR, and of ``class_path`` holds.

    ``main_class`` is what the manifest of ``path`` says where none is given. ``include`` names further files of
    them all: an included class is followed like the main class, and so are the providers of an included
    ``META-INF/services/…``. ``allow_missing`` are classes or packages that nobody needs to hear of. The descriptor
    is made here. Raises PackingError, RefusedError like ``class_graph``, ChangedFileError, or OSError.
    """
    with opened_class_path([path, *class_path]) as places:
        gathering = _Gathering(places=places)
        main = main_class or places.manifest(places.places[0]).get("Main-Class", "").strip()
        gathering.start(main, include)
        if gathering.faults:
            raise PackingError(path, gathering.faults)
        graph = class_graph(jdeps, gathering.contents.values())
        gathering.follow(graph)
        gathering.describe(name or _stem(path), main, tasks)
        gathering.left_out += places.unneeded(gathering.files)
        gathering.warnings += doubts(places, gathering.reached, graph, gathering.files, allow_missing)
        return gathering.judged(path)


def is_java_folder(folder: Path) -> bool:
    """Whether the folder has no descriptor, and a manifest that says which class to run."""
    manifest = folder / MANIFEST_NAME
    if (folder / DESCRIPTOR_NAME).exists() or not manifest.is_file():
        return False
    with manifest.open("rb") as file:
        return "Main-Class" in read_loosely(file.read(limits.MAX_MANIFEST_BYTES)).main


@attrs.define
class _Gathering(Gathered):
    """What is taken so far; ``reached`` are its classes by name, ``contents`` those of all classes."""

    places: ClassPath = attrs.field(kw_only=True)
    classes: dict[str, tuple[str, ClassFile]] = attrs.field(factory=dict)
    contents: dict[str, bytes] = attrs.field(factory=dict, repr=False)
    reached: dict[str, ClassFile] = attrs.field(factory=dict)
    _waiting: deque[tuple[str, str]] = attrs.field(factory=deque)

    def start(self, main: str, include: Sequence[str]) -> None:
        """Read every class, and put the main class and what is included on the list."""
        for file in self.places.class_names():
            self._read(file)
        self._waiting.append((main, MAIN_WHY))
        if main not in self.classes:
            self.faults.append(_no_main(main, self.classes))
        for pattern in include:
            for file in self._named(pattern):
                self._include(file, f"included by {pattern}")

    def follow(self, graph: ClassGraph) -> None:
        """Take every class that waits, and every one that it uses."""
        while self._waiting:
            name, why = self._waiting.popleft()
            if name in self.reached or name not in self.classes:
                continue
            file, self.reached[name] = self.classes[name]
            self.take(file, partial(self.places.first[file].take, file, why))
            used = graph.uses.get(name)
            if used is None and name != "java.lang.Object":  # every other class uses at least its superclass
                self.faults.append(f"{shown(file)} is beyond this jdeps; use the one of a newer JDK")
            self._waiting.extend((each, f"reached from {name}") for each in sorted(used or ()))

    def describe(self, name: str, main: str, tasks: int) -> None:
        """Add the descriptor, which asks for a Java that loads every class taken."""
        java = max((each.java for each in self.reached.values()), default=0)
        needs = [("[needs]", {"java": f">={java}"})]
        file = made_descriptor(name, "java", tasks, entry=main, tables=needs)
        if file.name in self.files:
            self.faults.append(f"{file.name} is made for a Java job; leave it out of --include")
        self.add(file)

    def _named(self, pattern: str) -> tuple[str, ...]:
        try:
            names = self.places.matching(pattern)
        except TooManyStepsError:
            self.faults.append(
                f"--include {shown(pattern)} takes too long to compare; name folders instead of **"
            )
            return ()
        if not names:
            self.faults.append(f"--include {shown(pattern)} names no file of the class path")
        return names

    def _read(self, file: str) -> None:
        try:
            content = self.places.first[file].read(file)
            found = read_class(content)
        except ClassFileError as error:
            self.warnings.append(f"{shown(file)} is left out: {error}")
        except UnfitFileError as error:
            self.faults.append(f"{shown(file)} {error}")
        except BundleRefusedError as error:
            self.faults.append(error.sentence)
        else:
            if file == _file_of(found.name):  # Java looks for a class by its name and nowhere else
                self.classes[found.name] = file, found
                self.contents[found.name] = content

    def _include(self, file: str, why: str) -> None:
        if file.startswith(SERVICES):
            self._include_service(file, why)
            return
        name = _class_of(file)
        if name in self.classes:
            self._waiting.append((name, why))
        else:
            self.take(file, partial(self.places.first[file].take, file, why))

    def _include_service(self, file: str, why: str) -> None:
        content = self.places.services(file)
        self.add(JobFile(file, content, len(content), why=why))
        for provider in providers(content):
            self._waiting.append((provider, f"a provider of {file.removeprefix(SERVICES)}"))


def _file_of(name: str) -> str:
    return f"{name.replace('.', '/')}.class"


def _class_of(file: str) -> str:
    return file.removesuffix(".class").replace("/", ".")


def _stem(path: Path) -> str:
    return path.stem if path.is_file() else path.resolve().name


def _no_main(main: str, classes: Collection[str]) -> str:
    if not main:
        return "nothing says what to run: give --main-class, such as org.example.Main"
    near = difflib.get_close_matches(main, classes, n=1)
    hint = f"did you mean {near[0]}?" if near else "give the folder or JAR that has it with --class-path"
    return f"there is no class {shown(main)}; {hint}"
