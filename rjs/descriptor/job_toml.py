"""``job.toml``, the descriptor of a job: what to run, how many tasks, and what each needs.

A person edits it, so every mistake is reported at once, with its line and what to do. A field that this release does
not implement is refused by name. The fields are defined in ``fields``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from typing import Any, Final

from rjs import limits
from rjs.descriptor.building import descriptor_of
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.fields import JobTable
from rjs.descriptor.files import Files, Read
from rjs.descriptor.mistakes import Mistakes
from rjs.descriptor.model import Descriptor
from rjs.descriptor.reading import read_table
from rjs.descriptor.toml_lines import line_index
from rjs.toml_text import line_of_long_key

_TOLD: Final = 300
"""Characters of what tomllib says, which may quote all of a key."""


def parse_descriptor(toml: bytes, entries: Collection[str], read: Read | None = None) -> Descriptor:
    """Parse ``job.toml`` of a bundle with these file names; raises DescriptorError with every mistake.

    ``read`` gives their contents: without it, a job whose tasks are listed in a file is refused. What it raises comes
    through. A Java job's ``entry`` may be empty: then it is the manifest's Main-Class.
    """
    if len(toml) > limits.MAX_DESCRIPTOR_BYTES:
        raise DescriptorError([f"it is larger than {limits.MAX_DESCRIPTOR_BYTES} bytes; shorten it"])
    text, fields = _loaded(toml)
    mistakes = Mistakes(line_index(text))
    table = read_table(JobTable, fields, (), mistakes)
    descriptor = descriptor_of(table, Files(entries, read), mistakes)
    mistakes.raise_any()
    return descriptor


def _loaded(toml: bytes) -> tuple[str, dict[str, Any]]:
    try:
        text = toml.decode()
    except UnicodeDecodeError as error:
        line = toml.count(b"\n", 0, error.start) + 1
        raise DescriptorError([f"line {line} is not UTF-8; save the file as UTF-8"]) from None
    if line := line_of_long_key(text, limits.MAX_KEY_PARTS):
        raise DescriptorError(
            [f"line {line} has a key of more than {limits.MAX_KEY_PARTS} parts; shorten it"]
        )
    try:
        return text, tomllib.loads(text)
    except RecursionError:
        raise DescriptorError(["it is nested too deeply; no field needs more than two levels"]) from None
    except ValueError as error:  # also what numbers and dates out of all bounds raise
        raise DescriptorError([f"it is not TOML: {str(error)[:_TOLD]}"]) from None
