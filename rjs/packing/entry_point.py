"""An installed package's command as a job: its own files, and what it requires in the versions that are installed.

The files of a pure package go along as they lie here, so that an editable install, or one that no index has, can be
packed. A package with compiled modules is built for this machine alone: it is a requirement like what it requires.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
from collections.abc import Collection, Iterator
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Final

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rjs.bundle.names import shown
from rjs.errors import UsageError
from rjs.packing.job_files import Gathered, JobFiles, PackingError
from rjs.packing.made import made_descriptor
from rjs.packing.requirements import Requirements, vendor
from rjs.packing.tree import Tree, stays_out
from rjs.packing.walk import reach

_COMPILED: Final = (".so", ".pyd", ".dylib", ".dll")
_METADATA: Final = ("METADATA", "PKG-INFO", "entry_points.txt")
"""What ``importlib.metadata`` reads of a distribution; the rest says where and how it was installed here."""


@attrs.frozen
class _Own:
    """The files of a distribution below the folder that Python finds it in."""

    tree: Tree
    names: tuple[str, ...]

    @property
    def is_compiled(self) -> bool:
        return any(name.endswith(_COMPILED) for name in self.names)


def gather_entry_point(
    script: str,
    *,
    tasks: int = 1,
    name: str | None = None,
    allow_missing: Collection[str] = (),
    requirements: Requirements | None = None,
) -> JobFiles:
    """Give what the bundle of the installed command ``script`` holds (a ``console_scripts`` entry point).

    The package goes along with its data files. What it requires is pinned to the versions that are installed here,
    and vendored as ``requirements`` say, which may name more. The other parameters are those of ``gather``. Raises
    UsageError without such a command, PackingError, RefusedError like ``vendor``.
    """
    point, owner = _found(script)
    own = _own_files(owner, point)
    is_wheel = own.is_compiled
    if is_wheel:
        own, specs = _Own(own.tree, ()), [f"{owner.name}=={owner.version}"]
    else:
        specs = list(_required(owner))
    asked = requirements or Requirements(())
    asked = attrs.evolve(asked, specs=(*asked.specs, *specs))
    vendored = vendor(asked) if asked.specs else None
    entry, tables = f"{point.module}:{point.attr}", vendored.tables if vendored else ()
    gathered = Gathered()
    gathered.add(made_descriptor(name or script, "python", tasks, entry=entry, tables=tables))
    for file in vendored.files if vendored else ():
        gathered.add(file)
    for each in own.names:
        gathered.take_of(own.tree, each, f"of {owner.name} {owner.version}")
    if is_wheel:
        gathered.warnings.append(
            f"{owner.name} {owner.version} comes as a wheel; what it imports is not looked into"
        )
    else:
        reached = reach(
            own.tree, entry, allow_missing=allow_missing, provided=vendored.modules if vendored else {}
        )
        gathered.faults += reached.faults
        gathered.warnings += reached.warnings
    return gathered.judged(Path(script))


def _found(script: str) -> tuple[EntryPoint, Distribution]:
    scripts = entry_points(group="console_scripts")
    found = {point.value: point for point in scripts.select(name=script)}
    if not found:
        near = difflib.get_close_matches(script, scripts.names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"no package that is installed here has the command {shown(script)}{hint}")
    (point, *others) = found.values()
    if others or point.dist is None or not point.attr:
        raise UsageError(f"{shown(script)} does not stand for one function of one installed package")
    return point, point.dist


def _own_files(owner: Distribution, point: EntryPoint) -> _Own:
    if _is_editable(owner):
        return _editable_files(owner, point.module.partition(".")[0])
    names = sorted(file.as_posix() for file in owner.files or () if _goes_along(file.as_posix()))
    if not names:
        raise PackingError(
            Path(owner.name),
            [f"{owner.name} {owner.version} does not say which files it has; install it with pip"],
        )
    only = {name.partition("/")[0] for name in names}
    return _Own(Tree(Path(str(owner.locate_file(""))), only), tuple(names))


def _editable_files(owner: Distribution, top: str) -> _Own:
    """The whole packages of a project that lies in its own folder, for nobody recorded their files."""
    tops = (owner.read_text("top_level.txt") or top).split()
    spec = importlib.util.find_spec(top)
    origin = None if spec is None else spec.origin
    if origin is None:
        raise PackingError(Path(owner.name), [f"the module {shown(top)} is a file of no package"])
    file = Path(origin)
    root = file.parent.parent if file.name == "__init__.py" else file.parent
    only = {name for each in tops for name in (each, f"{each}.py")}
    tree = Tree(root, only)
    names = [name for name, entry in tree.below() if not entry.is_dir(follow_symlinks=False)]
    return _Own(tree, tuple(name for name in names if _goes_along(name)))


def _is_editable(owner: Distribution) -> bool:
    """As its installer recorded it (PEP 610)."""
    try:
        record = json.loads(owner.read_text("direct_url.json") or "{}")
        return bool(record["dir_info"]["editable"])
    except (ValueError, KeyError, TypeError):
        return False


def _goes_along(name: str) -> bool:
    """Whether a file is the package's own: not of another folder, not compiled by Python, not the installer's."""
    folder, _, last = name.rpartition("/")
    if name.startswith(("../", "/")) or any(stays_out(part) for part in name.split("/")):
        return False
    if folder.endswith((".dist-info", ".egg-info")):
        return last in _METADATA
    return bool(folder) or not last.endswith(".pth")


def _required(owner: Distribution) -> Iterator[str]:
    """What ``owner`` requires as it states it, and everything that this means here, in the versions that are here."""
    yield from sorted(str(each) for each in _stated(owner, frozenset()))
    pinned: dict[str, str] = {}
    waiting = [(owner, frozenset[str]())]
    seen = set()
    while waiting:
        for each in _stated(*waiting.pop()):
            if each.marker is not None and not each.marker.evaluate({"extra": ""}):
                continue
            key = canonicalize_name(each.name), frozenset(each.extras)
            if key in seen:
                continue
            seen.add(key)
            try:
                found = distribution(each.name)
            except PackageNotFoundError:
                continue  # the resolver finds a version
            pinned[key[0]] = found.version
            waiting.append((found, key[1]))
    yield from (f"{name}=={version}" for name, version in sorted(pinned.items()))


def _stated(owner: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Its requirements, those of the ``extras`` asked for among them; markers about platforms are kept."""
    for text in owner.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or "extra" not in str(marker):
            yield requirement
        elif any(marker.evaluate({"extra": extra}) for extra in extras):
            requirement.marker = None
            yield requirement
