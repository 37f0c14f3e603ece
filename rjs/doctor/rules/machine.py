"""Judges what a server lives on: disk, inodes, open files."""

from __future__ import annotations

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well
from rjs.limits import GIB, MIB

DISK, FILES = "disk", "open files"
FULL = 64 * MIB
"""Bytes left below which a server cannot be sure of its next commit."""
LOW = GIB
FEW_INODES = 1_000
FEW_FILES = {"ws": 4_096, "lus": 4_096, "cs": 1_024}
"""Sessions, answers and parts that each may have open; systemd's and most desktops' limits are higher."""
NEARLY = 0.9


@attrs.frozen
class DiskFacts:
    """A file system, as ``path`` lies on it. Bytes; ``inodes`` is 0 where it has no fixed number of them."""

    path: str
    free: int
    size: int
    free_inodes: int
    inodes: int
    read_only: bool


@attrs.frozen
class FilesFacts:
    """How many files the process ``pid`` may have open, and has (None: not to be seen)."""

    pid: int
    most: int
    used: int | None


def judge_disk(facts: DiskFacts) -> list[Finding]:
    """Whether there is room to write."""
    if facts.read_only:
        sentence = f"the file system of {facts.path} is mounted read-only: nothing can be kept"
        remedy = (
            "an error of the disk may have done that: look at the kernel's log, then mount it for writing"
        )
        return [
            fault(DISK, "disk-read-only", sentence, remedy, typed("findmnt", "--target", facts.path), "dmesg")
        ]
    found = []
    space = f"{facts.free // MIB} MiB of {max(1, facts.size // MIB)} MiB are free below {facts.path}"
    if facts.free < FULL:
        remedy = "make room; nothing new is taken in before, and what was accepted is kept"
        found.append(fault(DISK, "disk-full", space, remedy, typed("du", "-xhd1", facts.path)))
    elif facts.free < LOW:
        found.append(notice(DISK, "disk-low", space, "make room", typed("du", "-xhd1", facts.path)))
    if facts.inodes and facts.free_inodes < FEW_INODES:
        sentence = f"{facts.free_inodes} of {facts.inodes} inodes are free below {facts.path}"
        remedy = "remove many small files"
        found.append(fault(DISK, "inodes-exhausted", sentence, remedy, typed("df", "-i", facts.path)))
    return found or [well(DISK, space)]


def judge_files(facts: FilesFacts, role: str) -> list[Finding]:
    """Whether it can open what it needs."""
    if facts.used is not None and facts.used > NEARLY * facts.most:
        sentence = (
            f"process {facts.pid} has {facts.used} of {facts.most} files open: connections will be refused"
        )
        return [fault(FILES, "descriptors-exhausted", sentence, _RAISE, _limit(FEW_FILES[role]))]
    if facts.most < FEW_FILES[role]:
        sentence = f"process {facts.pid} may have only {facts.most} files open"
        return [notice(FILES, "few-descriptors", sentence, _RAISE, _limit(FEW_FILES[role]))]
    used = "" if facts.used is None else f"{facts.used} of "
    return [well(FILES, f"{used}{facts.most} are used" if used else f"{facts.most} are allowed")]


_RAISE = "raise the limit where the server is started (LimitNOFILE= in a unit), and start it again"


def _limit(needed: int) -> str:
    return f"ulimit -n {needed}"
