"""Looks at the disk and the process table below a server."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

from rjs.doctor.rules.machine import DiskFacts, FilesFacts


def look_at_disk(path: Path) -> DiskFacts:
    """The file system on which ``path`` lies. Raises OSError."""
    found = os.statvfs(path)
    return DiskFacts(
        path=str(path),
        free=found.f_bavail * found.f_frsize,
        size=found.f_blocks * found.f_frsize,
        free_inodes=found.f_favail,
        inodes=found.f_files,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )


def look_at_open_files(pid: int | None) -> FilesFacts:
    """The limit of the process ``pid`` and how much of it is used; without one, what a process of ours would get."""
    if pid is not None:
        try:
            line = next(
                each
                for each in Path(f"/proc/{pid}/limits").read_text().splitlines()
                if each.startswith("Max open files")
            )
            soft = line.split()[3]
            used = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - a number is wanted
            return FilesFacts(pid, int(soft) if soft.isdigit() else _MANY, used)
        except (OSError, StopIteration, IndexError):
            pass
    soft_limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FilesFacts(os.getpid(), _MANY if soft_limit == resource.RLIM_INFINITY else soft_limit, None)


_MANY = 1 << 30


def process_uid(pid: int | None) -> int | None:
    """As which account a process runs; None where that cannot be seen."""
    if pid is None:
        return None
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def proxy_of(environment: Mapping[str, str]) -> str:
    """HOST:PORT of the proxy that the environment names for connections, without a password."""
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"):
        if value := environment.get(name):
            return value.rpartition("@")[2].rpartition("//")[2].rstrip("/")
    return ""


def counts_sleep() -> bool:
    """Whether this system has a steady clock that goes on while it sleeps."""
    return hasattr(time, "CLOCK_BOOTTIME")
