"""What a Java job may need and reading does not show: classes loaded by name, service providers, resources.

Each doubt is one sentence that names the option which takes what is missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import attrs

from rjs.bundle.names import shown
from rjs.packing.class_file import ClassFile
from rjs.packing.class_path import SERVICES, ClassPath
from rjs.packing.jdeps import ClassGraph

_LOADERS: Final = frozenset(
    {
        ("java.lang.Class", "forName"),
        ("java.lang.ClassLoader", "loadClass"),
        ("java.lang.invoke.MethodHandles$Lookup", "findClass"),
        ("java.net.URLClassLoader", "loadClass"),
    }
)
_RESOURCES: Final = frozenset(
    (owner, f"get{kind}")
    for owner in ("java.lang.Class", "java.lang.ClassLoader", "java.lang.Module")
    for kind in ("Resource", "ResourceAsStream", "Resources")
) | {("java.util.ResourceBundle", "getBundle")}
_NATIVE: Final = frozenset(
    (owner, call) for owner in ("java.lang.System", "java.lang.Runtime") for call in ("load", "loadLibrary")
)


def doubts(
    places: ClassPath,
    reached: Mapping[str, ClassFile],
    graph: ClassGraph,
    taken: Collection[str],
    allow_missing: Collection[str],
) -> list[str]:
    """Return every doubt about a job of the classes ``reached`` and the files ``taken``, in a stable order."""
    seen = _Doubts(places, reached, taken)
    return [
        *seen.missing(graph, allow_missing),
        *seen.loaded_by_name(),
        *seen.resources(),
        *seen.service_providers(),
        *seen.native_code(),
        *seen.other_jars(),
    ]


def providers(content: bytes) -> list[str]:
    """Return the classes that a file of service providers names (``java.util.ServiceLoader``)."""
    lines = (line.partition("#")[0].strip() for line in content.decode("utf-8", "replace").splitlines())
    return [line for line in lines if line]


@attrs.frozen
class _Doubts:
    places: ClassPath
    reached: Mapping[str, ClassFile]
    taken: Collection[str]

    def missing(self, graph: ClassGraph, allowed: Collection[str]) -> Iterator[str]:
        """Classes that nothing has, a sentence for each package."""
        user: dict[str, str] = {}
        for name in self.reached:
            for used in sorted(graph.uses.get(name, frozenset()) & graph.missing):
                user.setdefault(used, name)
        wanted = sorted((_package(name), name) for name in user if not _is_allowed(name, allowed))
        for package, group in groupby(wanted, lambda each: each[0]):
            first, *more = [name for _, name in group]
            others = f" and {len(more)} more of {package}" if more else ""
            yield (
                f"{user[first]} uses {first}{others}: neither in Java nor on the class path; give its JAR with "
                "--class-path, or say --allow-missing if the job does without"
            )

    def loaded_by_name(self) -> Iterator[str]:
        """Classes with calls that load others by name."""
        for name, calls in self._calling(_LOADERS):
            yield from self._untaken(
                name, calls, [f"{text.replace('.', '/')}.class" for text in self._texts(name)]
            )

    def resources(self) -> Iterator[str]:
        """Files that a class seems to ask its class path for."""
        for name, _ in self._calling(_RESOURCES):
            for text in self._texts(name):
                if file := self._untaken_resource(_package(name).replace(".", "/"), text):
                    yield f"{name} reads resources and holds the text {shown(text)}; --include {file} takes it"

    def service_providers(self) -> Iterator[str]:
        """Providers that Java would offer to the job, were they there, or that are not."""
        for file in self.places.first:
            service = file.removeprefix(SERVICES)
            if not file.startswith(SERVICES) or not self._is_of_use(service):
                continue
            absent = [name for name in providers(self.places.services(file)) if name not in self.reached]
            if file not in self.taken:
                yield f"providers of {service} are left out; --include {file} takes them"
            elif absent:
                yield f"{file} names {', '.join(absent)}, not on the class path; give the JAR with --class-path"

    def native_code(self) -> Iterator[str]:
        """Classes that load native libraries."""
        for name, calls in self._calling(_NATIVE):
            yield f"{name} calls {calls}; name the library of each platform with --include, if it comes with the job"

    def other_jars(self) -> Iterator[str]:
        """JARs that a manifest names and a bundle may not."""
        for place in self.places.places:
            if named := self.places.manifest(place).get("Class-Path"):
                yield f"{place.label} names further JARs ({shown(named)}), which are not looked at; give --class-path"

    def _calling(self, methods: frozenset[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        for name, found in sorted(self.reached.items()):
            if calls := sorted(found.calls & methods):
                yield name, ", ".join(f"{owner.rpartition('.')[2]}.{method}" for owner, method in calls)

    def _untaken_resource(self, folder: str, text: str) -> str | None:
        """The file that ``text`` may mean, as a path, beside the class in ``folder``, or as a bundle of texts."""
        asked = (text.removeprefix("/"), f"{folder}/{text}", f"{text.replace('.', '/')}.properties")
        left = (file for file in asked if file in self.places.first and file not in self.taken)
        return next((file for file in left if not file.endswith(".class")), None)

    def _untaken(self, name: str, calls: str, files: Sequence[str]) -> Iterator[str]:
        known = [file for file in files if file in self.places.first]
        for file in known:
            if file not in self.taken:
                yield f"{name} calls {calls} and holds the name of {shown(file)}; --include {file} takes it"
        if not known:
            yield f"{name} calls {calls}; which classes that loads cannot be seen, --include takes them"

    def _texts(self, name: str) -> list[str]:
        return sorted(self.reached[name].texts)

    def _is_of_use(self, service: str) -> bool:
        """Whether the job may ask for it: a class that it reaches, or one of Java's own, which Java asks for."""
        return service in self.reached or f"{service.replace('.', '/')}.class" not in self.places.first


def _package(name: str) -> str:
    return name.rpartition(".")[0]


def _is_allowed(name: str, allowed: Collection[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in allowed)
