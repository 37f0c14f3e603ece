"""What the wheels provide that lie in a job's folder already, with their lock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from packaging.pylock import PackageWheel

from rjs import limits
from rjs.bundle.names import shown
from rjs.errors import RefusedError
from rjs.needs import Platform
from rjs.packing.modules import modules_of
from rjs.packing.tree import Tree, UnfitFileError
from rjs.wheels import open_wheel, read_lock


@attrs.frozen
class WheelsBeside:
    """The top-level modules of the wheels in a folder, on every platform, and what is wrong with the wheels."""

    modules: Mapping[str, Sequence[Platform]]
    faults: tuple[str, ...]


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
