"""The resources of a JNLP file: the Java wanted, its options and properties, and the JARs of each platform."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final, Self

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.descriptor.amounts import java_size
from rjs.descriptor.fields import MOST_MEMORY
from rjs.descriptor.java_options import heap_of, option_faults, property_faults
from rjs.descriptor.jnlp_platforms import UnknownNameError, platforms_of
from rjs.descriptor.jnlp_properties import PREFIX
from rjs.descriptor.jnlp_versions import VersionError, specifier_of
from rjs.descriptor.jnlp_words import JnlpMistakes
from rjs.descriptor.model import Jar, Resource
from rjs.descriptor.xml_tree import Element
from rjs.limits import GIB
from rjs.needs import Platform

_JAVA: Final = ("java", "j2se")
_JAVA_ATTRIBUTES: Final = ("version", "href", "initial-heap-size", "max-heap-size", "java-vm-args")
_JAR_ATTRIBUTES: Final = ("href", "download", "size", "part")
_CHILDREN: Final = (*_JAVA, "jar", "nativelib", "property")
_ANY: Final = (Platform(),)


@attrs.define
class Resources:
    """What all ``resources`` elements together say."""

    java: str = ""
    """Specifier of the Java version; empty: any."""
    options: tuple[str, ...] = ()
    heap: int = 0
    """Bytes that the heap is to hold at its start or at most; 0: not stated."""
    properties: tuple[tuple[str, str], ...] = ()
    job_properties: dict[str, tuple[Element, str]] = attrs.field(factory=dict)
    """Those with a meaning for RJS, each with where it stands."""
    main_jar: str = ""
    further: tuple[Resource, ...] = ()

    @classmethod
    def read(cls, root: Element, mistakes: JnlpMistakes) -> Self:
        """Read those of the whole file, and note every mistake."""
        read = cls()
        sections = [(each, _platforms(each, mistakes)) for each in root.named("resources")]
        for section, _ in sections:
            mistakes.check(section, ("os", "arch"), _CHILDREN)
        read._read_java(sections, mistakes)
        read._read_properties(sections, mistakes)
        read._read_jars(root, sections, mistakes)
        return read

    def _read_java(self, sections: _Sections, mistakes: JnlpMistakes) -> None:
        found = list(_common(sections, _JAVA, mistakes))
        for another in found[1:]:
            mistakes.add(
                another, f"there is {another.name} twice; state all versions in one, separated by spaces"
            )
        if found:
            java = found[0]
            mistakes.check(java, _JAVA_ATTRIBUTES, ())
            try:
                self.java = specifier_of(java.attributes.get("version", ""))
            except VersionError as error:
                mistakes.add(java, f"{java.name}: {error}")
            self._read_options(java, mistakes)

    def _read_options(self, java: Element, mistakes: JnlpMistakes) -> None:
        options = java.attributes.get("java-vm-args", "").split()
        for fault in option_faults(options):
            mistakes.add(java, f"java-vm-args {fault}")
        initial, most = (_heap(java, name, mistakes) for name in ("initial-heap-size", "max-heap-size"))
        if most and heap_of(options) is not None:
            mistakes.add(java, "max-heap-size and -Xmx in java-vm-args say the same; keep one")
        most = most or heap_of(options) or 0
        if initial > most > 0:
            mistakes.add(java, "initial-heap-size is more than the heap may have; make it smaller")
        stated = (("-Xms", initial), ("-Xmx", most))
        given = [f"{option}{size}" for option, size in stated if size]
        self.options = (*(each for each in options if heap_of([each]) is None), *given)
        self.heap = max(initial, most)
        if self.heap > MOST_MEMORY:
            mistakes.add(java, f"the heap may have {MOST_MEMORY // GIB} GiB at most")

    def _read_properties(self, sections: _Sections, mistakes: JnlpMistakes) -> None:
        properties: dict[str, str] = {}
        for element in _common(sections, ("property",), mistakes):
            mistakes.check(element, ("name", "value"), ())
            name, value = element.attributes.get("name", ""), element.attributes.get("value", "")
            if name in properties or name in self.job_properties:
                mistakes.add(element, f"there is property {shown(name)} twice; keep one")
            elif name.startswith(PREFIX):
                self.job_properties[name] = element, value
            else:
                properties[name] = value
                for fault in property_faults([(name, value)]):
                    mistakes.add(element, f"property {fault}")
        if len(properties) > limits.MAX_JAVA_PROPERTIES:
            mistakes.add(
                sections[0][0],
                f"there are {len(properties)} properties; {limits.MAX_JAVA_PROPERTIES} are allowed",
            )
        self.properties = tuple(properties.items())

    def _read_jars(self, root: Element, sections: _Sections, mistakes: JnlpMistakes) -> None:
        listed = [_Listed.read(each, where, mistakes) for where, each in _jars(sections)]
        main = _main(root, listed, mistakes)
        if main is None:
            return
        self.main_jar = main.jar.name
        further = [each for each in listed if each is not main]
        _check_together(main, further, mistakes)
        places = dict.fromkeys(chain.from_iterable(each.platforms for each in further))
        self.further = tuple(
            Resource(platform=place, jars=tuple(each.jar for each in further if place in each.platforms))
            for place in places
        )


_Sections = list[tuple[Element, tuple[Platform, ...]]]


@attrs.frozen(eq=False)
class _Listed:
    """A JAR as it is listed: for whom, and whether it claims to be the main one."""

    element: Element
    jar: Jar
    platforms: tuple[Platform, ...]
    main: bool

    @classmethod
    def read(cls, element: Element, platforms: tuple[Platform, ...], mistakes: JnlpMistakes) -> Self:
        native = element.name == "nativelib"
        mistakes.check(element, _JAR_ATTRIBUTES if native else (*_JAR_ATTRIBUTES, "main"), ())
        name = element.attributes.get("href", "")
        if "://" in name:
            mistakes.add(
                element,
                f"{element.name}: href {shown(name)} is a URL, and URLs are not fetched; upload the JAR beside this "
                "file, and write its name there",
            )
            name = "URL.jar"
        try:
            parts_of(name)
        except BundleRefusedError as error:
            mistakes.add(
                element, f"{element.name}: href must be a file beside the main JAR: {error.sentence}"
            )
        if not name.lower().endswith(".jar") or len(name) > limits.MAX_NAME_PART_BYTES:
            mistakes.add(
                element, f"{element.name}: href {shown(name)} does not end with .jar, or is too long"
            )
        main = element.attributes.get("main", "false")
        if main not in ("true", "false"):
            mistakes.add(element, f"jar: main is {shown(main)}, neither true nor false")
        return cls(element, Jar(name=name, native=native), platforms, main == "true")


def _platforms(section: Element, mistakes: JnlpMistakes) -> tuple[Platform, ...]:
    try:
        return platforms_of(section.attributes.get("os", ""), section.attributes.get("arch", ""))
    except UnknownNameError as error:
        mistakes.add(section, f"resources: {error}")
        return ()


def _common(sections: _Sections, names: tuple[str, ...], mistakes: JnlpMistakes) -> Iterator[Element]:
    """Elements that hold for the whole job, so that they must not stand under a platform."""
    for section, platforms in sections:
        for element in section.children:
            if element.name in names:
                if platforms != _ANY:
                    mistakes.add(
                        element,
                        f"{element.name} is for every platform; move it to resources without os and arch",
                    )
                yield element


def _jars(sections: _Sections) -> Iterator[tuple[tuple[Platform, ...], Element]]:
    for section, platforms in sections:
        for element in section.children:
            if element.name in ("jar", "nativelib"):
                yield platforms, element


def _main(root: Element, listed: list[_Listed], mistakes: JnlpMistakes) -> _Listed | None:
    """The one that says so, else the first jar of all."""
    claimed = [each for each in listed if each.main]
    for another in claimed[1:]:
        mistakes.add(another.element, 'there is main="true" twice; one JAR is the main one')
    main = next(chain(claimed, (each for each in listed if not each.jar.native)), None)
    if main is None:
        mistakes.add(root, "resources must name the main JAR with jar")
    elif main.platforms != _ANY:
        mistakes.add(
            main.element, "the main JAR is for every platform; move it to resources without os and arch"
        )
    return main


def _check_together(main: _Listed, further: list[_Listed], mistakes: JnlpMistakes) -> None:
    """Names must be able to lie side by side; one name is one JAR, listed once for a platform."""
    seen = {main.jar.name: main}
    for each in further:
        other = seen.setdefault(each.jar.name, each)
        if other is not each and (
            other is main or other.jar != each.jar or set(other.platforms) & set(each.platforms)
        ):
            mistakes.add(each.element, f"{shown(each.jar.name)} is listed twice; keep one")
    if len(seen) - 1 > limits.MAX_JARS:
        mistakes.add(main.element, f"there are {len(seen) - 1} further JARs; {limits.MAX_JARS} are allowed")
    try:
        check_coexistence(seen)
    except BundleRefusedError as error:
        mistakes.add(main.element, error.sentence)


def _heap(java: Element, name: str, mistakes: JnlpMistakes) -> int:
    text = java.attributes.get(name)
    if text is None:
        return 0
    size = java_size(text)
    if size is None:
        mistakes.add(java, f"{name} {shown(text)} is no size, such as 64m or 2g")
    return size or 0
