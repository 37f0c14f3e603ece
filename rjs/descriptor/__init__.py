"""What a bundle's job is: the descriptor, however it is written down."""

from rjs.descriptor.bundle import REMEDY, holds_job, read_descriptor
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.job_toml import parse_descriptor
from rjs.descriptor.model import DESCRIPTOR_NAME, JNLP_NAME, Descriptor
from rjs.descriptor.task_list import TaskList

__all__ = [
    "DESCRIPTOR_NAME",
    "JNLP_NAME",
    "REMEDY",
    "Descriptor",
    "DescriptorError",
    "TaskList",
    "holds_job",
    "parse_descriptor",
    "read_descriptor",
]
