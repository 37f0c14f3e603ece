"""Which live compute servers suit which tasks, as sets of bits, kept as compute servers come, change and go. Pure.

A question about all of them is one operation on a number, and the change of one is judged against that one alone:
no compute server, whatever it says of itself and however often, makes the LUS compare all others again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lus import placement
from rjs.needs import Needs, Offer

Bits = int
"""A set of compute servers: each has a bit while it is registered."""


class Suited:
    """Compute servers by their bits. ``changes`` rises with whatever decides who would take a task."""

    def __init__(self) -> None:
        self.changes = 0
        self._bit: dict[str, Bits] = {}
        self._offers: dict[str, Offer] = {}
        self._spare: list[Bits] = []
        self._serving: dict[Needs, Bits] = {}
        self._refusing: dict[str, Bits] = {}

    def entered(self, cs: str, offer: Offer) -> None:
        """It is registered, and offers this now."""
        if self._offers.get(cs) == offer:
            return
        if cs not in self._bit:
            self._bit[cs] = self._spare.pop() if self._spare else 1 << len(self._bit)
        self.changes += 1
        self._offers[cs] = offer
        bit = self._bit[cs]
        for needs, serving in self._serving.items():
            self._serving[needs] = serving | bit if placement.serves(needs, offer) else serving & ~bit

    def left(self, cs: str, refused: Iterable[str]) -> None:
        """It is registered no more; ``refused`` are the jobs that it did not take."""
        for job in refused:
            self.takes(cs, job)
        bit = self._bit.pop(cs, 0)
        if bit:
            self.changes += 1
            del self._offers[cs]
            self._spare.append(bit)
            for needs, serving in self._serving.items():
                self._serving[needs] = serving & ~bit

    def refuses(self, cs: str, job: str) -> None:
        """It does not take this job."""
        self.changes += 1
        self._refusing[job] = self._refusing.get(job, 0) | self._bit[cs]

    def takes(self, cs: str, job: str) -> None:
        """It refuses this job no more."""
        self.changes += 1
        left = self._refusing.pop(job, 0) & ~self._bit[cs]
        if left:
            self._refusing[job] = left

    def bits(self, servers: Iterable[str]) -> Bits:
        """The set of these; who is not registered is not in it."""
        found = 0
        for cs in servers:
            found |= self._bit.get(cs, 0)
        return found

    def able(self, job: str, needs: Needs) -> Bits:
        """Those that would take a task of this job and offer all that it needs (``placement.is_able``)."""
        serving = self._serving.get(needs)
        if serving is None:
            serving = self._serving[needs] = self.bits(
                cs for cs, offer in self._offers.items() if placement.serves(needs, offer)
            )
        return serving & ~self._refusing.get(job, 0)

    def is_refused(self, job: str) -> bool:
        """Whether any of them does not take this job."""
        return job in self._refusing

    def __len__(self) -> int:
        """How many different needs are remembered."""
        return len(self._serving)

    def keep(self, needs: Collection[Needs]) -> None:
        """Forget who serves other needs than these."""
        self._serving = {each: found for each, found in self._serving.items() if each in needs}


class Free:
    """The CSs that may be given something, fastest first."""

    def __init__(self, servers: Iterable[str], suited: Suited) -> None:
        self._servers = [(cs, suited.bits((cs,))) for cs in servers]
        self._bits = suited.bits(cs for cs, _ in self._servers)

    def __bool__(self) -> bool:
        return bool(self._servers)

    def take(self, among: Bits) -> str | None:
        """The fastest of these, which is free no more; None when none of them is."""
        if self._bits & among:
            for index, (cs, bit) in enumerate(self._servers):
                if bit & among:
                    del self._servers[index]
                    self._bits &= ~bit
                    return cs
        return None
