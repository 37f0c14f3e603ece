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


class Rates:
    """The rates of one authority. ``now`` is steady time in seconds."""

    def __init__(self, now: float) -> None:
        self._all = Bucket(limits.ISSUED_AT_ONCE, limits.ISSUED_A_SECOND, now, limits.ISSUED_AT_ONCE)
        self._names: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, name: str, now: float) -> None:
        """Count one for ``name``. Raises TooOftenError, and then counts nothing."""
        bucket = self._names.pop(name, None)
        if bucket is None:
            bucket = Bucket(limits.NAME_AT_ONCE, limits.NAME_A_SECOND, now, limits.NAME_AT_ONCE)
        self._names[name] = bucket  # the newest: the longest unasked is forgotten first, and is full by then
        if len(self._names) > limits.NAMES:
            self._names.popitem(last=False)
        for whom, each in ((name, bucket), ("this cluster", self._all)):
            wait = each.wait(now)
            if wait:
                raise TooOftenError(whom, wait)
        bucket.left -= 1
        self._all.left -= 1
