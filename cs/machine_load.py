"""How much of this machine's processors is used by others: whether a measurement of its speed can be believed."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

STAT = Path("/proc/stat")


@attrs.frozen
class CpuTime:
    """Seconds since the machine started, summed over its cores: those that were used, and all."""

    used: float
    all: float


def cpu_time(stat: Path = STAT) -> CpuTime | None:
    """What the kernel has counted so far (proc(5), the line ``cpu``); None where it does not say."""
    try:
        head, *ticks = stat.read_text(encoding="ascii", errors="replace").partition("\n")[0].split()
        numbers = [int(tick) for tick in ticks[:8]]  # the two after them, of guests, are in the first two
    except (OSError, ValueError):
        return None
    if head != "cpu" or len(numbers) < 5:
        return None
    idle, second = numbers[3] + numbers[4], os.sysconf("SC_CLK_TCK")
    return CpuTime((sum(numbers) - idle) / second, sum(numbers) / second)


def used_by_others(before: CpuTime | None, after: CpuTime | None, own: float) -> float:
    """The share of all cores (0 to 1) that was used between the two times, beyond ``own`` seconds of ours. What a
    virtual machine's host gave to other guests counts. 0 where the kernel does not say."""
    if before is None or after is None or after.all <= before.all:
        return 0.0
    return min(1.0, max(0.0, (after.used - before.used - own) / (after.all - before.all)))
