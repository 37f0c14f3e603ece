"""Reads a TOML table into its class, field by field, so that every mistake is found and the rest can still be judged.

It knows the classes' types and limits, nothing of what fields mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from rjs.bundle.names import shown
from rjs.descriptor.mistakes import Mistakes, field_name
from rjs.descriptor.toml_lines import Path
from rjs.toml_text import toml_value

T = TypeVar("T", bound=Struct)

_WRONG: Final = object()
_ELEMENT: Final = re.compile(r"at `\$((?:\[\d+\])+)")


def read_table(kind: type[T], table: Mapping[str, Any], path: Path, mistakes: Mistakes) -> T:
    """The ``kind`` that ``table`` at ``path`` states. A wrong field has its default, a required one is empty."""
    hints = hints_of(kind)
    _refuse_unknown(table, hints, path, mistakes)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        value = _WRONG
        if field.name in table:
            value = _read(hints[field.name], table[field.name], (*path, field.name), mistakes)
        elif field.required:
            example = examples_of(hints[field.name])[0]
            mistakes.field((*path, field.name), f"is missing; add {field.name} = {example}")
        if value is not _WRONG:
            values[field.name] = value
        elif field.required:
            values[field.name] = ""
    return kind(**values)


def meta_of(hint: Any) -> Meta:
    """The outermost, which is the last, description of a field's type; an empty one where there is none."""
    return next(
        (each for each in reversed(getattr(hint, "__metadata__", ())) if isinstance(each, Meta)), Meta()
    )


def table_of(hint: Any) -> tuple[type[Struct], bool] | None:
    """The class of a field that is a table or, then true, an array of tables; None for a plain value."""
    for kind in (hint, *get_args(hint)):
        if isinstance(kind, type) and issubclass(kind, Struct):
            return kind, False
        for inner in get_args(kind):
            if isinstance(inner, type) and issubclass(inner, Struct):
                return inner, True
    return None


def examples_of(hint: Any) -> list[str]:
    """The examples of a field, as TOML; at least one."""
    examples = meta_of(hint).examples
    assert examples, f"{hint} has no example"
    return [toml_value(each) for each in examples]


def words_of(hint: Any) -> str:
    """The form of a field, as it follows "must be"."""
    extra = meta_of(hint).extra
    assert extra is not None, f"{hint} has no words"
    return str(extra["must"])


def remedy_of(kind: type[Struct], name: str) -> str:
    """What a field must be, with an example, as it follows its name."""
    return _remedy(hints_of(kind)[name])


@cache
def hints_of(kind: type[Struct]) -> Mapping[str, Any]:
    """The types of a table's fields, with their descriptions."""
    return MappingProxyType(get_type_hints(kind, include_extras=True))


def _refuse_unknown(table: Mapping[str, Any], known: Collection[str], path: Path, mistakes: Mistakes) -> None:
    for name in table:
        if name not in known:
            full = (*path, name)
            near = mistakes.nearest(name, known)
            remedy = f"did you mean {field_name((*path, near))!r}?" if near else "remove it"
            mistakes.other(
                f"field {shown(field_name(full))} is not implemented in this release; {remedy}", full
            )


def _remedy(hint: Any) -> str:
    return f"must be {words_of(hint)}, such as {examples_of(hint)[0]}"


def _read(hint: Any, value: object, path: Path, mistakes: Mistakes) -> Any:
    match table_of(hint):
        case None:
            return _plain(hint, value, path, mistakes)
        case kind, False:
            return _table(kind, value, path, mistakes)
        case kind, True:
            return _tables(kind, value, path, meta_of(hint).max_length or 0, mistakes)


def _plain(hint: Any, value: object, path: Path, mistakes: Mistakes) -> Any:
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        element = _ELEMENT.search(str(error))
        where = (*path, *map(int, re.findall(r"\d+", element[1]))) if element else path
        mistakes.field(where, _remedy(hint))
        return _WRONG


def _table(kind: type[Struct], value: object, path: Path, mistakes: Mistakes) -> Any:
    if isinstance(value, dict):
        return read_table(kind, value, path, mistakes)
    mistakes.field(path, f"must be a table, such as [{path[-1]}] with fields below it")
    return _WRONG


def _tables(kind: type[Struct], value: object, path: Path, most: int, mistakes: Mistakes) -> Any:
    if not isinstance(value, list) or len(value) > most or not all(isinstance(each, dict) for each in value):
        mistakes.field(path, f"must be at most {most} tables, each below a line [[{path[-1]}]]")
        return _WRONG
    return tuple(read_table(kind, each, (*path, index), mistakes) for index, each in enumerate(value))
