"""The lock of a job's third-party packages (``pylock.toml``, PEP 751), and which of its wheels an interpreter takes.

The choice is made here rather than by ``packaging.pylock``, which stops at the first package without a wheel and
falls back to sources: a job has wheels or nothing, and whoever packs wants to hear of every package at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal

import attrs
from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName, default_environment
from packaging.pylock import (
    Package,
    PackageWheel,
    Pylock,
    PylockUnsupportedVersionError,
    PylockValidationError,
)
from packaging.tags import Tag, sys_tags

from rjs.errors import RefusedError
from rjs.limits import MAX_LOCK_BYTES, MAX_LOCK_KEY_PARTS, MAX_LOCKED_PACKAGES
from rjs.toml_text import line_of_long_key
from rjs.wheels.file_names import check_wheel_name, read_wheel_name

LOCK_NAME: Final = "pylock.toml"


@attrs.frozen(slots=False)
class Target:
    """An interpreter: its environment markers (PEP 508) and the tags that it accepts, the most wanted first."""

    environment: Mapping[str, str]
    tags: Sequence[Tag] = attrs.field(repr=False)

    @cached_property
    def ranks(self) -> Mapping[Tag, int]:
        """The place of each tag among those accepted."""
        return {tag: rank for rank, tag in reversed(list(enumerate(self.tags)))}


@attrs.frozen
class Choice:
    """The wheel of each package that a target needs, and the packages that have none for it."""

    wheels: tuple[tuple[Package, PackageWheel], ...]
    without: tuple[Package, ...]


def this_interpreter() -> Target:
    """The interpreter that runs this, which is the one that runs a compute server's Python jobs."""
    return Target({key: str(value) for key, value in default_environment().items()}, tuple(sys_tags()))


def read_lock(toml: bytes) -> Pylock:
    """Parse a lock. Raises RefusedError ``bad-lock``."""
    if len(toml) > MAX_LOCK_BYTES:
        raise _bad(f"it is larger than {MAX_LOCK_BYTES} bytes")
    try:
        text = toml.decode()
        if line := line_of_long_key(text, MAX_LOCK_KEY_PARTS):
            raise _bad(f"line {line} has a key of more than {MAX_LOCK_KEY_PARTS} parts")
        return lock_from(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise _bad(str(error)) from None


def lock_from(fields: Mapping[str, Any]) -> Pylock:
    """The lock that these fields of TOML are. Raises RefusedError ``bad-lock``."""
    packages = list(_tables(fields, "packages"))
    if len(packages) > MAX_LOCKED_PACKAGES:
        raise _bad(f"it names more than {MAX_LOCKED_PACKAGES} packages")
    try:
        for package in packages:
            for wheel in _tables(package, "wheels"):
                check_wheel_name(_name_of(wheel))
        return Pylock.from_dict(fields)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise _bad(str(error)) from None
    except RefusedError as error:
        raise _bad(error.sentence) from None


def choose(
    lock: Pylock, target: Target, available: Callable[[PackageWheel], bool] = lambda wheel: True
) -> Choice:
    """Which of the ``available`` wheels the target takes. Raises RefusedError: ``no-wheel`` where the lock is not
    for such an interpreter at all, ``bad-lock`` where it cannot be applied."""
    _check_served(lock, target)
    groups = frozenset(lock.default_groups or ())
    environment: dict[str, str | frozenset[str]] = {**target.environment, "extras": frozenset()}
    environment["dependency_groups"] = groups
    wheels, without, seen = [], [], set()
    for package in lock.packages:
        if not _applies(package, environment):
            continue
        if package.name in seen:
            raise _bad(f"it has {package.name} twice for one interpreter")
        seen.add(package.name)
        wheel = _best(package, target, available)
        if wheel is None:
            without.append(package)
        else:
            wheels.append((package, wheel))
    return Choice(tuple(wheels), tuple(without))


def _check_served(lock: Pylock, target: Target) -> None:
    version = target.environment["python_full_version"]
    if lock.requires_python is not None and not lock.requires_python.contains(version, prereleases=True):
        raise RefusedError("no-wheel", f"its packages are for Python {lock.requires_python}, not {version}")
    here = target.environment
    stated = lock.environments or ()
    if stated and not any(_holds(each, here, "metadata", "one of its environments") for each in stated):
        machine = f"{here['sys_platform']} on {here['platform_machine']}"
        raise RefusedError("no-wheel", f"its packages are not for {machine}")


def _applies(package: Package, environment: Mapping[str, str | frozenset[str]]) -> bool:
    marker = package.marker
    return marker is None or _holds(marker, environment, "lock_file", f"the marker of {package.name}")


def _holds(
    marker: Marker,
    environment: Mapping[str, str | frozenset[str]],
    context: Literal["metadata", "lock_file"],
    called: str,
) -> bool:
    try:
        return marker.evaluate(dict(environment), context)
    except (UndefinedComparison, UndefinedEnvironmentName, RecursionError) as error:
        raise _bad(f"{called} has no meaning here: {error}") from None


def _best(package: Package, target: Target, available: Callable[[PackageWheel], bool]) -> PackageWheel | None:
    version = target.environment["python_full_version"]
    if package.requires_python is not None and not package.requires_python.contains(
        version, prereleases=True
    ):
        return None
    ranked = [
        (min(target.ranks[tag] for tag in fitting), wheel)
        for wheel in package.wheels or ()
        if available(wheel) and (fitting := read_wheel_name(wheel.filename)[-1] & target.ranks.keys())
    ]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _tables(fields: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    """The tables of an array, whatever else is there: ``Pylock`` judges."""
    value = fields.get(key)
    return (each for each in value if isinstance(each, Mapping)) if isinstance(value, list) else iter(())


def _name_of(wheel: Mapping[str, Any]) -> str:
    """The name under which ``Pylock`` will know the wheel."""
    stated = {key: wheel[key] for key in ("name", "path", "url") if isinstance(wheel.get(key), str)}
    return PackageWheel(**stated, hashes={}).filename


def _bad(why: str) -> RefusedError:
    return RefusedError("bad-lock", f"{LOCK_NAME} cannot be used: {why}")
