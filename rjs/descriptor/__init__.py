"""What a bundle's job is: the descriptor, however it is written down."""

from rjs.descriptor.bundle import read_descriptor, task_arguments
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.job_toml import parse_descriptor
from rjs.descriptor.model import DESCRIPTOR_NAME, JNLP_NAME, Descriptor

__all__ = [
    "DESCRIPTOR_NAME",
    "JNLP_NAME",
    "Descriptor",
    "DescriptorError",
    "parse_descriptor",
    "read_descriptor",
    "task_arguments",
]
