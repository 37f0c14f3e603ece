"""Packing: from a person's folder or script to a bundle. Knows no command line and asks nobody."""

from rjs.packing.bundle import pack_job, write_signed, write_unsigned
from rjs.packing.entry_point import gather_entry_point
from rjs.packing.folder import gather
from rjs.packing.job_files import JobFile, JobFiles, PackingError
from rjs.packing.requirements import Requirements, read_requirements

__all__ = [
    "JobFile",
    "JobFiles",
    "PackingError",
    "Requirements",
    "gather",
    "gather_entry_point",
    "pack_job",
    "read_requirements",
    "write_signed",
    "write_unsigned",
]
