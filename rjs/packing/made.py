"""A ``job.toml`` made for somebody who gave none: of a script, of Java classes, of executables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from rjs.descriptor import DESCRIPTOR_NAME
from rjs.descriptor.model import Runtime
from rjs.packing.job_files import JobFile
from rjs.toml_text import TomlValue, toml_lines, toml_table

MADE_HERE: Final = "made for the job"


def made_descriptor(
    name: str,
    runtime: Runtime,
    tasks: int,
    *,
    entry: str = "",
    tables: Iterable[tuple[str, Mapping[str, TomlValue]]] = (),
) -> JobFile:
    """Give a ``job.toml`` of these fields, and of ``tables``, each with its header such as ``[needs]``."""
    fields: dict[str, TomlValue] = {"name": name, "runtime": runtime, "entry": entry, "tasks": tasks}
    head = toml_lines({field: value for field, value in fields.items() if value != ""})
    parts = ["".join(f"{line}\n" for line in head), *(toml_table(header, table) for header, table in tables)]
    toml = "\n".join(parts).encode("utf-8", "surrogateescape")
    return JobFile(DESCRIPTOR_NAME, toml, len(toml), why=MADE_HERE)
