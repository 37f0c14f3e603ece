"""What walls to raise, as a value. Knows nothing of how: ``walls`` and ``bubblewrap`` make the same cell of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

UID: Final = 1000
"""Of user and group inside, whatever the owner's."""

TMP_INODES: Final = 65_536
"""Files in one of the cell's folders in memory: each takes about 1 KiB of the kernel's, which no size counts."""

DEVICES: Final = ("null", "zero", "full", "random", "urandom")
"""All that a cell has of the machine's /dev."""

DEVICE_LINKS: Final = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}

MASKED: Final = (
    "acpi", "asound", "bus", "driver", "dynamic_debug", "fs", "interrupts", "irq", "kallsyms", "kcore", "key-users",
    "keys", "kmsg", "kpagecgroup", "kpagecount", "kpageflags", "latency_stats", "modules", "mtrr", "pagetypeinfo",
    "sched_debug", "scsi", "slabinfo", "sysrq-trigger", "timer_list", "timer_stats", "tty", "vmallocinfo",
)  # fmt: skip
"""What is empty in a cell's /proc: the machine's hardware, keys, and what tells when its owner types."""

COVERED: Final = ("/proc", "/dev", "/tmp")
"""What a cell has of its own; nothing of the machine goes there."""


class PlanError(Exception):
    """A cell cannot be made as it was asked for, or not on this machine; the sentence says why."""


class Bind(NamedTuple):
    """A file or folder of the machine, as it is seen inside; with all that is mounted below it.

    A read-only source that is a symbolic link is not followed: the same link is made inside, and means what it means
    there. A writable source that is a link is refused.
    """

    source: str
    target: str
    writable: bool = False


class Plan(NamedTuple):
    """A cell. ``binds`` are made in order: what lies below another comes after it.

    ``tmp_bytes`` is the size of ``/tmp``, and again of ``/dev/shm``.
    """

    binds: tuple[Bind, ...]
    tmp_bytes: int
    hostname: str = "rjs"


def check(plan: Plan) -> None:
    """Raises PlanError, with the first thing that is wrong with ``plan`` whatever the machine looks like."""
    for complaint in _complaints(plan):
        raise PlanError(complaint)


def _complaints(plan: Plan) -> Iterator[str]:
    if plan.tmp_bytes <= 0:
        yield f"a cell needs memory for its /tmp, not {plan.tmp_bytes} bytes"
    if not 0 < len(plan.hostname) <= 64 or "\0" in plan.hostname:
        yield f"{plan.hostname!r} is no name of a host"
    for bind in plan.binds:
        for path in (bind.source, bind.target):
            if not is_plain(path):
                yield f"{path!r} is not a plain absolute path: no '.', no '..', no doubled or last '/', no NUL"
        if any(bind.target == place or bind.target.startswith(place + "/") for place in COVERED):
            yield f"nothing of the machine can be at {bind.target!r}: a cell has its own {', '.join(COVERED)}"


def is_plain(path: str) -> bool:
    """Whether ``path`` is absolute, not the root, and each of its parts names something."""
    first, *parts = path.split("/")
    return not first and bool(parts) and "\0" not in path and not {"", ".", ".."}.intersection(parts)
