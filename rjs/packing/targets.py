"""The interpreters that wheels are vendored for, described from afar: CPython of a version on a platform.

For each the tags are ordered so that of several wheels the one that the oldest system accepts is taken: desktops
differ, and one wheel serves them all.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator
from typing import Final

from packaging.tags import compatible_tags, cpython_tags, mac_platforms

from rjs.needs import PLATFORMS, Platform, platform_of
from rjs.wheels import Target

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
"""The versions of Python that a compute server may have and that wheels can be vendored for."""
LATER: Final = "3.99"
"""Stands for every later version: what serves it, such as a pure wheel, serves them."""

_NEWEST_GLIBC: Final = 34
"""glibc 2.34 is of 2021: every distribution that has Python 3.11 of its own has it."""
_NEWEST_MACOS: Final = (14, 0)
_OLD_MANYLINUX: Final = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}
_OLDEST_GLIBC: Final = {"x86_64": 5, "aarch64": 17}
_LATEST_PATCH: Final = 99
_SYSTEMS: Final = {
    "linux": ("linux", "Linux", "posix"),
    "macos": ("darwin", "Darwin", "posix"),
    "windows": ("win32", "Windows", "nt"),
}
_MACHINES: Final = {
    ("macos", "aarch64"): "arm64",
    ("windows", "x86_64"): "AMD64",
    ("windows", "aarch64"): "ARM64",
}


def targets_of(place: Platform, python: str) -> tuple[Target, Target]:
    """The first and the last patch release of ``python`` (such as ``3.12``) on ``place``, one of PLATFORMS.

    Markers may tell them apart, and a compute server may have either.
    """
    major, minor = map(int, python.split("."))
    name = f"cp{major}{minor}"
    systems = list(_platform_tags(place))
    tags = (
        *cpython_tags((major, minor), abis=[name], platforms=systems),
        *compatible_tags((major, minor), interpreter=name, platforms=systems),
    )
    first, last = (f"{python}.{patch}" for patch in (0, _LATEST_PATCH))
    return Target(_environment(place, first), tags), Target(_environment(place, last), tags)


def this_platform() -> Platform:
    """The one of PLATFORMS that this machine is; raises LookupError where it is none."""
    here = platform_of(platform.system(), platform.machine())
    if here not in PLATFORMS:
        raise LookupError(str(here))
    return here


def marker_of(place: Platform) -> str:
    """The environment marker (PEP 508) that is true on ``place`` alone."""
    return f"sys_platform == '{_SYSTEMS[place.os][0]}' and platform_machine == '{_machine(place)}'"


def specifier_of(pythons: Collection[str]) -> str:
    """The version specifier (PEP 440) that admits these of PYTHONS and LATER, of which there is one at least."""
    served = [python for python in PYTHONS if python in pythons]
    if len(served) == 1 and LATER not in pythons:
        return f"=={served[0]}.*"
    first, last = PYTHONS.index(served[0]), PYTHONS.index(served[-1])
    if LATER in pythons:
        last = len(PYTHONS) - 1
    parts = [f">={PYTHONS[first]}"]
    parts += [f"!={python}.*" for python in PYTHONS[first : last + 1] if python not in served]
    end = [] if LATER in pythons else [f"<3.{int(PYTHONS[last].partition('.')[2]) + 1}"]
    return ",".join([*parts, *end])


def _environment(place: Platform, version: str) -> dict[str, str]:
    sys_platform, system, os_name = _SYSTEMS[place.os]
    return {
        "implementation_name": "cpython",
        "implementation_version": version,
        "os_name": os_name,
        "platform_machine": _machine(place),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": version,
        "python_version": version.rpartition(".")[0],
        "sys_platform": sys_platform,
    }


def _machine(place: Platform) -> str:
    return _MACHINES.get((place.os, place.arch), place.arch)


def _platform_tags(place: Platform) -> Iterator[str]:
    """The oldest system first, a build for one machine last."""
    if place.os == "macos":
        yield from reversed(list(mac_platforms(_NEWEST_MACOS, _machine(place))))
    elif place.os == "windows":
        yield f"win_{_machine(place).lower()}"
    else:
        for glibc in range(_OLDEST_GLIBC[place.arch], _NEWEST_GLIBC + 1):
            yield f"manylinux_2_{glibc}_{place.arch}"
            if glibc in _OLD_MANYLINUX:
                yield f"{_OLD_MANYLINUX[glibc]}_{place.arch}"
        yield f"linux_{place.arch}"
