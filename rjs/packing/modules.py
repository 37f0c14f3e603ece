"""Finds the files of a module in a person's folder, as Python's own path finder would, without importing it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from rjs.packing.tree import Tree

_COMPILED: Final = re.compile(r"([^.]+)(?:\.[\w-]+)?\.(?:so|pyd)", re.ASCII)
"""``x.so``, ``x.abi3.so``, ``x.cpython-311-x86_64-linux-gnu.so``, ``x.cp311-win_amd64.pyd``."""


def modules_of(names: Iterable[str]) -> frozenset[str]:
    """The top-level modules and packages among files that lie below a folder of ``sys.path``."""
    found = set()
    for name in names:
        top, inside, _ = name.partition("/")
        last = name.rpartition("/")[2]
        compiled = _COMPILED.fullmatch(last)
        if last.endswith(".py") or compiled:
            found.add(top if inside else compiled[1] if compiled else top.removesuffix(".py"))
    return frozenset(module for module in found if module.isidentifier())


@attrs.frozen
class Module:
    """The files of one module, and the folder of its submodules where it is a package.

    A package without files is a namespace package (PEP 420). There are several files where a module is compiled for
    several platforms, or compiled and in source.
    """

    files: tuple[str, ...]
    folder: str | None = None


class ModuleFinder:
    """Finds modules in the folders of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._compiled: dict[str, Mapping[str, list[str]]] = {}

    def find(self, folder: str, name: str) -> Module | None:
        """Return the module ``name`` (one part, no dots) that Python finds in ``folder``; None where it finds none.

        Python's order: a package, a module, a namespace package. A link in the place of a package is its only file.
        """
        entry = self._tree.listing(folder).get(name)
        inner = f"{folder}/{name}" if folder else name
        is_folder = entry is not None and entry.is_dir(follow_symlinks=False)
        if is_folder and (files := self._files(inner, "__init__")):
            return Module(files, inner)
        if files := self._files(folder, name):
            return Module(files)
        if is_folder:
            return Module((), inner)
        if entry is not None and entry.is_symlink() and entry.is_dir():
            return Module((inner,))
        return None

    def _files(self, folder: str, stem: str) -> tuple[str, ...]:
        listing = self._tree.listing(folder)
        names = list(self._compiled_in(folder).get(stem, ()))
        source = listing.get(f"{stem}.py")
        if source is not None and not source.is_dir(follow_symlinks=False):
            names.append(source.name)
        return tuple(f"{folder}/{name}" if folder else name for name in names)

    def _compiled_in(self, folder: str) -> Mapping[str, list[str]]:
        """The compiled modules in ``folder``, by the name under which they are imported."""
        if folder not in self._compiled:
            found: dict[str, list[str]] = {}
            for name in self._tree.listing(folder):
                if match := _COMPILED.fullmatch(name):
                    found.setdefault(match[1], []).append(name)
            self._compiled[folder] = found
        return self._compiled[folder]
