"""Follows the imports of a Python job from its entry through the files of its folder, by reading alone.

A fault is what is certain to fail on a compute server: a source that Python cannot read, or an import that is sure
to run and that neither the folder nor the standard library answers. What is doubtful is a warning.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.names import shown
from rjs.needs import Platform
from rjs.packing.imports import Import, ModuleImports, UnreadableSourceError, When, read_imports
from rjs.packing.missing import MissingModules, place, spelled
from rjs.packing.modules import Module, ModuleFinder
from rjs.packing.standard import STANDARD, is_installed
from rjs.packing.tree import Tree, UnfitFileError

_SOURCE_SUFFIXES: Final = (".py", ".pyw")
_COMPILED_SUFFIXES: Final = (".so", ".pyd")


@attrs.frozen
class Reached:
    """The files that a job reaches, each with why, and what is wrong or doubtful, one a sentence."""

    files: Mapping[str, str]
    faults: tuple[str, ...]
    warnings: tuple[str, ...]


def reach(
    tree: Tree,
    entry: str,
    *,
    included: Mapping[str, str] | None = None,
    allow_missing: Collection[str] = (),
    provided: Mapping[str, Sequence[Platform]] | None = None,
) -> Reached:
    """Return what the script ``entry`` of ``tree`` reaches; Python looks for modules in the script's folder.

    An object reference ``package.module:function`` stands for its module, and Python looks in the top folder.
    ``included`` are further files, each with why it comes: a source among them is followed too, though nothing is
    certain to import it. ``allow_missing`` are top-level modules that nobody needs to hear of, ``provided`` those of
    third-party packages, each with the platforms that lack it. Raises ChangedFileError, and OSError where the folder
    cannot be read.
    """
    walk = _Walk(tree, entry, allow_missing, provided or {})
    walk.begin()
    for name, why in (included or {}).items():
        walk.include(name, why)
    return walk.run()


@attrs.frozen(order=True)
class _Step:
    """A file to look into: the most certain first, then in the order of discovery."""

    doubt: int
    order: int
    name: str = attrs.field(order=False)
    why: str = attrs.field(order=False)

    @property
    def when(self) -> When:
        return When(-self.doubt)


class _Walk:
    def __init__(
        self,
        tree: Tree,
        entry: str,
        allow_missing: Collection[str],
        provided: Mapping[str, Sequence[Platform]],
    ) -> None:
        self._tree = tree
        self._entry = entry
        self._root = entry.rpartition("/")[0]
        self._finder = ModuleFinder(tree)
        self._waiting: list[_Step] = []
        self._order = itertools.count()
        self._read: dict[str, ModuleImports | None] = {}
        self._reasons: dict[str, str] = {}
        self._provided = provided
        self._missing = MissingModules(allow_missing, provided)
        self._compiled: list[str] = []
        self._path_changed: str | None = None
        self._faults: list[str] = []
        self._warnings: list[str] = []

    def begin(self) -> None:
        """Put the entry on the list."""
        module, is_reference, _ = self._entry.partition(":")
        if is_reference:
            self._follow(self._entry, Import(module, 1))
        else:
            self.take(self._entry, "the entry", When.SURE)

    def take(self, name: str, why: str, when: When) -> None:
        """Put a file on the list. It is looked into once, as certain as its most certain importer makes it."""
        if name not in self._reasons:
            heapq.heappush(self._waiting, _Step(-when, next(self._order), name, why))

    def include(self, name: str, why: str) -> None:
        """Take a file that was asked for, and the packages that are imported before a module in them is."""
        self.take(name, why, When.PERHAPS)
        folder = name.rpartition("/")[0]
        while self._is_source(name) and self._depth(folder):
            folder, _, last = folder.rpartition("/")
            if package := self._finder.find(folder, last):
                self._take_module(package, f"the package of {spelled(name)}", When.PERHAPS)

    def run(self) -> Reached:
        """Look into everything that waits, and into what that reaches."""
        while self._waiting:
            step = heapq.heappop(self._waiting)
            if step.name not in self._reasons:
                self._reasons[step.name] = step.why
                self._look_into(step)
        if self._compiled:
            others = f" and {len(self._compiled) - 1} more" if len(self._compiled) > 1 else ""
            self._warnings.append(
                f"{spelled(self._compiled[0])}{others}: compiled for one platform; what that imports cannot be seen"
            )
        search = f"the entry's folder {spelled(self._root)}/" if self._root else "the entry's folder"
        faults, warnings = self._missing.report(self._path_changed, search)
        return Reached(self._reasons, (*self._faults, *faults), (*self._warnings, *warnings))

    def _look_into(self, step: _Step) -> None:
        found = self._imports_of(step.name, step.when)
        if found is None:
            return
        if found.path_changed and self._path_changed is None:
            self._path_changed = place(step.name, found.path_changed)
        for line, call in found.computed:
            self._warnings.append(
                f"{place(step.name, line)}: calls {call}; what that imports cannot be seen by reading"
            )
        for each in found.imports:
            self._follow(step.name, attrs.evolve(each, when=min(each.when, step.when)))

    def _imports_of(self, name: str, when: When) -> ModuleImports | None:
        """What the file imports; None where it is no source, or where what is wrong with it was said."""
        if name not in self._read:
            self._read[name] = self._imports_read(name, when)
        return self._read[name]

    def _imports_read(self, name: str, when: When) -> ModuleImports | None:
        try:
            file = self._tree.look_at(name)
        except UnfitFileError as error:
            self._faults.append(f"{shown(name)} {error}")
            return None
        if not self._is_source(name):
            if name.endswith(_COMPILED_SUFFIXES):
                self._compiled.append(name)
            elif name == self._entry:
                self._warnings.append(f"{spelled(name)}: is no source; what it imports cannot be seen")
            return None
        if file.size > limits.MAX_SOURCE_BYTES:
            self._warnings.append(
                f"{spelled(name)}: is too large to be looked into; what it imports is not seen"
            )
            return None
        try:
            return read_imports(self._tree.read(name), is_main=name == self._entry)
        except UnreadableSourceError:
            self._warnings.append(f"{spelled(name)}: is nested too deeply; what it imports is not seen")
        except SyntaxError as error:
            fault = f"{place(name, error.lineno or 1)}: is no valid Python: {spelled(error.msg)}"
            (self._faults if when is When.SURE else self._warnings).append(fault)
        return None

    def _is_source(self, name: str) -> bool:
        return name.endswith(_SOURCE_SUFFIXES) or (name == self._entry and "." not in name.rpartition("/")[2])

    def _follow(self, file: str, found: Import) -> None:
        """Take the files that one import reaches, or note what it misses."""
        folder = self._start(file, found)
        if folder is None:
            return
        why = f"reached from {place(file, found.line)}"
        parts = found.module.split(".") if found.module else []
        package: str | None = folder
        for index, part in enumerate(parts):
            module = None if package is None else self._finder.find(package, part)
            if module is None or (index == found.level == 0 and self._gives_way(module, found)):
                self._note_missing(file, found, parts, index)
                return
            self._take_module(module, why, found.when)
            package = module.folder
        if package is not None:
            for name in self._names(package, found):
                if submodule := self._finder.find(package, name):
                    self._take_module(submodule, why, found.when)

    def _gives_way(self, module: Module, found: Import) -> bool:
        """Whether a folder without ``__init__.py`` is not what is meant: a module elsewhere goes before it."""
        if module.files or module.folder is None:
            return False
        top, *inner = found.module.split(".")
        asked = inner[:1] or found.names
        inside = any(self._finder.find(module.folder, name) for name in asked)
        return top in STANDARD or (not inside and (is_installed(top) or top in self._provided))

    def _start(self, file: str, found: Import) -> str | None:
        """The folder in which an import begins to look; None, with a word about it, where Python has none."""
        if not found.level:
            return self._root
        folder = file.rpartition("/")[0]
        if found.level > self._depth(folder):
            what = "imports relatively, but lies in no package deep enough for it"
            if found.when is not When.GUARDED:
                faults = self._faults if found.when is When.SURE else self._warnings
                faults.append(f"{place(file, found.line)}: {what}")
            return None
        return "/".join(folder.split("/")[: len(folder.split("/")) - found.level + 1])

    def _depth(self, folder: str) -> int:
        """How many packages a module in ``folder`` is in."""
        if self._root and (f"{folder}/").startswith(f"{self._root}/"):
            folder = folder[len(self._root) + 1 :]
        return len(folder.split("/")) if folder else 0

    def _take_module(self, module: Module, why: str, when: When) -> None:
        for name in module.files:
            self.take(name, why, when)

    def _names(self, package: str, found: Import) -> Iterator[str]:
        """What a from-import asks its package for; a star stands for what ``__all__`` lists."""
        for name in found.names:
            if name != "*":
                yield name
            elif self._tree.entry(f"{package}/__init__.py"):
                init = self._imports_of(f"{package}/__init__.py", found.when)
                yield from init.exports if init else ()

    def _note_missing(self, file: str, found: Import, parts: list[str], index: int) -> None:
        where = place(file, found.line)
        if index or found.level:
            if found.when is not When.GUARDED:
                self._warnings.append(
                    f"{where}: imports {spelled(found.module)}, of which the job has no file"
                )
        elif not self._is_fallback(file, found):
            self._missing.note(parts[0], where, found.when)

    def _is_fallback(self, file: str, found: Import) -> bool:
        """Whether the import only runs when others fail that will not."""
        return bool(found.instead_of) and all(self._answers(each) for each in found.instead_of)

    def _answers(self, found: Import) -> bool:
        top = found.module.partition(".")[0]
        if found.level or top in STANDARD:
            return not found.level
        if not self._provided.get(top, (Platform(),)):
            return True
        module = self._finder.find(self._root, top)
        return module is not None and not self._gives_way(module, found)
