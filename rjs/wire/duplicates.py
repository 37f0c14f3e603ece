"""Which of two sessions between the same two servers stays. Pure: both servers come to the same answer by themselves.

    if newcomer.standing.supersedes(current.standing): ...

Dials are numbered, and each side's next number is above every one that it has sent or seen: so a side that dials
because it lost a session supersedes what the other still takes for alive, and only dials that cross on the way need
the tie: the one with the higher number stays, of equal ones the one whose dialler has the lower id.
"""

from __future__ import annotations

import attrs

_HIGHEST_BELIEVED = 2**53
"""A peer's number above this is a lie that must not use up ours: it goes to 2^63."""


@attrs.frozen
class Standing:
    """One session as either end sees it: which start of the peer it leads to, its dial's number, who dialled it."""

    peer_boot: int
    dial: int
    dialler: str

    def supersedes(self, older: Standing) -> bool:
        """Whether this session, opened after ``older`` here, stays and ``older`` gives way. A newer start of the peer
        comes first: what led to the process before it is dead, whoever dialled it."""
        one, two = (self.peer_boot, self.dial), (older.peer_boot, older.dial)
        return one > two or (one == two and self.dialler <= older.dialler)


class DialNumbers:
    """The numbers of one process's dials."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """A number for a dial: above all before it."""
        self._last += 1
        return self._last

    def seen(self, number: int) -> None:
        """A peer dialled us with this one: what is dialled from now on comes after it."""
        self._last = max(self._last, min(number, _HIGHEST_BELIEVED))
