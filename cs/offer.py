"""What this compute server offers one task: read off the machine, within what its owner set."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import attrs
import msgspec

from cs import limits
from cs.config import CsSettings
from rjs.limits import MIB
from rjs.needs import Offer, platform_of

_MOST = 2**48 - 1  # bytes that an Offer can state


@attrs.frozen
class Offering:
    """``fixed`` while the server runs; the disk's free space is not. ``disk``: the owner's bound in bytes, or 0."""

    fixed: Offer
    disk: int
    work: Path

    def now(self) -> Offer:
        """What a task started now may have."""
        return msgspec.structs.replace(self.fixed, disk=disk_given(self.disk, free_disk(self.work)))


def offering(settings: CsSettings, work: Path, java: str = "", sandbox: str = "") -> Offering:
    """What a server with these settings offers, whose tasks run below the folder ``work``. ``java``: the version
    of the machine's Java, or empty; ``sandbox``: the level that is reached."""
    fixed = Offer(
        memory=min(settings.memory * MIB or memory_of_machine() // 2, _MOST),
        cores=min(settings.cores or limits.CORES, cores_of_machine()),
        platform=platform_of(platform.system(), platform.machine()),
        python=platform.python_version().removesuffix("+"),  # a build between versions; PEP 440 has none
        java=java,
        wall_time=settings.wall_time,
        cpu_time=settings.cpu_time,
        processes=settings.processes,
        descriptors=settings.descriptors,
        files=settings.files,
        sandbox=sandbox,
    )
    return Offering(fixed, settings.disk * MIB, work)


def disk_given(bound: int, free: int) -> int:
    """Bytes that one task may use: the owner's ``bound`` when that much is free, else what is free, or half of it
    where the owner set none; coarsely, so that not every file of the owner's makes it another offer."""
    if bound and bound <= free:
        return min(bound, _MOST)
    return _coarse(min(free if bound else free // 2, _MOST))


def _coarse(amount: int) -> int:
    """Rounded down by an eighth at most, and to whole steps."""
    step = max(limits.DISK_STEP, 1 << max(0, amount.bit_length() - 4))
    return amount - amount % step


def free_disk(folder: Path) -> int:
    """Bytes that this account may still write where ``folder`` is."""
    return shutil.disk_usage(folder).free


def memory_of_machine() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cores_of_machine() -> int:
    """Processor threads that this process, and so its jobs, may use."""
    return len(os.sched_getaffinity(0))
