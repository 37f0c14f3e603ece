"""The wheels that go along in a bundle, for whom they are, and what its ``job.toml`` must say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs
from packaging.specifiers import SpecifierSet

from rjs.descriptor import DESCRIPTOR_NAME, Descriptor
from rjs.needs import PLATFORMS, Platform
from rjs.packing.job_files import JobFile
from rjs.packing.targets import LATER, PYTHONS, specifier_of
from rjs.toml_text import TomlValue, toml_table
from rjs.wheels import LOCK_NAME

WHEELS_FOLDER: Final = "wheels"
_PATCHES: Final = range(30)


@attrs.frozen
class Vendored:
    """The lock and the wheels of a bundle, and for whom they are.

    ``platforms`` and ``pythons`` (of PYTHONS and LATER) are all that the wheels serve, those asked for among them.
    ``modules`` are the top-level modules of the wheels, each with the platforms asked for that have no such wheel.
    """

    files: tuple[JobFile, ...]
    platforms: tuple[Platform, ...]
    pythons: tuple[str, ...]
    modules: Mapping[str, tuple[Platform, ...]]

    @property
    def tables(self) -> list[tuple[str, Mapping[str, TomlValue]]]:
        """What ``job.toml`` says about it, each table with its header."""
        needs: dict[str, TomlValue] = {"python": specifier_of(self.pythons)}
        if self.platforms != PLATFORMS:
            needs["os"] = sorted({place.os for place in self.platforms})
            needs["arch"] = sorted({place.arch for place in self.platforms})
        tables: list[tuple[str, Mapping[str, TomlValue]]] = [
            ("[needs]", needs),
            ("[python]", {"lock": LOCK_NAME}),
        ]
        for place in self.platforms:
            if any(file.name.startswith(f"{WHEELS_FOLDER}/{place}/") for file in self.files):
                fields: dict[str, TomlValue] = {"os": place.os, "arch": place.arch}
                tables.append(("[[resources]]", {**fields, "files": [f"{WHEELS_FOLDER}/{place}/*"]}))
        return tables

    @property
    def lines(self) -> str:
        """The same, as a person writes it."""
        return "\n".join(toml_table(header, table) for header, table in self.tables)


def unstated(descriptor: Descriptor, vendored: Vendored) -> str | None:
    """What a person must add to ``job.toml`` before these wheels can go along; None when it says enough.

    1. It names the lock. 2. It admits no platform and no Python that has no wheels here. 3. Wheels for one platform
    are that platform's resources alone, and all of them.
    """
    needs = descriptor.needs
    admitted = filter(needs.admits, PLATFORMS)
    versions = [python for python in (*PYTHONS, LATER) if _admits(needs.python, python)]
    says_enough = (
        descriptor.runtime == "python"
        and descriptor.lock == LOCK_NAME  # 1
        and set(admitted) <= {*vendored.platforms, *_between(vendored.platforms)}  # 2
        and set(versions) <= set(vendored.pythons)
        and all(_is_apart(descriptor, vendored, place) for place in vendored.platforms)  # 3
    )
    if says_enough:
        return None
    return f"{DESCRIPTOR_NAME} must say what the wheels are for; it needs these lines:\n\n{vendored.lines}"


def _between(platforms: Sequence[Platform]) -> set[Platform]:
    """What ``job.toml`` admits with these platforms, for it states operating systems and architectures apart."""
    systems, machines = {place.os for place in platforms}, {place.arch for place in platforms}
    return {place for place in PLATFORMS if place.os in systems and place.arch in machines}


def _admits(specifier: str, python: str) -> bool:
    return any(SpecifierSet(specifier).contains(f"{python}.{patch}") for patch in _PATCHES)


def _is_apart(descriptor: Descriptor, vendored: Vendored, place: Platform) -> bool:
    left_out = descriptor.unneeded_files(place)
    for file in vendored.files:
        folder, _, rest = file.name.partition("/")
        owner = rest.partition("/")[0] if folder == WHEELS_FOLDER and "/" in rest else str(place)
        if (file.name in left_out) != (owner != str(place)):
            return False
    return True
