"""A JNLP file (JSR 56) as a descriptor: a Java Web Start application is a job.

What it says is taken, refused by name, or ignored because it means nothing to a job that nobody watches;
``docs/java.md`` has the table. Nothing in it is ever fetched: JARs are named, and travel with the job.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from rjs.bundle.names import shown
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.java_machine import is_class_name
from rjs.descriptor.jnlp_properties import JobProperties
from rjs.descriptor.jnlp_resources import Resources
from rjs.descriptor.jnlp_words import JnlpMistakes
from rjs.descriptor.model import JNLP_NAME, Descriptor, JavaSettings
from rjs.descriptor.xml_tree import Element, XmlRefusedError, read_tree
from rjs.limits import MAX_ARGUMENT_BYTES, MAX_ARGUMENTS
from rjs.needs import Needs

_ROOT_ATTRIBUTES: Final = ("spec", "version", "codebase", "href")
_SECTIONS: Final = ("information", "security", "resources", "application-desc")
_INFORMATION: Final = (
    "title", "vendor", "homepage", "description", "icon", "offline-allowed", "shortcut", "association",
    "related-content",
)  # fmt: skip


@attrs.frozen
class Jnlp:
    """A JNLP file that was read: the job, and the name of the JAR that must hold this file, signed."""

    descriptor: Descriptor
    main_jar: str


def parse_jnlp(xml: bytes, main_class: str = "") -> Descriptor:
    """The job that a JNLP file describes; ``main_class`` is the ``Main-Class`` of the main JAR's manifest, if any.

    Raises DescriptorError with every mistake and its line.
    """
    return read_jnlp(xml, main_class).descriptor


def read_jnlp(xml: bytes, main_class: str = "") -> Jnlp:
    """Like ``parse_jnlp``, with the name of the main JAR too."""
    try:
        root = read_tree(xml)
    except XmlRefusedError as error:
        raise DescriptorError([str(error)], JNLP_NAME) from None
    if root.name != "jnlp":
        mistake = f"line {root.line}: the root element is {shown(root.name)}, not jnlp"
        raise DescriptorError([mistake], JNLP_NAME)
    mistakes = JnlpMistakes()
    read = _read(root, main_class, mistakes)
    if mistakes.found:
        raise DescriptorError(mistakes.found, JNLP_NAME)
    return read


def jars_named(xml: bytes) -> tuple[str, ...]:
    """The JARs of the job that a JNLP file describes, the main one first; raises DescriptorError.

    For whoever has none of them yet: the main class, which a manifest may state, may be missing.
    """
    read = read_jnlp(xml, "Unknown")
    return (read.main_jar, *(jar.name for jar in read.descriptor.jars))


def _read(root: Element, main_class: str, mistakes: JnlpMistakes) -> Jnlp:
    mistakes.check(root, _ROOT_ATTRIBUTES, _SECTIONS)
    name = _title(root, mistakes)
    for security in root.named("security"):
        mistakes.check(security, (), ("all-permissions", "j2ee-application-client-permissions"))
    resources = Resources.read(root, mistakes)
    stated = JobProperties.read(resources.job_properties, resources.heap, mistakes)
    entry, args = _application(root, main_class, mistakes)
    descriptor = Descriptor(
        name=name,
        runtime="java",
        entry=entry,
        args=args,
        tasks=stated.tasks,
        attempts=stated.attempts,
        needs=Needs(
            runtime="java",
            java=resources.java,
            memory=stated.memory,
            disk=stated.disk,
            wall_time=stated.wall_time,
            cores=stated.cores,
        ),
        resources=resources.further,
        java=JavaSettings(options=resources.options, properties=resources.properties),
    )
    return Jnlp(descriptor, resources.main_jar)


def _title(root: Element, mistakes: JnlpMistakes) -> str:
    """The first title; everything else there is for people who start programs by hand."""
    titles: list[Element] = []
    for information in root.named("information"):
        mistakes.check(information, ("os", "arch", "locale", "platform"), _INFORMATION)
        titles += information.named("title")
    if not titles:
        mistakes.add(root, "there is no title in an information element; it is the job's name")
        return ""
    name = " ".join(titles[0].text.split())
    if not (1 <= len(name) <= 100 and name.isprintable()):
        mistakes.add(titles[0], "the title must be a text of 1 to 100 printable characters")
    return name


def _application(root: Element, main_class: str, mistakes: JnlpMistakes) -> tuple[str, tuple[str, ...]]:
    found = list(root.named("application-desc"))
    if len(found) != 1:
        mistakes.add(found[1] if found else root, "there must be one application-desc element")
        return "", ()
    application = found[0]
    mistakes.check(application, ("main-class",), ("argument",))
    entry = application.attributes.get("main-class", main_class)
    if not entry:
        mistakes.add(
            application, "main-class is missing, and the JAR's manifest has no Main-Class either; state it"
        )
    elif not is_class_name(entry):
        mistakes.add(application, f"main-class {shown(entry)} is not the name of a class")
    return entry, tuple(_arguments(application, mistakes))


def _arguments(application: Element, mistakes: JnlpMistakes) -> Iterator[str]:
    arguments = list(application.named("argument"))
    if len(arguments) > MAX_ARGUMENTS or sum(len(each.text) for each in arguments) > MAX_ARGUMENT_BYTES:
        mistakes.add(
            application,
            f"there may be {MAX_ARGUMENTS} arguments, together of {MAX_ARGUMENT_BYTES} characters; "
            "put the rest into a file",
        )
        return
    for argument in arguments:
        mistakes.check(argument, (), (), text=True)
        yield argument.text
