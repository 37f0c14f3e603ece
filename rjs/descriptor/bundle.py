"""The descriptor of an opened bundle."""

from __future__ import annotations

from typing import Final

import msgspec

from rjs.bundle.verify import OpenedBundle
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.files import misplaced_file
from rjs.descriptor.java_machine import is_class_name
from rjs.descriptor.jnlp import parse_jnlp
from rjs.descriptor.job_toml import parse_descriptor
from rjs.descriptor.model import DESCRIPTOR_NAME, JNLP_NAME, Descriptor
from rjs.descriptor.plain_jar import main_class_of, plain_jar
from rjs.limits import MAX_DESCRIPTOR_BYTES

REMEDY: Final = "add one with name, runtime (python, java or native) and entry"
"""What makes files a job."""

_CLASSES_REMEDY: Final = (
    "say which class runs, with `jar --update --file JAR --main-class CLASS`, or add one with name and "
    'runtime = "java", and sign the JAR then'
)


def holds_job(bundle: OpenedBundle) -> bool:
    """Whether the bundle means to be a job: there is a descriptor, or its manifest names a Main-Class."""
    has_descriptor = not {DESCRIPTOR_NAME, JNLP_NAME}.isdisjoint(bundle.entries)
    return has_descriptor or bool(main_class_of(bundle.main_headers))


def read_descriptor(bundle: OpenedBundle) -> Descriptor:
    """The bundle's descriptor, checked: ``job.toml``, or JNLP, or a JAR with a Main-Class and neither.

    Raises DescriptorError naming every mistake, or BundleRefusedError.
    """
    has_toml, has_jnlp = DESCRIPTOR_NAME in bundle.entries, JNLP_NAME in bundle.entries
    if has_toml and has_jnlp:
        raise DescriptorError([f"there is {JNLP_NAME}, too; a bundle has one descriptor"])
    if has_toml:
        return _of_job_toml(bundle)
    if misplaced := misplaced_file(bundle.entries):
        raise DescriptorError([misplaced])
    return _of_jnlp(bundle) if has_jnlp else _of_plain_jar(bundle)


def _of_job_toml(bundle: OpenedBundle) -> Descriptor:
    """A Java job without an entry is run by the class that the manifest names."""
    toml = bundle.read(DESCRIPTOR_NAME, MAX_DESCRIPTOR_BYTES)
    descriptor = parse_descriptor(toml, bundle.entries, bundle.read)
    if descriptor.runtime != "java" or descriptor.entry:
        return descriptor
    main_class = main_class_of(bundle.main_headers)
    if not is_class_name(main_class):
        raise DescriptorError(
            ["field 'entry' is missing, and the manifest names no Main-Class; add one of them"]
        )
    return msgspec.structs.replace(descriptor, entry=main_class)


def _of_jnlp(bundle: OpenedBundle) -> Descriptor:
    return parse_jnlp(bundle.read(JNLP_NAME, MAX_DESCRIPTOR_BYTES), main_class_of(bundle.main_headers))


def _of_plain_jar(bundle: OpenedBundle) -> Descriptor:
    descriptor = plain_jar(bundle.main_headers)
    if descriptor is None:
        has_classes = any(name.endswith(".class") for name in bundle.entries)
        raise DescriptorError([f"there is none; {_CLASSES_REMEDY if has_classes else REMEDY}"])
    return descriptor
