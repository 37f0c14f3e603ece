"""What running Java takes, for whoever states it and whoever runs it: one rule for both. Pure."""

from __future__ import annotations

import re
from typing import Final

from rjs.limits import JAVA_HEAP, JAVA_ROOM, JAVA_SHARE

_CLASS: Final = re.compile(r"[^\W\d][\w$]*(?:\.[^\W\d][\w$]*)*")


def heap_in(memory: int) -> int:
    """Bytes of heap that a task with ``memory`` bytes is given, when it does not say; 0 when they are too few."""
    heap = memory - memory // JAVA_SHARE - JAVA_ROOM
    return heap if heap >= JAVA_HEAP else 0


def memory_for(heap: int) -> int:
    """Bytes of memory in which a task is given a heap of at least ``heap`` bytes."""
    return -(-(max(heap, JAVA_HEAP) + JAVA_ROOM) * JAVA_SHARE // (JAVA_SHARE - 1))


def is_class_name(text: str) -> bool:
    """Whether ``text`` can be the name of a class, and so is nothing else on a command line."""
    return len(text) <= 1000 and _CLASS.fullmatch(text) is not None
