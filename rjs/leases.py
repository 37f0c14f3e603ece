"""Leases as a grantor keeps them: who holds what, until when. Pure; times are seconds of a steady clock.

A grantor counts from receiving a renewal, a holder from sending it (``holder_until``), so that a holder always
stops believing first. After its own restart a grantor expires nothing for one full lease: what it restores is
taken as renewed at that moment. And a grantor that did not look for a while (its process was stopped, its
machine slept, its disk stalled it) has not listened either: that time does not count against the holders.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from rjs.limits import LEASE_LOOK

Key = TypeVar("Key", bound=Hashable)
Holder = TypeVar("Holder", bound=Hashable)


def holder_until(sent: float, lease: float) -> float:
    """Until when a holder may rely on a lease whose acknowledged renewal it sent at ``sent``."""
    return sent + lease


class LeaseTable(Generic[Key, Holder]):
    """Keys leased to holders; a holder's leases are renewed together."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._looked: float | None = None
        self._holder: dict[Key, Holder] = {}
        self._held: dict[Holder, set[Key]] = {}
        self._until: dict[Holder, float] = {}

    def __len__(self) -> int:
        return len(self._holder)

    def grant(self, key: Key, holder: Holder, now: float) -> None:
        """Lease ``key``; the holder's clock starts if this is its first, and our looking with the very first."""
        if self._looked is None:
            self._looked = now
        previous = self._holder.get(key)
        if previous is not None and previous != holder:
            self.end(key)
        self._holder[key] = holder
        self._held.setdefault(holder, set()).add(key)
        self._until.setdefault(holder, now + self._lease)

    def renew(self, holder: Holder, now: float) -> None:
        """All that ``holder`` has is good for another full lease."""
        if holder in self._until:
            self._until[holder] = max(self._until[holder], now + self._lease)

    def end(self, key: Key) -> None:
        """The lease is over; unknown keys are fine."""
        holder = self._holder.pop(key, None)
        if holder is None:
            return
        held = self._held[holder]
        held.discard(key)
        if not held:
            del self._held[holder], self._until[holder]

    def holder(self, key: Key) -> Holder | None:
        """Who holds ``key``."""
        return self._holder.get(key)

    def count(self, holder: Holder) -> int:
        """How many keys ``holder`` holds."""
        return len(self._held.get(holder, ()))

    def held(self, holder: Holder) -> frozenset[Key]:
        """What ``holder`` holds."""
        return frozenset(self._held.get(holder, ()))

    def until(self, holder: Holder) -> float:
        """Until when what ``holder`` has is good if it is not renewed; forgiven time comes on top."""
        return self._until[holder]

    def holders(self) -> tuple[Holder, ...]:
        """Who holds anything."""
        return tuple(self._held)

    def expire(self, now: float) -> dict[Holder, frozenset[Key]]:
        """End and return what has not been renewed in time. To be called at least every ``LEASE_LOOK`` seconds."""
        self._forgive(now)
        late = [holder for holder, until in self._until.items() if now >= until]
        lapsed = {holder: self.held(holder) for holder in late}
        for keys in lapsed.values():
            for key in keys:
                self.end(key)
        return lapsed

    def _forgive(self, now: float) -> None:
        """Prolong everything by the time in which we did not look."""
        if self._looked is not None and (missed := now - self._looked - LEASE_LOOK) > 0:
            self._until = {holder: until + missed for holder, until in self._until.items()}
        self._looked = now
