"""Gathers what a bundle will hold out of a person's folder, or of one script, and refuses what it could not.

A person will mend what is wrong, so every fault is reported at once: those that our own verifier would find in the
finished bundle, and those that a compute server would find when it runs it. Symbolic links are never followed.
Everything that is taken says why, and what editors, caches and version control leave is named in ``left_out``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from rjs import limits
from rjs.bundle.names import shown
from rjs.descriptor import DESCRIPTOR_NAME, REMEDY
from rjs.errors import UsageError
from rjs.needs import Platform
from rjs.packing.include import matching
from rjs.packing.job_files import Gathered, JobFile, JobFiles, PackingError
from rjs.packing.made import MADE_HERE, made_descriptor
from rjs.packing.requirements import Requirements, vendor
from rjs.packing.tree import Tree, UnfitFileError, folder_fault, stays_out
from rjs.packing.vendored import WHEELS_FOLDER, Vendored, unstated
from rjs.packing.walk import reach
from rjs.packing.wheels_beside import wheels_beside
from rjs.wheels import LOCK_NAME

WHOLE_FOLDER: Final = "whole folder"


def gather(
    path: Path,
    *,
    without: Path | None = None,
    tasks: int = 1,
    name: str | None = None,
    include: Sequence[str] = (),
    reached_only: bool = False,
    allow_missing: Collection[str] = (),
    requirements: Requirements | None = None,
) -> JobFiles:
    """Give what the bundle of ``path`` holds: a folder with a ``job.toml``, or one Python script.

    A folder is taken whole, or ``reached_only``: what its entry imports, and what ``include`` names. Of a script's
    folder always only that is taken; the descriptor is made here, of ``tasks`` tasks, called ``name`` or like the
    script. ``allow_missing`` are modules that the job may import though no compute server has them. ``without`` is
    a file to leave out (the bundle itself, when it is written into the folder). ``requirements`` are vendored; a
    folder's own ``job.toml`` must say so, and is told the lines. Raises PackingError, UsageError, ChangedFileError,
    RefusedError like ``requirements.vendor``, or OSError when something cannot be read.
    """
    if path.is_dir():
        if include and not reached_only:
            raise UsageError("a folder is taken whole; --include adds to --reached-only, or to a script")
        gathering = _Gathering(Tree(path), without, allow_missing)
        _gather_folder(gathering, include, reached_only, requirements)
    elif path.suffix == ".py":
        script = path.resolve()
        gathering = _Gathering(Tree(script.parent), without, allow_missing)
        tables = gathering.vendor(requirements).tables if requirements else ()
        gathering.add(made_descriptor(name or script.stem, "python", tasks, entry=script.name, tables=tables))
        gathering.take_reached(script.name, include)
    else:
        raise PackingError(path, ["it is neither a folder with a job.toml nor a Python script (.py)"])
    files = gathering.judged(path)
    if gathering.vendored and (fault := unstated(files.descriptor, gathering.vendored)):
        raise PackingError(path, [fault])
    return files


class _Gathering(Gathered):
    """What is taken so far out of a folder."""

    def __init__(self, tree: Tree, without: Path | None, allow_missing: Collection[str]) -> None:
        super().__init__()
        self.tree = tree
        self.vendored: Vendored | None = None
        self._provided: Mapping[str, Sequence[Platform]] = {}
        self._own = _name_below(tree.path, without)
        self._allow_missing = allow_missing

    def vendor(self, requirements: Requirements) -> Vendored:
        """Take the lock and the wheels of ``requirements``."""
        self.vendored = vendor(requirements)
        self._provided = self.vendored.modules
        for file in self.vendored.files:
            self.add(file)
        return self.vendored

    def read_lock(self, name: str) -> None:
        """See what the wheels provide that lie in the folder with their lock ``name``."""
        found = wheels_beside(self.tree, name)
        self._provided = found.modules
        self.faults += found.faults

    def take_whole(self) -> None:
        """Take all that does not stay out."""
        for name, entry in self.tree.below():
            if self._stays_out(name):
                self.left_out.append(name)
            elif self.vendored and self._is_place_of_wheels(name):
                self.faults.append(f"{shown(name)} is in the way of the vendored requirements; remove it")
            elif not entry.is_dir(follow_symlinks=False):
                self.take_of(self.tree, name, WHOLE_FOLDER)
            elif fault := folder_fault(name, entry):
                self.faults.append(fault)
            elif not self.tree.listing(name):
                self.left_out.append(f"{name}/ (empty)")

    def leave_rest(self) -> None:
        """Name what was not taken."""
        for name, entry in self.tree.below():
            is_entered = entry.is_dir(follow_symlinks=False) and not folder_fault(name, entry)
            if self._stays_out(name) or (name not in self.files and not is_entered):
                self.left_out.append(name)

    def take_reached(self, entry: str, include: Sequence[str]) -> None:
        """Take the script ``entry``, what it imports, and what the patterns name with what that imports."""
        included = self._included(include)
        for name, why in self._reached(entry, included).items():
            self.take_of(self.tree, name, why)

    def take_whole_with(self, entry: str) -> None:
        """Take all, and refuse what the script ``entry`` imports out of places that stay out."""
        reached = self._reached(entry, {})
        self.take_whole()
        for name, why in reached.items():
            if any(name == place or name.startswith(f"{place}/") for place in self.left_out):
                self.faults.append(f"{shown(name)} is {why}, but stays out of bundles; move or rename it")

    def _reached(self, entry: str, included: Mapping[str, str]) -> Mapping[str, str]:
        found = reach(
            self.tree, entry, included=included, allow_missing=self._allow_missing, provided=self._provided
        )
        self.faults += found.faults
        self.warnings += found.warnings
        return found.files

    def _included(self, patterns: Sequence[str]) -> dict[str, str]:
        included: dict[str, str] = {}
        for pattern in patterns:
            names = [name for name in matching(self.tree, pattern) if name != self._own]
            if not names:
                self.faults.append(f"--include {shown(pattern)} names no file of the folder")
            for name in names:
                included.setdefault(name, f"included by {pattern}")
        made = self.files[DESCRIPTOR_NAME].why == MADE_HERE
        if made and DESCRIPTOR_NAME in included:
            self.faults.append(f"{DESCRIPTOR_NAME} is made for a script; pack its folder to take that one")
        return included

    def _is_place_of_wheels(self, name: str) -> bool:
        return name == LOCK_NAME or name.startswith(f"{WHEELS_FOLDER}/")

    def _stays_out(self, name: str) -> bool:
        return name == self._own or stays_out(name)


def _name_below(folder: Path, file: Path | None) -> str | None:
    """The name that ``file`` would have in the bundle; None where it lies elsewhere."""
    if file is None or not file.resolve().is_relative_to(folder.resolve()):
        return None
    return file.resolve().relative_to(folder.resolve()).as_posix()


def _gather_folder(
    gathering: _Gathering, include: Sequence[str], reached_only: bool, requirements: Requirements | None
) -> None:
    toml = _descriptor_bytes(gathering, "the descriptor" if reached_only else WHOLE_FOLDER)
    entry, lock = (None, None) if toml is None else _entry_and_lock_of(toml)
    if entry is not None and ":" not in entry and gathering.tree.entry(entry) is None:
        entry = None  # the descriptor's reader says so
    if requirements is not None:
        gathering.vendor(requirements)
    elif lock is not None and gathering.tree.entry(lock) is not None:
        gathering.read_lock(lock)
    if reached_only and entry is not None:
        gathering.take_reached(entry, include)
    elif entry is not None:
        gathering.take_whole_with(entry)
    elif not reached_only:
        gathering.take_whole()
    if reached_only:
        gathering.leave_rest()


def _descriptor_bytes(gathering: _Gathering, why: str) -> bytes | None:
    """Take ``job.toml`` with the content that is judged here, whatever becomes of the file; None if there is none."""
    if gathering.tree.entry(DESCRIPTOR_NAME) is None:
        has_classes = any(name.endswith(".class") for name, _ in gathering.tree.below())
        remedy = "name the --main-class that runs" if has_classes else REMEDY
        gathering.faults.append(f"{DESCRIPTOR_NAME}: there is none; {remedy}")
        return None
    try:
        file = gathering.tree.look_at(DESCRIPTOR_NAME)
    except UnfitFileError as error:
        gathering.faults.append(f"{shown(DESCRIPTOR_NAME)} {error}")
        return None
    if file.size > limits.MAX_DESCRIPTOR_BYTES:
        gathering.faults.append(
            f"{DESCRIPTOR_NAME} is larger than {limits.MAX_DESCRIPTOR_BYTES} bytes; shorten it"
        )
        return None
    toml = gathering.tree.read(DESCRIPTOR_NAME)
    gathering.add(JobFile(DESCRIPTOR_NAME, toml, len(toml), file.executable, why))
    return toml


def _entry_and_lock_of(toml: bytes) -> tuple[str | None, str | None]:
    """The entry and the lock of a Python job, were all else in its descriptor wrong: every fault is to be told."""
    try:
        fields = tomllib.loads(toml.decode())
    except (ValueError, RecursionError):
        return None, None
    if fields.get("runtime") != "python":
        return None, None
    settings = fields.get("python")
    entry, lock = fields.get("entry"), settings.get("lock") if isinstance(settings, dict) else None
    return (entry if isinstance(entry, str) else None, lock if isinstance(lock, str) else None)
