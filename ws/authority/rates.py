"""How many certificates are issued in a time, in all and to one name. Pure: the time comes in."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from ws.authority import limits
from ws.authority.errors import TooOftenError


@attrs.define
class Bucket:
    """Up to ``most`` at once, refilled by ``rate`` a second. ``at`` is the time of the last look."""

    most: float
    rate: float
    at: float
    left: float

    def wait(self, now: float) -> float:
        """Seconds until there is one more; 0 when there is. A clock that was set back refills nothing."""
        self.left = min(self.most, self.left + max(0.0, now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.left >= 1 else (1 - self.left) / self.rate


@attrs.frozen
class Allowed:
    """So many at once and a second, in all and for one name."""

    at_once: float
    a_second: float
    name_at_once: float
    name_a_second: float


MEMBERS = Allowed(limits.ISSUED_AT_ONCE, limits.ISSUED_A_SECOND, limits.NAME_AT_ONCE, limits.NAME_A_SECOND)
JOBS = Allowed(limits.JOBS_AT_ONCE, limits.JOBS_A_SECOND, limits.CS_AT_ONCE, limits.CS_A_SECOND)


class Rates:
    """The rates of one authority for members, or for jobs. ``now`` is steady time in seconds."""

    def __init__(self, now: float, allowed: Allowed = MEMBERS) -> None:
        self._allowed = allowed
        self._all = Bucket(allowed.at_once, allowed.a_second, now, allowed.at_once)
        self._names: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Count one for ``name``. Raises TooOftenError, and then counts nothing."""
        bucket = self._names.pop(name, None)
        if bucket is None:
            allowed = self._allowed
            bucket = Bucket(allowed.name_at_once, allowed.name_a_second, now, allowed.name_at_once)
        self._names[name] = bucket  # the newest: the longest unasked is forgotten first, and is full by then
        if len(self._names) > limits.NAMES:
            self._names.popitem(last=False)
        for whom, each in ((name, bucket), ("this cluster", self._all)):
            wait = each.wait(now)
            if wait:
                raise TooOftenError(whom, wait)
        bucket.left -= 1
        self._all.left -= 1
