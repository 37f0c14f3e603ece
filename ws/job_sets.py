"""Jobs of several files in ``jobs/``: a ``.jnlp`` or a main JAR, and the signed JARs that it names.

What a file names is only a hint here of what to wait for and to copy together. What the job is made of says the
descriptor that its main JAR holds, signed (``ws.intake``). Nothing here follows a link or remembers across a restart.

    sets = JobSets(homes)
    look = sets.look(["ada"])       # candidates to judge, and files that are parts of them
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable, Mapping

import attrs

from rjs.bundle.names import shown
from rjs.descriptor import DescriptorError
from rjs.descriptor.jnlp import jars_named
from rjs.errors import RefusedError
from rjs.limits import MAX_DESCRIPTOR_BYTES
from ws import limits
from ws.homes import JNLP_SUFFIX, Found, Homes

_CROWDED = (
    f"the .jnlp files there name more than {limits.SET_FILES} files; remove those of jobs that have ended"
)


class IncompleteSetError(RefusedError):
    """It is no job before other files come: not refused before it waited long for them."""


class UnsettledSetError(RefusedError):
    """The files do not belong together: refused unless they still arrive."""


Names = tuple[str, ...]
"""The JARs of one job by their names below ``jobs/``, in the order in which they are copied: the main JAR first."""


@attrs.frozen
class Look:
    """What lies in ``jobs/`` of some accounts: ``found`` are to be judged; ``parts`` are not by themselves, but with
    the files that name them. ``more``: not everything could be looked at."""

    found: tuple[Found, ...] = ()
    parts: Mapping[Found, tuple[str, ...]] = attrs.field(factory=dict)
    more: bool = False


@attrs.define
class JobSets:
    """Finds what belongs together. ``look`` may run in a thread, once at a time."""

    homes: Homes
    _named: dict[str, dict[str, tuple[str, Names]]] = attrs.field(factory=dict, init=False)
    """By account and file name: the version that was read, and what it names."""
    _first: str = attrs.field(default="", init=False)
    """The account whose turn it is to have its new files read."""

    def learned(self, found: Found, jars: Names) -> None:
        """The signed descriptor in this very version of a main JAR names ``jars``."""
        known = self._named.setdefault(found.account, {})
        if found.named:  # it changed since: it is judged by itself first
            known.pop(found.file_name, None)
        else:
            known[found.file_name] = found.stamp, (found.file_name, *jars)

    def look(self, accounts: Iterable[str]) -> Look:
        """What is there now. Nobody's files keep those of others waiting for longer than ``limits.JNLP_READ_ALL``."""
        looks, left, next_first = [], limits.JNLP_READ_ALL, ""
        for account in sorted(accounts, key=lambda each: (each < self._first, each)):
            files = {each.file_name: each for each in self.homes.bundles([account])}
            self._forget(account, files.keys())
            share = min(limits.JNLP_READ, left)
            read, more = self._read_some(files.values(), share)
            left = max(left - read, 0)
            if more and share < limits.JNLP_READ:
                next_first = next_first or account
            looks.append(self._look(account, files, more))
        self._first = next_first
        return Look(
            tuple(found for each in looks for found in each.found),
            {part: leads for each in looks for part, leads in each.parts.items()},
            any(each.more for each in looks),
        )

    def is_unchanged(self, found: Found) -> bool:
        """Whether every file of ``found`` still is what it was when it was found."""
        there = self.homes.find(found.account, {found.file_name, *found.named})
        own = there.get(found.file_name)
        return own is not None and _whole(own, found.named, there).stamp == found.stamp

    def _forget(self, account: str, there: Collection[str]) -> None:
        known = self._named.setdefault(account, {})
        for name in set(known) - set(there):
            known.pop(name, None)

    def _look(self, account: str, files: Mapping[str, Found], more: bool) -> Look:
        """``more``: some ``.jnlp`` files are not read yet, and any JAR may be named by one of them."""
        named = {name: self._known(found) for name, found in files.items()}
        parts = _parts({name: names for name, names in named.items() if names}, files.keys())
        judged = {
            own: named[name]
            for name, own in files.items()
            if name not in parts and not (more and not (name.endswith(JNLP_SUFFIX) and self._is_known(own)))
        }
        crowded = _crowded(judged)
        there = self.homes.find(
            account, {name for own, names in judged.items() if own not in crowded for name in names}
        )
        found = (
            attrs.evolve(own, stamp=f"{own.stamp}.crowded", named=names, waits=_CROWDED)
            if own in crowded
            else _whole(own, names, there)
            for own, names in judged.items()
        )
        return Look(tuple(found), {files[name]: tuple(sorted(each)) for name, each in parts.items()}, more)

    def _is_known(self, found: Found) -> bool:
        return self._named[found.account].get(found.file_name, ("",))[0] == found.stamp

    def _known(self, found: Found) -> Names:
        return self._named[found.account][found.file_name][1] if self._is_known(found) else ()

    def _read_some(self, files: Iterable[Found], share: int) -> tuple[int, bool]:
        """Read new ``.jnlp`` files until they were ``share`` bytes: how many they were, and whether some are left."""
        read = 0
        for each in files:
            if not each.file_name.endswith(JNLP_SUFFIX) or self._is_known(each):
                continue
            if read >= share:
                return read, True
            read += max(limits.JNLP_LEAST, min(each.size, MAX_DESCRIPTOR_BYTES))
            try:
                names = named_by(self.homes.read(each.account, each.file_name, MAX_DESCRIPTOR_BYTES))
            except RefusedError:  # judging it says why
                names = ()
            except OSError:  # it is read again at the next look
                continue
            self._named[each.account][each.file_name] = each.stamp, names
        return read, False


def _crowded(judged: Mapping[Found, Names]) -> set[Found]:
    """Those whose files are beyond what is looked for; each counts what it names, and itself where that names it."""
    crowded, left = set(), limits.SET_FILES
    for own, names in judged.items():
        left -= len(names) + own.file_name.endswith(JNLP_SUFFIX)
        if names and left < 0:
            crowded.add(own)
    return crowded


def _whole(own: Found, names: Names, there: Mapping[str, Found]) -> Found:
    """A candidate with the files that it names: one stamp for all of them, its own before the ``+``."""
    if not names:
        return own
    files = {name: there.get(name) for name in names}
    present = [each for each in files.values() if each is not None]
    stamps = "\n".join(f"{name}\0{each.stamp if each else ''}" for name, each in files.items())
    return attrs.evolve(
        own,
        stamp=f"{own.stamp}+{hashlib.sha256(stamps.encode()).hexdigest()[:32]}",
        size=sum(each.size for each in present),
        arrived=max([own.arrived, *(each.arrived for each in present)]),
        named=names,
        waits=_missing([name for name, each in files.items() if each is None]),
    )


def named_by(xml: bytes) -> Names:
    """The JARs of the job that a JNLP file describes, the main JAR first. Raises UnsettledSetError."""
    try:
        return jars_named(xml)
    except DescriptorError as error:
        raise UnsettledSetError("jnlp-form", f"it is not accepted: {'; '.join(error.mistakes)}") from None


def waiting_sentence(error: IncompleteSetError, found: Found) -> str:
    """For its status file: what it waits for, since when and how long."""
    since = dt.datetime.fromtimestamp(found.arrived, dt.UTC)
    return (
        f"{error.code}: {error.sentence}; it waits since {since:%Y-%m-%d %H:%M:%S} UTC and is refused after "
        f"{limits.SET_PATIENCE / 3600:g} hours in which nothing of it came"
    )


def _parts(leads: Mapping[str, Names], there: Iterable[str]) -> dict[str, set[str]]:
    """Which of the files in ``jobs/`` itself are parts, and of what.

    A ``.jnlp`` has its main JAR too; a main JAR that lies there without one has what it names, but for what is a
    main JAR itself: else two that name each other would wait for each other.
    """
    parts: dict[str, set[str]] = {}
    jnlps = {name for name in leads if name.endswith(JNLP_SUFFIX)}
    names = set(there) - jnlps
    for lead in jnlps:
        for name in names.intersection(leads[lead]):
            parts.setdefault(name, set()).add(lead)
    for lead in leads.keys() - jnlps - parts.keys():
        for name in (names - leads.keys()).intersection(leads[lead]):
            parts.setdefault(name, set()).add(lead)
    return parts


def _missing(names: list[str]) -> str:
    if not names:
        return ""
    listed = ", ".join(map(shown, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return f"not there yet: {listed} (below jobs/, in plain folders)"
