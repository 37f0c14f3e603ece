"""``job.toml``, the descriptor of a job: what to run, how many tasks, and what each needs.

A person edits it, so every mistake is reported at once. A field that this release does not implement is refused by
name.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from rjs import limits
from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.model import ANSWER_FOLDER, Descriptor, Runtime
from rjs.needs import Needs

DEFAULT_MEMORY: Final = 512 * limits.MIB
DEFAULT_WALL_TIME: Final = 3600

_FIELDS: Final = ("name", "runtime", "entry", "args", "tasks", "needs")
_NEEDS_FIELDS: Final = ("memory", "wall_time")
_QUANTITY: Final = re.compile(r"(\d{1,12}) ?([A-Za-z]{1,3})", re.ASCII)
_MEMORY_UNITS: Final = {
    "B": 1,
    "KiB": limits.KIB,
    "MiB": limits.MIB,
    "GiB": limits.GIB,
    "TiB": 1024 * limits.GIB,
}
_TIME_UNITS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}


Read = Callable[[str, int], bytes]
"""Gives the content of a bundle's file by name, of at most so many bytes; raises BundleRefusedError."""


def parse_descriptor(toml: bytes, entries: Collection[str], read: Read | None = None) -> Descriptor:
    """Parse ``job.toml`` of a bundle with these file names; raises DescriptorError with every mistake.

    ``read`` gives their contents: a job whose tasks are listed in a file cannot be judged without.
    """
    if len(toml) > limits.MAX_DESCRIPTOR_BYTES:
        raise DescriptorError([f"it is larger than {limits.MAX_DESCRIPTOR_BYTES} bytes; shorten it"])
    try:
        fields = tomllib.loads(toml.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise DescriptorError([f"it is not TOML: {error}"]) from None
    reader = _Reader(entries)
    descriptor = reader.descriptor(fields)
    if reader.mistakes:
        raise DescriptorError(reader.mistakes)
    return descriptor


class _Reader:
    """Reads field by field, notes each mistake and goes on with a default, so that all are found."""

    def __init__(self, entries: Collection[str]) -> None:
        self.mistakes: list[str] = []
        self._entries = entries

    def descriptor(self, fields: Mapping[str, Any]) -> Descriptor:
        self._refuse_unknown(fields, _FIELDS, "")
        self._check_files()
        return Descriptor(
            name=self._name(fields.get("name")),
            runtime=self._runtime(fields.get("runtime")),
            entry=self._entry(fields.get("entry")),
            args=self._args(fields.get("args", [])),
            tasks=self._tasks(fields.get("tasks", 1)),
            needs=self._needs(fields.get("needs", {})),
        )

    def _refuse_unknown(self, fields: Mapping[str, Any], known: Collection[str], prefix: str) -> None:
        for field in sorted(set(fields) - set(known)):
            near = difflib.get_close_matches(field, known, n=1)
            remedy = f"did you mean {prefix + near[0]!a}?" if near else "remove it"
            self.mistakes.append(f"field {prefix + field!a} is not implemented in this release; {remedy}")

    def _check_files(self) -> None:
        for name in sorted(self._entries):
            if name.partition("/")[0].casefold() == ANSWER_FOLDER:
                self.mistakes.append(
                    f"file {name!a} lies in {ANSWER_FOLDER}/, where answers go; move it elsewhere"
                )
                return

    def _name(self, value: object) -> str:
        if isinstance(value, str) and 1 <= len(value) <= 100 and value.isprintable():
            return value
        self.mistakes.append("field 'name' must be a text of 1 to 100 printable characters")
        return ""

    def _runtime(self, value: object) -> Runtime:
        if value == "python":
            return "python"
        self.mistakes.append("field 'runtime' must be \"python\", the only one in this release")
        return "python"

    def _entry(self, value: object) -> str:
        if isinstance(value, str) and value in self._entries:
            return value
        if isinstance(value, str):
            self.mistakes.append(f"field 'entry': the bundle has no file {value!a}")
            return ""
        self.mistakes.append("field 'entry' must name a file of the bundle, such as \"run.py\"")
        return ""

    def _args(self, value: object) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(item, str) and "\0" not in item for item in value):
            if len(value) <= limits.MAX_ARGUMENTS and sum(map(len, value)) <= limits.MAX_ARGUMENT_BYTES:
                return tuple(value)
            self.mistakes.append(
                f"field 'args' must have at most {limits.MAX_ARGUMENTS} texts, together of "
                f"{limits.MAX_ARGUMENT_BYTES} characters; put the rest into a file"
            )
        else:
            self.mistakes.append(
                'field \'args\' must be a list of texts without NUL, such as ["--part", "{index}"]'
            )
        return ()

    def _tasks(self, value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= limits.MAX_TASKS:
            return value
        self.mistakes.append(f"field 'tasks' must be a whole number from 1 to {limits.MAX_TASKS}")
        return 1

    def _needs(self, value: object) -> Needs:
        if not isinstance(value, dict):
            self.mistakes.append("field 'needs' must be a table, such as [needs] with memory = \"256 MiB\"")
            return Needs()
        self._refuse_unknown(value, _NEEDS_FIELDS, "needs.")
        memory = self._quantity(
            "needs.memory", value.get("memory", DEFAULT_MEMORY), _MEMORY_UNITS, _MEMORY_RANGE
        )
        wall_time = self._quantity(
            "needs.wall_time", value.get("wall_time", DEFAULT_WALL_TIME), _TIME_UNITS, _TIME_RANGE
        )
        return Needs(memory=memory, wall_time=wall_time)

    def _quantity(self, field: str, value: object, units: Mapping[str, int], allowed: range) -> int:
        amount = _amount(value, units)
        if amount is not None and amount in allowed:
            return amount
        bounds, example = (
            ("1 MiB to 1 TiB", "256 MiB") if units is _MEMORY_UNITS else ("1 s to 30 d", "5 min")
        )
        self.mistakes.append(
            f"field {field!r} must be from {bounds}: a whole number of {next(iter(units))}, "
            f'or with a unit ({", ".join(units)}), such as "{example}"'
        )
        return allowed.start


_MEMORY_RANGE: Final = range(limits.MIB, 1024 * limits.GIB + 1)
_TIME_RANGE: Final = range(1, 30 * 86400 + 1)


def _amount(value: object, units: Mapping[str, int]) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[2] not in units:
        return None
    return int(match[1]) * units[match[2]]
