"""Third-party packages of a Python job: resolved to a lock, and their wheels vendored for the platforms asked for.

A bundle holds ``pylock.toml`` and the wheels that it names: ``wheels/NAME``, or ``wheels/OS-ARCH/NAME`` where a wheel
is not for all platforms asked for, so that a compute server can leave out what is for others. There are wheels or
nothing: building from sources would be code on the owner's machine that nobody signed.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import attrs
from packaging.pylock import Package, PackageWheel, Pylock
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name, parse_wheel_filename

from rjs.bundle.names import shown
from rjs.errors import RefusedError, UsageError
from rjs.needs import PLATFORMS, Platform
from rjs.packing.fetch import Scratch, fetch
from rjs.packing.job_files import JobFile
from rjs.packing.lock import LockedFile, Resolved, resolve, written_lock
from rjs.packing.modules import modules_of
from rjs.packing.targets import LATER, PYTHONS, marker_of, specifier_of, targets_of, this_platform
from rjs.packing.tree import DiskFile
from rjs.packing.vendored import WHEELS_FOLDER, Vendored
from rjs.wheels import LOCK_NAME, Wheel, choose, open_wheel

_ASKED: Final = "asked for as a requirement"
_COMMENT: Final = re.compile(r"(?:^|\s)#.*")


@attrs.frozen
class Requirements:
    """What a job imports that is not its own: requirements as in ``numpy>=2`` (PEP 508).

    ``platforms`` have operating system and architecture, none: this machine's. ``python`` is a version such as
    ``3.12``, or several with commas; empty: the packer's own. ``find_links`` is a folder of wheels, and all that
    there is unless ``index_url`` names an index too; without either, the index is the one that ``uv`` is set to use.
    """

    specs: tuple[str, ...]
    platforms: tuple[Platform, ...] = ()
    python: str = ""
    find_links: Path | None = None
    index_url: str | None = None


def read_requirements(path: Path) -> tuple[str, ...]:
    """The requirements that a file lists, one a line, with comments. Raises UsageError for anything else there."""
    specs = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        spec = _COMMENT.sub("", line).strip()
        if spec.startswith("-") or spec.endswith("\\"):
            raise UsageError(f"{path}:{number}: options of pip are not read; leave requirements, one a line")
        if spec:
            specs.append(spec)
    return tuple(specs)


def vendor(requirements: Requirements) -> Vendored:
    """Resolve, fetch and judge the wheels of ``requirements``.

    Raises UsageError for what is no requirement, and RefusedError: ``pack`` with every package that has no wheel for
    a platform and Python asked for, ``bad-wheel`` for a wheel that the strict reader refuses.
    """
    asked = _names_asked(requirements.specs)
    platforms = tuple(dict.fromkeys(requirements.platforms)) or (_here(),)
    pythons = _pythons(requirements.python)
    resolved = resolve(
        requirements.specs,
        pythons[0],
        [marker_of(place) for place in _checked(platforms)],
        find_links=requirements.find_links,
        index_url=requirements.index_url,
    )
    picks = _picked(resolved.lock, platforms, pythons)
    served = _served(resolved, picks, platforms, pythons)
    scratch = Scratch()
    taken = [_taken(each, scratch) for each in picks]
    return _vendored(taken, asked, platforms, *served)


@attrs.frozen
class _Pick:
    """A wheel that some platform asked for takes."""

    package: Package
    wheel: PackageWheel
    sha256: str
    platforms: tuple[Platform, ...]


@attrs.frozen
class _Taken:
    """The same, fetched and read."""

    pick: _Pick
    file: DiskFile
    modules: frozenset[str]
    requires: frozenset[NormalizedName]


def _names_asked(specs: Sequence[str]) -> frozenset[NormalizedName]:
    names = set()
    for spec in specs:
        try:
            requirement = Requirement(spec)
        except InvalidRequirement:
            raise UsageError(f"{shown(spec)} is no requirement such as numpy>=2") from None
        if requirement.url:
            raise UsageError(
                f"{shown(spec)} names a place; put the wheel into a folder, and name that with --find-links"
            )
        names.add(canonicalize_name(requirement.name))
    if not names:
        raise UsageError("no requirement is named")
    return frozenset(names)


def _here() -> Platform:
    try:
        return this_platform()
    except LookupError as error:
        raise UsageError(f"wheels are not vendored for {error}; name platforms with --platform") from None


def _checked(platforms: Sequence[Platform]) -> Sequence[Platform]:
    for place in platforms:
        if place not in PLATFORMS:
            raise UsageError(f"wheels can be vendored for {', '.join(map(str, PLATFORMS))}, not for {place}")
    return platforms


def _pythons(text: str) -> list[str]:
    """The versions asked for, the oldest first."""
    asked = [each.strip() for each in text.split(",")] if text else [f"3.{sys.version_info.minor}"]
    for python in asked:
        if python not in PYTHONS:
            raise UsageError(
                f"wheels can be vendored for Python {', '.join(PYTHONS)}, not for {shown(python)}"
            )
    return sorted(set(asked), key=PYTHONS.index)


def _picked(lock: Pylock, platforms: Sequence[Platform], pythons: Sequence[str]) -> list[_Pick]:
    """The wheels that these platforms and Pythons take; refuses with every package that lacks one."""
    picks: dict[tuple[str, ...], _Pick] = {}
    faults: dict[str, None] = {}
    for place, python in itertools.product(platforms, pythons):
        for target in targets_of(place, python):
            choice = choose(lock, target)
            faults |= {_lacking(package, place, python): None for package in choice.without}
            for package, wheel in choice.wheels:
                sha256 = _sha256(wheel)
                key = (package.name, str(package.version), str(package.marker), sha256)
                before = picks[key].platforms if key in picks else ()
                picks[key] = _Pick(package, wheel, sha256, tuple(dict.fromkeys([*before, place])))
    if faults:
        raise RefusedError("pack", "\n".join(["packages have no wheel that could go along:", *faults]))
    return [picks[key] for key in sorted(picks)]


def _lacking(package: Package, place: Platform, python: str) -> str:
    return (
        f"{package.name} {package.version} has no wheel for {place} and Python {python}: ask for another version, "
        "platform or --python, or build a wheel there and name its folder with --find-links"
    )


def _sha256(wheel: PackageWheel) -> str:
    digest = wheel.hashes.get("sha256", "")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise RefusedError("pack", f"the index states no SHA-256 of {shown(wheel.filename)}")
    return digest


def _taken(pick: _Pick, scratch: Scratch) -> _Taken:
    file = fetch(pick.wheel, pick.sha256, scratch)
    with file.path.open("rb") as opened:
        wheel = open_wheel(opened, pick.wheel.filename)
    requires = frozenset(_required_names(wheel))
    return _Taken(pick, file, modules_of(wheel.files), requires)


def _required_names(wheel: Wheel) -> Iterator[NormalizedName]:
    """What the wheel requires whatever its extras; it only serves to say why others came."""
    for text in wheel.requires:
        with suppress(InvalidRequirement):  # of old metadata
            requirement = Requirement(text)
            if "extra" not in str(requirement.marker):
                yield canonicalize_name(requirement.name)


def _served(
    resolved: Resolved, picks: Sequence[_Pick], platforms: Sequence[Platform], pythons: Sequence[str]
) -> tuple[tuple[Platform, ...], tuple[str, ...]]:
    """All platforms and Pythons that need no other wheels than these; what was asked for is among them."""
    digests = {each.sha256 for each in picks}

    def serves(place: Platform, python: str) -> bool:
        choices = (
            choose(resolved.lock, target, lambda wheel: wheel.hashes.get("sha256") in digests)
            for target in targets_of(place, python)
        )
        return not any(choice.without for choice in choices)

    if resolved.everywhere and all(_is_for_any(each.wheel) for each in picks):
        places = tuple(
            place
            for place in PLATFORMS
            if place in platforms or all(serves(place, python) for python in pythons)
        )
    else:  # a wheel lies in the folders of the platforms that it was vendored for
        places = tuple(place for place in PLATFORMS if place in platforms)
    versions = tuple(
        python
        for python in (*PYTHONS, LATER)
        if python in pythons
        or (
            (*PYTHONS, LATER).index(python) > PYTHONS.index(pythons[0])
            and all(serves(place, python) for place in places)
        )
    )
    return places, versions


def _vendored(
    taken: Sequence[_Taken],
    asked: Collection[NormalizedName],
    platforms: Sequence[Platform],
    served: tuple[Platform, ...],
    pythons: tuple[str, ...],
) -> Vendored:
    files, locked = dict[str, JobFile](), []
    for each in taken:
        why = _reason(each.pick.package, taken, asked)
        for path in _paths(each.pick, platforms):
            files[path] = JobFile(path, each.file, each.file.size, why=why)
            locked.append(LockedFile(each.pick.package, path, each.file.size, each.pick.sha256))
    environments = [] if served == PLATFORMS else [marker_of(place) for place in served]
    lock = written_lock(locked, python=specifier_of(pythons), environments=environments)
    made = JobFile(LOCK_NAME, lock, len(lock), why="the lock of the requirements")
    return Vendored((made, *files.values()), served, pythons, _modules(taken, platforms))


def _paths(pick: _Pick, platforms: Sequence[Platform]) -> list[str]:
    """Where the wheel lies in the bundle: one that is built for some platforms only, in the folder of each."""
    if _is_for_any(pick.wheel) or len(pick.platforms) == len(platforms):
        return [f"{WHEELS_FOLDER}/{pick.wheel.filename}"]
    return [f"{WHEELS_FOLDER}/{place}/{pick.wheel.filename}" for place in pick.platforms]


def _is_for_any(wheel: PackageWheel) -> bool:
    return any(tag.platform == "any" for tag in parse_wheel_filename(wheel.filename)[-1])


def _reason(package: Package, taken: Iterable[_Taken], asked: Collection[NormalizedName]) -> str:
    if package.name in asked:
        return _ASKED
    by = sorted({each.pick.package.name for each in taken if package.name in each.requires})
    return f"required by {', '.join(by) or 'an extra'}"


def _modules(taken: Iterable[_Taken], platforms: Sequence[Platform]) -> dict[str, tuple[Platform, ...]]:
    having: dict[str, set[Platform]] = {}
    for each in taken:
        for module in each.modules:
            having.setdefault(module, set()).update(each.pick.platforms)
    return {
        module: tuple(place for place in platforms if place not in places)
        for module, places in having.items()
    }
