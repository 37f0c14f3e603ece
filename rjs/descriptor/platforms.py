"""On which platforms a job can run: those that it needs, as far as each has something to run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from rjs.descriptor.model import Descriptor, Resource
from rjs.needs import PLATFORMS, Platform


def stated_platforms(systems: Sequence[str], architectures: Sequence[str]) -> tuple[Platform, ...]:
    """Every pair of them; none when neither is stated, which means all."""
    if not systems and not architectures:
        return ()
    return tuple(dict.fromkeys(Platform(*pair) for pair in product(systems or [""], architectures or [""])))


def with_entries(stated: Iterable[Platform], resources: Iterable[Resource]) -> tuple[Platform, ...]:
    """What of the ``stated`` platforms, or of all, has an entry among the resources."""
    stated = tuple(stated) or (Platform(),)
    entries = [each.platform for each in resources if each.entry]
    met = (_common(one, other) for one in stated for other in entries)
    return tuple(dict.fromkeys(each for each in met if each is not None))


def left_out(descriptor: Descriptor) -> dict[str, Platform]:
    """Entries that are not among the files of a platform on which they are to run, each with the platform."""
    found: dict[str, Platform] = {}
    for platform in filter(descriptor.needs.admits, PLATFORMS):
        entry = descriptor.on(platform).entry
        if entry in descriptor.unneeded_files(platform):
            found.setdefault(entry, platform)
    return found


def _common(one: Platform, other: Platform) -> Platform | None:
    both = Platform(one.os or other.os, one.arch or other.arch)
    return both if one.admits(both) and other.admits(both) else None
