"""Which files of a folder a pattern such as ``data/**/*.csv`` names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from rjs.packing.tree import Tree, stays_out


def matching(tree: Tree, pattern: str) -> list[str]:
    """Return the files that ``pattern`` names, sorted; none where it leaves the folder.

    ``*`` ``?`` ``[…]`` match within a name and ``**`` any number of folders; a folder's name stands for all that is
    in it. As in a shell, what begins with a dot is matched only by a dot. What ``stays_out`` is never matched, and no
    link is followed: where the pattern spells a link's name, that is what is returned.
    """
    parts = [part for part in pattern.removesuffix("/").split("/") if part != "."]
    if not parts or "" in parts or ".." in parts:
        return []
    return sorted(set(_match(tree, "", parts)))


def _match(tree: Tree, folder: str, parts: Sequence[str]) -> Iterator[str]:
    head, rest = parts[0], parts[1:]
    if head == "**" and rest:
        yield from _match(tree, folder, rest)
    for last, entry in tree.listing(folder).items():
        name = f"{folder}/{last}" if folder else last
        if stays_out(name) or not _fits(last, head):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _match(tree, name, parts if head == "**" else rest or ["**"])
        elif not rest or (entry.is_symlink() and head == last):
            yield name


def _fits(name: str, pattern: str) -> bool:
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatchcase(name, pattern)
