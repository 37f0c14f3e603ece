"""A ``job.toml`` made for somebody who gave none: of a script, of Java classes, of executables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from rjs.descriptor import DESCRIPTOR_NAME
from rjs.descriptor.model import Runtime
from rjs.packing.job_files import JobFile

MADE_HERE: Final = "made for the job"
Value = str | int | bool | Iterable[str]


def made_descriptor(
    name: str,
    runtime: Runtime,
    tasks: int,
    *,
    entry: str = "",
    tables: Iterable[tuple[str, Mapping[str, Value]]] = (),
) -> JobFile:
    """Give a ``job.toml`` of these fields, and of ``tables``, each with its header such as ``[needs]``."""
    fields: dict[str, Value] = {"name": name, "runtime": runtime, "entry": entry, "tasks": tasks}
    lines = _lines({field: value for field, value in fields.items() if value != ""})
    lines += [line for header, table in tables for line in ("", header, *_lines(table))]
    toml = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    return JobFile(DESCRIPTOR_NAME, toml, len(toml), why=MADE_HERE)


def toml_table(header: str, table: Mapping[str, Value]) -> str:
    """Spell one table of TOML, as a person would write it."""
    return "".join(f"{line}\n" for line in (header, *_lines(table)))


def _lines(table: Mapping[str, Value]) -> list[str]:
    return [f"{key} = {_spelled(value)}" for key, value in table.items()]


def _spelled(value: Value) -> str:
    """Spell a value: JSON's texts are TOML's, but for DEL, which TOML wants escaped (TOML 1.0, basic strings)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"[{', '.join(_spelled(each) for each in value)}]"
