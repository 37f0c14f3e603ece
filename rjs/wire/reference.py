"""The tables of docs/protocol.md, made from the message types themselves.

    python -m rjs.wire.reference                     # prints them
    python -m rjs.wire.reference docs/protocol.md    # puts them into the page, between its two marks

What a field may hold is read from the types that the decoder enforces, so the page cannot promise anything else.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as kinds

from rjs.identity.names import Role
from rjs.wire import messages as m

BEGIN = "<!-- made by: python -m rjs.wire.reference docs/protocol.md -->"
END = "<!-- end of what is made -->"

ROLES = tuple(Role)

_ENVELOPE = ("rid", "re")
_PATTERNS = {
    r"^[0-9a-f]{16}\Z": "16 hex digits",
    r"^[0-9a-f]{32}\Z": "32 hex digits",
    r"^[0-9a-f]{64}\Z": "64 hex digits",
    r"^[0-9a-f]{0,64}\Z": "up to 64 hex digits",
}


def tables() -> str:
    """Everything that is made: who may say what, the messages, the values in them."""
    return "\n".join([*_callers(), *_messages(), *_values()])


def updated(page: str) -> str:
    """``page`` with the tables as they are now. Raises ValueError when its marks are missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page must contain the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{tables()}\n{END}{after}"


def _callers() -> Iterator[str]:
    yield "### Who may say what\n"
    yield f"| message | {' | '.join(ROLES)} |"
    yield f"|---|{'---|' * len(ROLES)}"
    for kind in m.TYPES:
        marks = " | ".join("✓" if role in kind.callers else "" for role in ROLES)
        yield f"| `{_tag(kind)}` | {marks} |"
    yield ""


def _messages() -> Iterator[str]:
    yield "### Messages\n"
    for kind in m.TYPES:
        yield f"#### `{_tag(kind)}`\n"
        yield f"{_words(kind)}\n"
        yield from _fields(kind)


def _values() -> Iterator[str]:
    yield "### Values in messages\n"
    for kind in _structs():
        form = "An array, in this order." if kind.__struct_config__.array_like else "A map."
        yield f"#### {kind.__name__}\n"
        yield f"{_words(kind)} {form}\n"
        yield from _fields(kind)


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    fields = [each for each in _info(kind).fields if each.encode_name not in _ENVELOPE]
    if not fields:
        yield "No fields.\n"
        return
    yield "| field | type | if absent |"
    yield "|---|---|---|"
    for each in fields:
        yield f"| `{each.encode_name}` | {_type(each.type)} | {_default(each)} |"
    yield ""


def _default(field: kinds.Field) -> str:
    if field.required:
        return "refused"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.Struct):
        return "each of its fields absent"
    return "nil" if value is None else f"{value}" if value or isinstance(value, int | float) else "empty"


def _type(kind: kinds.Type) -> str:
    match kind:
        case kinds.BoolType():
            return "boolean"
        case kinds.IntType():
            most = kind.le if kind.le is not None else (kind.lt or 0) - 1
            return f"integer, {kind.ge} to {_number(most)}"
        case kinds.FloatType():
            return f"number, {kind.ge} to {kind.le:.0e}".replace("e+", "e")
        case kinds.StrType():
            if kind.pattern is not None:
                return f"text: {_PATTERNS.get(kind.pattern, f'`{kind.pattern}`')}"
            return f"text, at most {kind.max_length} characters" if kind.max_length else "text"
        case kinds.EnumType():
            return "text: " + " or ".join(f"`{each.value}`" for each in kind.cls)
        case kinds.BytesType():
            return f"bytes, at most {kind.max_length}" if kind.max_length else "bytes"
        case kinds.VarTupleType():
            return f"array of at most {_number(kind.max_length or 0)}: {_type(kind.item_type)}"
        case kinds.UnionType():
            return " or ".join(_type(each) for each in kind.types)
        case kinds.NoneType():
            return "nil"
        case kinds.StructType():
            return f"[{kind.cls.__name__}](#{kind.cls.__name__.lower()})"
    raise TypeError(f"{kind} has no words yet")


def _number(value: int) -> str:
    for power in (31, 48, 63):
        if value == 2**power - 1:
            return f"2^{power} − 1"
    return f"{value:,}"


def _structs() -> list[type[msgspec.Struct]]:
    """The structures inside messages, each once, in the order in which they are met."""
    found: dict[type[msgspec.Struct], None] = {}

    def look(kind: kinds.Type) -> None:
        if isinstance(kind, kinds.VarTupleType):
            look(kind.item_type)
        elif isinstance(kind, kinds.StructType):
            found[kind.cls] = None
            for field in kind.fields:
                look(field.type)

    for message in m.TYPES:
        for field in _info(message).fields:
            look(field.type)
    return list(found)


def _info(kind: type[msgspec.Struct]) -> kinds.StructType:
    info = kinds.type_info(kind)
    assert isinstance(info, kinds.StructType)
    return info


def _words(kind: type[Any]) -> str:
    return " ".join((inspect.getdoc(kind) or "").replace("``", "`").split())


def _tag(kind: type[m.Message]) -> str:
    return str(kind.__struct_config__.tag)


def main() -> None:
    """The command."""
    if len(sys.argv) > 1:
        page = Path(sys.argv[1])
        page.write_text(updated(page.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(tables())


if __name__ == "__main__":
    main()
