"""A JAR with a Main-Class and no descriptor: a job of one task, with the defaults for all that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from rjs.bundle.names import shown
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.java_machine import is_class_name
from rjs.descriptor.model import Descriptor
from rjs.needs import Needs

MANIFEST: Final = "META-INF/MANIFEST.MF"


def main_class_of(headers: Mapping[str, str]) -> str:
    """What a manifest's main attributes (names in lower case) name as ``Main-Class``; empty when they do not."""
    return headers.get("main-class", "").strip()


def plain_jar(headers: Mapping[str, str]) -> Descriptor | None:
    """The job of a signed JAR with these main attributes (names in lower case); None without a ``Main-Class``.

    Its name is the one that it was signed with (``RJS-Name``), else its ``Implementation-Title``, else its main
    class. Raises DescriptorError.
    """
    main_class = main_class_of(headers)
    if not main_class:
        return None
    if not is_class_name(main_class):
        raise DescriptorError([f"Main-Class {shown(main_class)} is not the name of a class"], MANIFEST)
    names = (headers.get("rjs-name", ""), headers.get("implementation-title", ""), main_class)
    name = next(filter(None, ("".join(filter(str.isprintable, each)).strip() for each in names)))
    return Descriptor(name=name[:100], runtime="java", entry=main_class, needs=Needs(runtime="java"))
