"""The descriptor of an opened bundle, and the arguments of one of its tasks."""

from __future__ import annotations

from rjs.bundle.verify import OpenedBundle
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.job_toml import parse_descriptor
from rjs.descriptor.model import DESCRIPTOR_NAME, Descriptor
from rjs.limits import MAX_DESCRIPTOR_BYTES


def read_descriptor(bundle: OpenedBundle) -> Descriptor:
    """The bundle's descriptor, checked. Raises DescriptorError naming every mistake, or BundleRefusedError."""
    if DESCRIPTOR_NAME not in bundle.entries:
        raise DescriptorError(['there is none; add one with name, runtime = "python" and entry'])
    toml = bundle.read(DESCRIPTOR_NAME, MAX_DESCRIPTOR_BYTES)
    return parse_descriptor(toml, bundle.entries, bundle.read)


def task_arguments(bundle: OpenedBundle, descriptor: Descriptor, index: int) -> list[str]:
    """The arguments of task ``index``, which the job has: the common ones, then its own."""
    return descriptor.expanded(descriptor.args, index)
