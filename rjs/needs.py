"""What a task needs, what a compute server offers, and the one rule that compares them. Pure.

The LUS asks it to place a task, the CS asks it again before it starts one: two servers, one answer.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from rjs.bundle.names import shown
from rjs.errors import UsageError
from rjs.limits import GIB, MIB
from rjs.sizes import size_text

OPERATING_SYSTEMS: Final = ("linux", "macos", "windows")
ARCHITECTURES: Final = ("x86_64", "aarch64")

Amount = Annotated[int, Meta(ge=0, lt=2**48)]
Seconds = Annotated[float, Meta(ge=0, le=1e12)]
Few = Annotated[int, Meta(ge=0, lt=2**16)]
Word = Annotated[str, Meta(max_length=32)]
MAX_SPECIFIER: Final = 64
Specifier = Annotated[str, Meta(max_length=MAX_SPECIFIER)]


class Platform(Struct, frozen=True, array_like=True, order=True):
    """An operating system and a processor architecture; an empty part means any."""

    os: Word = ""
    arch: Word = ""

    def __str__(self) -> str:
        return "-".join(part or "any" for part in (self.os, self.arch))

    def admits(self, other: Platform) -> bool:
        """Whether what is for this platform serves a machine of platform ``other``."""
        return self.os in ("", other.os) and self.arch in ("", other.arch)


PLATFORMS: Final = tuple(Platform(os, arch) for os in OPERATING_SYSTEMS for arch in ARCHITECTURES)
"""Every platform that a job can be made for."""


def parse_platform(text: str) -> Platform:
    """The platform that ``linux-x86_64`` or the like spells; raises UsageError."""
    known = {str(each): each for each in PLATFORMS}
    if text not in known:
        raise UsageError(f"{shown(text)} is no platform; there are {', '.join(known)}")
    return known[text]


_SYSTEMS: Final = {"darwin": "macos"}
_MACHINES: Final = {"amd64": "x86_64", "arm64": "aarch64"}


def platform_of(system: str, machine: str) -> Platform:
    """The platform of a machine by the names that it gives itself: many have several."""
    system, machine = system.lower(), machine.lower()
    return Platform(_SYSTEMS.get(system, system)[:32], _MACHINES.get(machine, machine)[:32])


SANDBOXES: Final = ("", "namespaces")
"""How well a machine can confine a job, the better the later; the first is not at all."""


class Needs(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one task may use at most, and what a machine must have to run it.

    ``memory`` and ``disk`` in bytes, times in seconds, ``cores`` are processor threads. ``cpu_time`` is of all its
    processes, ``descriptors`` of each, ``files`` those on its disk; 0 in these and in ``processes`` states nothing:
    the machine decides. ``platforms`` are alternatives; none means any. ``python`` and ``java`` are specifiers of
    versions (PEP 440), such as ``>=3.12``; empty means that any version serves, if the runtime needs one at all.
    ``sandbox`` is one of SANDBOXES; a better one serves too.
    """

    memory: Amount = 512 * MIB
    wall_time: Seconds = 3600
    cores: Few = 1
    disk: Amount = GIB
    platforms: Annotated[tuple[Platform, ...], Meta(max_length=16)] = ()
    python: Specifier = ""
    java: Specifier = ""
    runtime: Word = "python"
    cpu_time: Seconds = 0
    processes: Amount = 0
    descriptors: Amount = 0
    files: Amount = 0
    sandbox: Word = ""

    def admits(self, platform: Platform) -> bool:
        """Whether a task may run on this platform."""
        return not self.platforms or any(each.admits(platform) for each in self.platforms)


class Offer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a compute server gives one task. Versions are plain, such as ``3.11.7`` and ``17``; empty: not there.

    Times and counts are the owner's bounds, in the units of Needs; 0: none. ``sandbox``: how well it is confined.
    """

    memory: Amount = 0
    cores: Few = 0
    disk: Amount = 0
    platform: Platform = Platform()
    python: Word = ""
    java: Word = ""
    wall_time: Seconds = 0
    cpu_time: Seconds = 0
    processes: Amount = 0
    descriptors: Amount = 0
    files: Amount = 0
    sandbox: Word = ""


class Lack(Struct, frozen=True):
    """Why a task cannot run there: a stable code, and a sentence."""

    code: str
    sentence: str


def lack(needs: Needs, offer: Offer) -> Lack | None:
    """What ``offer`` lacks of ``needs``, the first of it; None when it serves."""
    if needs.memory > offer.memory:
        return Lack(
            "needs-memory",
            f"it needs {size_text(needs.memory)} of memory, {size_text(offer.memory)} are given",
        )
    if needs.disk > offer.disk:
        return Lack(
            "needs-disk", f"it needs {size_text(needs.disk)} of disk, {size_text(offer.disk)} are given"
        )
    if needs.cores > offer.cores:
        return Lack("needs-cores", f"it needs {needs.cores} cores, {offer.cores} are given")
    if not needs.admits(offer.platform):
        wanted = ", ".join(map(str, needs.platforms))
        return Lack("needs-platform", f"it is for {wanted}; this is {offer.platform}")
    versions = _version("python", needs, offer.python) or _version("java", needs, offer.java)
    return versions or _bounds(needs, offer) or _sandbox(needs, offer)


_BOUNDS: Final = {
    "wall_time": "{:,.0f} s of time by the clock",
    "cpu_time": "{:,.0f} s of processor time",
    "processes": "{:,} processes",
    "descriptors": "{:,} open files",
    "files": "{:,} files on disk",
}


def _bounds(needs: Needs, offer: Offer) -> Lack | None:
    """What the owner bounds, and most tasks do not state."""
    for name, words in _BOUNDS.items():
        stated, bound = getattr(needs, name), getattr(offer, name)
        if bound and stated > bound:
            code = f"needs-{name.replace('_', '-')}"
            return Lack(code, f"it needs {words.format(stated)}, {bound:,.0f} are given")
    return None


def _sandbox(needs: Needs, offer: Offer) -> Lack | None:
    """A level that this release does not know is none that it can vouch for."""
    known = needs.sandbox in SANDBOXES and offer.sandbox in SANDBOXES
    if not needs.sandbox or (known and SANDBOXES.index(offer.sandbox) >= SANDBOXES.index(needs.sandbox)):
        return None
    is_there = f"{shown(offer.sandbox)} is there" if offer.sandbox else "there is none"
    return Lack("needs-sandbox", f"it needs a sandbox ({shown(needs.sandbox)}); {is_there}")


def _version(runtime: str, needs: Needs, offered: str) -> Lack | None:
    wanted: str = getattr(needs, runtime)
    if not wanted and needs.runtime != runtime:
        return None
    if not offered:
        return Lack(f"needs-{runtime}", f"it needs {runtime.capitalize()}, which is not there")
    if not is_specifier(wanted) or not SpecifierSet(wanted).contains(offered, prereleases=True):
        return Lack(f"needs-{runtime}", f"it needs {runtime.capitalize()} {wanted}; {offered} is there")
    return None


def is_specifier(text: str) -> bool:
    """Whether ``text`` is a version specifier (PEP 440), the empty one included."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True
