"""Whether a folder's own ``job.toml`` fits the wheels that go along, and what wheels in the folder itself provide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from packaging.pylock import PackageWheel
from packaging.specifiers import SpecifierSet

from rjs import limits
from rjs.bundle.names import shown
from rjs.descriptor import DESCRIPTOR_NAME, Descriptor
from rjs.errors import RefusedError
from rjs.needs import PLATFORMS, Platform
from rjs.packing.modules import modules_of
from rjs.packing.requirements import WHEELS_FOLDER, Vendored
from rjs.packing.targets import LATER, PYTHONS
from rjs.packing.tree import Tree, UnfitFileError
from rjs.wheels import LOCK_NAME, open_wheel, read_lock

_PATCHES = range(30)


@attrs.frozen
class WheelsBeside:
    """The top-level modules of the wheels in a folder, on every platform, and what is wrong with the wheels."""

    modules: Mapping[str, Sequence[Platform]]
    faults: tuple[str, ...]


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


def wheels_beside(tree: Tree, lock: str) -> WheelsBeside:
    """Read the lock called ``lock`` of a folder, and the wheels that it names there."""
    modules: set[str] = set()
    faults = []
    try:
        wheels = [
            wheel for package in read_lock(_content(tree, lock)).packages for wheel in package.wheels or ()
        ]
    except RefusedError as error:
        return WheelsBeside({}, (error.sentence,))
    for wheel in wheels:
        try:
            modules |= _modules(tree, wheel)
        except RefusedError as error:
            faults.append(error.sentence)
    return WheelsBeside(dict.fromkeys(sorted(modules), ()), tuple(faults))


def _content(tree: Tree, name: str) -> bytes:
    try:
        if tree.look_at(name).size <= limits.MAX_LOCK_BYTES:
            return tree.read(name)
    except UnfitFileError as error:
        raise RefusedError("pack", f"{shown(name)} {error}") from None
    raise RefusedError("pack", f"{shown(name)} is larger than {limits.MAX_LOCK_BYTES} bytes")


def _modules(tree: Tree, wheel: PackageWheel) -> frozenset[str]:
    name = wheel.path or ""
    if not name or tree.entry(name) is None:
        raise RefusedError(
            "pack", f"the lock names {shown(wheel.filename)}, and the folder has no such wheel"
        )
    try:
        file = tree.look_at(name)
    except UnfitFileError as error:
        raise RefusedError("pack", f"{shown(name)} {error}") from None
    if file.digest().hex() != wheel.hashes.get("sha256"):
        raise RefusedError("pack", f"{shown(name)} is not the wheel that the lock names: its SHA-256 differs")
    with file.path.open("rb") as opened:
        return modules_of(open_wheel(opened, wheel.filename).files)
