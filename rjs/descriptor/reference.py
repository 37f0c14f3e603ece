"""The documentation of ``job.toml`` and its JSON Schema, made from the classes that read it.

python -m rjs.descriptor.reference docs     # writes docs/job-toml.md and docs/job.schema.json
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct

from rjs.descriptor import examples
from rjs.descriptor.fields import JobTable
from rjs.descriptor.java_options import OPTIONS, RESERVED_PROPERTIES
from rjs.descriptor.reading import examples_of, hints_of, meta_of, table_of, words_of
from rjs.toml_text import toml_value

PAGE: Final = "job-toml.md"
SCHEMA: Final = "job.schema.json"

_HEAD: Final = f"""\
# The descriptor: `job.toml`

`job.toml`, at the root of a bundle, says what its job is: what to run, how many tasks, and what each needs. It is
TOML 1.0 in UTF-8, at most 64 KiB. All fields but `name`, `runtime` and most often `entry` may be absent.

Every mistake is reported at once, with its line and what to do. A field that is not listed here is refused by name.
An editor that knows JSON Schema completes and checks the file with [{SCHEMA}]({SCHEMA}).

<!-- made by: python -m rjs.descriptor.reference docs -->

## Whole examples
"""

_TASK_FILES: Final = """\
## Files of tasks

`tasks = "tasks.txt"` takes the tasks' arguments from a file of the bundle: UTF-8, one task a line, at most 16 MiB.
Words are split as a POSIX shell splits them: blanks separate, `'…'`, `"…"` and a backslash join. Nothing is expanded
(`$HOME`, `*`, `#` and `;` are letters like others), but for `{index}` and `{count}`. A quote ends on its line, and no
line is empty. Lines end with LF or CRLF.

```text
--seed 1 --label 'first try'
--seed 7 --label "task {index} of {count}"
```

## Platforms

With `needs.os` and `needs.arch` a job runs on every pair of them. Where there is no `entry` and `[[resources]]` have
their own, it runs on those platforms only that have one. An operating system or architecture that is named in `needs`
and has no entry at all is a mistake, and so is an `entry` that is left out of a platform on which it is to run.
`job.toml`, the file of tasks and the lock are needed everywhere, so no resource may take them.

## Accepted Java options
"""

_PROPERTIES: Final = """\

Anything else is refused: an option tunes the virtual machine, and loads, runs, writes and opens nothing. The heap
(`-Xmx`) must leave room for Java itself within `needs.memory`.

Properties have names of letters, digits, `.`, `_` and `-`, and printable values. Those that begin so are not a job's
to set:

"""


def page() -> str:
    """The documentation."""
    return "\n".join(
        [
            _HEAD,
            *_whole_examples(),
            *_table("The job", JobTable, ""),
            _TASK_FILES,
            *(f"- {words}" for words in OPTIONS.values()),
            _PROPERTIES + _wrapped(" ".join(f"`{name}`" for name in RESERVED_PROPERTIES)) + "\n",
        ]
    )


def schema() -> str:
    """The JSON Schema (draft 2020-12)."""
    made: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "job.toml",
        **msgspec.json.schema(JobTable),
    }
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"


def files() -> Mapping[str, str]:
    """Both, by the names that they have in the documentation's folder."""
    return {PAGE: page(), SCHEMA: schema()}


def _whole_examples() -> Iterator[str]:
    for example in examples.EXAMPLES:
        yield f"{_wrapped(example.words)}\n\n```toml\n{example.toml}```\n"


def _table(title: str, kind: type[Struct], prefix: str) -> Iterator[str]:
    """A table's fields, one after the other; then the tables in it."""
    yield f"## {title}\n\n{_words(kind)}\n"
    inner: list[tuple[str, type[Struct]]] = []
    for field in msgspec.structs.fields(kind):
        hint = hints_of(kind)[field.name]
        match table_of(hint):
            case None:
                yield from _field(field, hint, prefix)
            case table, is_array:
                inner.append((f"[[{field.name}]]" if is_array else f"[{field.name}]", table))
    if inner:
        links = ", ".join(f"[`{header}`](#{header.strip('[]')})" for header, _ in inner)
        yield _wrapped(f"Below these stand the tables {links}.") + "\n"
    for header, table in inner:
        yield from _table(f"`{header}`", table, f"{header.strip('[]')}.")


def _field(field: msgspec.structs.FieldInfo, hint: Any, prefix: str) -> Iterator[str]:
    yield f"### `{prefix}{field.name}`\n\n{_wrapped(meta_of(hint).description or '')}\n"
    yield f"- Form: {words_of(hint)}"
    yield f"- Default: {_default(field)}"
    yield from (f"- Example: `{field.name} = {example}`" for example in examples_of(hint))
    yield ""


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "none, it is required"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "none" if value is UNSET or value in ("", (), {}) else f"`{toml_value(value)}`"


def _words(kind: type[Struct]) -> str:
    return _wrapped(" ".join((inspect.getdoc(kind) or "").replace("``", "`").split()))


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)


def main() -> None:
    """The command."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m rjs.descriptor.reference FOLDER")
    for name, text in files().items():
        (Path(sys.argv[1]) / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
