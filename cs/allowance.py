"""What one task may use here, and what is said of a task that used more. Pure.

A job states its needs, the owner bounds what a task gets: a job that states more than the owner gives is not placed
here at all, and where it states nothing the smaller of our default and the owner's bound holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cs import limits
from cs.spawner.folder import Count
from cs.spawner.messages import LimitHit, Limits
from rjs.needs import Needs, Offer
from rjs.sizes import size_text

NOTHING: Final = Count()


def limits_of(needs: Needs, offer: Offer, unpacked: Count = NOTHING) -> Limits:
    """What a task with these needs may use where this is offered; ``unpacked`` is its bundle's part of the disk.

    Its disk bounds each file that it writes too; what it prints has a bound of its own, below which no need for disk
    leaves it. Processor time that is not stated is all that there can be within the wall time.
    """
    at_most = needs.wall_time * max(1, needs.cores, offer.cores)
    return Limits(
        memory=needs.memory,
        wall_time=float(needs.wall_time),
        file_size=max(needs.disk, limits.STREAM),
        output=limits.STREAM,
        processes=_given(needs.processes, limits.PROCESSES, offer.processes),
        cpu_time=needs.cpu_time or min(at_most, offer.cpu_time or at_most),
        descriptors=_given(needs.descriptors, limits.DESCRIPTORS, offer.descriptors),
        disk=needs.disk + unpacked.bytes,
        files=_given(needs.files, limits.FILES, offer.files) + unpacked.files,
    )


def _given(stated: int, default: int, bound: int) -> int:
    return stated or min(default, bound or default)


_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "memory": ("of memory", "raise needs.memory"),
    "wall_time": ("of time by the clock", "raise needs.wall_time, or make the tasks shorter"),
    "cpu_time": ("of processor time", "raise needs.cpu_time, or make the tasks shorter"),
    "file_size": ("in one file", "raise needs.disk"),
    "disk": ("of disk", "raise needs.disk"),
    "files": ("files on disk", "raise needs.files, or write fewer and larger ones"),
    "output": ("of output", "let it print less, and write files instead"),
    "processes": ("processes", "raise needs.processes, or start fewer"),
    "descriptors": ("open files", "raise needs.descriptors, or close them"),
}
"""What a limit is of, and what the job's author can do about it."""


def without_the_bundle(hit: LimitHit, unpacked: Count) -> LimitHit:
    """The limit as the job's author knows it: nobody stated what the bundle's own files take."""
    own = {"disk": unpacked.bytes, "files": unpacked.files}.get(hit.name, 0)
    return LimitHit(hit.name, hit.allowed - own, max(0.0, hit.measured - own))


def hit_words(hit: LimitHit, seconds: float) -> str:
    """Why a task was ended after so many ``seconds``, and what to do about it."""
    kind, remedy = _WORDS[hit.name]
    used, allowed = _amount(hit.name, hit.measured), _amount(hit.name, hit.allowed)
    return f"killed: used {used} of {allowed} {kind} after {seconds:.3g} s; {remedy}"


def _amount(limit: str, value: float) -> str:
    if limit in ("memory", "file_size", "output", "disk"):
        return size_text(value, digits=1)
    return f"{value:,.1f} s" if limit in ("wall_time", "cpu_time") else f"{value:,.0f}"
