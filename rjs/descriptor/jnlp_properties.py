"""The system properties ``rjs.…`` of a JNLP file: what a job needs and JNLP has no words for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Self

import attrs

from rjs import limits
from rjs.bundle.names import shown
from rjs.descriptor.amounts import java_size
from rjs.descriptor.fields import MOST_DISK, MOST_MEMORY, MOST_WALL_TIME
from rjs.descriptor.java_machine import memory_for
from rjs.descriptor.jnlp_words import JnlpMistakes
from rjs.descriptor.model import DEFAULT_ATTEMPTS
from rjs.descriptor.xml_tree import Element
from rjs.limits import GIB, JAVA_ROOM, MIB
from rjs.needs import Needs

PREFIX: Final = "rjs."
_DEFAULTS: Final = Needs()


@attrs.frozen
class _Amount:
    """What a property may be; the range in bytes where it is a size."""

    least: int
    most: int
    size: bool = False

    def of(self, text: str) -> int | None:
        amount = java_size(text) if self.size else int(text) if re.fullmatch("[0-9]{1,12}", text) else None
        return amount if amount is not None and self.least <= amount <= self.most else None

    def __str__(self) -> str:
        if self.size:
            return f"a size from {self.least // MIB}m to {self.most // GIB}g, such as 256m or 4g"
        return f"a whole number from {self.least} to {self.most}"


AMOUNTS: Final[Mapping[str, _Amount]] = {
    "rjs.tasks": _Amount(1, limits.MAX_TASKS),
    "rjs.attempts": _Amount(1, limits.MAX_ATTEMPTS),
    "rjs.cores": _Amount(1, limits.MAX_NEEDED_CORES),
    "rjs.wall_time": _Amount(1, MOST_WALL_TIME),
    "rjs.memory": _Amount(MIB, MOST_MEMORY, size=True),
    "rjs.disk": _Amount(MIB, MOST_DISK, size=True),
}


@attrs.frozen
class JobProperties:
    """What a job states by properties, or the defaults. Bytes, and seconds."""

    tasks: int = 1
    attempts: int = DEFAULT_ATTEMPTS
    cores: int = _DEFAULTS.cores
    wall_time: float = _DEFAULTS.wall_time
    memory: int = _DEFAULTS.memory
    disk: int = _DEFAULTS.disk

    @classmethod
    def read(cls, stated: Mapping[str, tuple[Element, str]], heap: int, mistakes: JnlpMistakes) -> Self:
        """Read them; ``heap`` is what the job's heap is to hold, or 0. Notes mistakes.

        Memory that is not stated is the default, or what such a heap takes if that is more.
        """
        found: dict[str, int] = {}
        for name, (element, text) in stated.items():
            amount = AMOUNTS[name].of(text) if name in AMOUNTS else None
            if name not in AMOUNTS:
                mistakes.add(element, f"property {shown(name)} is none of {', '.join(AMOUNTS)}")
            elif amount is None:
                mistakes.add(element, f"property {name} is {shown(text)}; it must be {AMOUNTS[name]}")
            else:
                found[name.removeprefix(PREFIX)] = amount
        least = heap + JAVA_ROOM if heap else memory_for(0)
        if found.get("memory", least) < least:
            mistakes.add(stated["rjs.memory"][0], f"property rjs.memory must be {-(-least // MIB)}m at least")
        found.setdefault("memory", max(_DEFAULTS.memory, memory_for(heap)))
        return cls(**found)
