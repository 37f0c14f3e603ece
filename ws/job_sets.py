"""Jobs of several files in ``jobs/``: a ``.jnlp`` or a main JAR, and the signed JARs that it names.

What a file names is only a hint here of what to wait for and to copy together. What the job is made of says the
descriptor that its main JAR holds, signed (``ws.intake``). Nothing here follows a link or remembers across a restart.

    sets = JobSets(homes)
    look = sets.look(["ada"])       # candidates to judge, and files that are parts of them
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping

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
    _named: dict[tuple[str, str], tuple[str, Names]] = attrs.field(factory=dict, init=False)

    def learned(self, found: Found, jars: Names) -> None:
        """The signed descriptor in this very version of a main JAR names ``jars``."""
        key = (found.account, found.file_name)
        if found.named:  # it changed since: it is judged by itself first
            self._named.pop(key, None)
        else:
            self._named[key] = found.stamp, (found.file_name, *jars)

    def look(self, accounts: Iterable[str]) -> Look:
        """What is there now."""
        looks = [self._look(account) for account in accounts]
        look = Look(
            tuple(found for each in looks for found in each.found),
            {part: leads for each in looks for part, leads in each.parts.items()},
            any(each.more for each in looks),
        )
        if not look.more:
            present = {(each.account, each.file_name) for each in (*look.found, *look.parts)}
            for key in set(self._named) - present:
                self._named.pop(key, None)
        return look

    def is_unchanged(self, found: Found) -> bool:
        """Whether every file of ``found`` still is what it was when it was found."""
        own = self.homes.find(found.account, found.file_name)
        return own is not None and self._whole(own, found.named).stamp == found.stamp

    def _look(self, account: str) -> Look:
        files = {each.file_name: each for each in self.homes.bundles([account])}
        more = self._read_some([each for each in files.values() if each.file_name.endswith(JNLP_SUFFIX)])
        named = {name: self._known(found) for name, found in files.items()}
        parts = _parts({name: names for name, names in named.items() if names}, files.keys())
        found, left = [], limits.SET_FILES
        for name, own in files.items():
            is_jnlp = name.endswith(JNLP_SUFFIX)
            if name in parts or (more and (not is_jnlp or not self._is_known(own))):
                continue  # a JAR may be named by a file that was not read yet
            whole, left = self._counted(own, named[name], left)
            found.append(whole)
        return Look(tuple(found), {files[name]: tuple(sorted(each)) for name, each in parts.items()}, more)

    def _counted(self, own: Found, names: Names, left: int) -> tuple[Found, int]:
        """The candidate, and how many files may still be named after it."""
        left -= len(names) + own.file_name.endswith(JNLP_SUFFIX)
        if names and left < 0:
            return attrs.evolve(own, stamp=f"{own.stamp}.crowded", named=names, waits=_CROWDED), left
        return self._whole(own, names), left

    def _whole(self, own: Found, names: Names) -> Found:
        """A candidate with the files that it names: one stamp for all of them, its own before the ``+``."""
        if not names:
            return own
        files = {name: self.homes.find(own.account, name) for name in names}
        there = [each for each in files.values() if each is not None]
        stamps = "\n".join(f"{name}\0{each.stamp if each else ''}" for name, each in files.items())
        return attrs.evolve(
            own,
            stamp=f"{own.stamp}+{hashlib.sha256(stamps.encode()).hexdigest()[:32]}",
            size=sum(each.size for each in there),
            arrived=max([own.arrived, *(each.arrived for each in there)]),
            named=names,
            waits=_missing([name for name, each in files.items() if each is None]),
        )

    def _is_known(self, found: Found) -> bool:
        return self._named.get((found.account, found.file_name), ("",))[0] == found.stamp

    def _known(self, found: Found) -> Names:
        return self._named[found.account, found.file_name][1] if self._is_known(found) else ()

    def _read_some(self, files: Iterable[Found]) -> bool:
        """Read those that are new, but not too many at a time: whether some are left."""
        new = [each for each in files if not self._is_known(each)]
        for each in new[: limits.JNLP_READ]:
            try:
                names = named_by(self.homes.read(each.account, each.file_name, MAX_DESCRIPTOR_BYTES))
            except RefusedError:  # judging it says why
                names = ()
            except OSError:  # it is read again at the next look
                continue
            self._named[each.account, each.file_name] = each.stamp, names
        return len(new) > limits.JNLP_READ


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
