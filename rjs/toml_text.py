"""TOML beside ``tomllib``: values for whoever writes a file that people read too (settings, trust, descriptors,
locks), and what is looked at before a stranger's file is read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_KEY_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+"""

TomlValue = bool | int | float | str | Sequence["TomlValue"] | Mapping[str, "TomlValue"]


def toml_value(value: TomlValue) -> str:
    """A value within a line: a text, number or boolean, a list, or a table.

    JSON's texts are TOML's, but for DEL, which TOML wants escaped (TOML 1.0, basic strings).
    """
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{toml_value(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {pairs} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_table(header: str, table: Mapping[str, TomlValue]) -> str:
    """A table with its ``header``, such as ``[needs]``, a key on each line; keys must be bare ones."""
    return "".join(f"{line}\n" for line in (header, *toml_lines(table)))


def toml_lines(table: Mapping[str, TomlValue]) -> list[str]:
    """The lines of a table below its header."""
    return [f"{key} = {toml_value(value)}" for key, value in table.items()]


def line_of_long_key(text: str, most: int) -> int:
    """The line, from 1, of the first key of more than ``most`` parts, 0 without one.

    ``tomllib`` takes the square of their number to read a key, which is a minute for 64 KiB of dots.
    """
    found = re.search(rf"(?<![A-Za-z0-9_-])(?:{_KEY_PART}){{{most}}}", text)
    return text.count("\n", 0, found.start()) + 1 if found else 0
