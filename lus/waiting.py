"""The leases that wait for a CS: alike ones together, so that a thousand of them are one question. Pure.

Alike are tasks of one job that avoid the same CSs. Groups take turns: a large job keeps no small one waiting.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

Kind = tuple[str, frozenset[str]]
"""A job's id, and the CSs to avoid."""


class Waiting:
    """Lease numbers by kind, each kind in the order in which its leases came. Iterating yields the numbers."""

    def __init__(self) -> None:
        self._groups: OrderedDict[Kind, dict[int, None]] = OrderedDict()
        self._kind: dict[int, Kind] = {}

    def __len__(self) -> int:
        return len(self._kind)

    def __iter__(self) -> Iterator[int]:
        return iter(self._kind)

    def add(self, number: int, kind: Kind) -> None:
        """A lease waits, last of its kind."""
        self._kind[number] = kind
        self._groups.setdefault(kind, {})[number] = None

    def remove(self, number: int) -> None:
        """It waits no more; unknown numbers are fine."""
        kind = self._kind.pop(number, None)
        if kind is not None:
            group = self._groups[kind]
            del group[number]
            if not group:
                del self._groups[kind]

    def kinds(self) -> tuple[Kind, ...]:
        """All kinds, in turn."""
        return tuple(self._groups)

    def of(self, kind: Kind) -> tuple[int, ...]:
        """The leases of a kind, in order."""
        return tuple(self._groups.get(kind, ()))

    def had_its_turn(self, kind: Kind) -> None:
        """The others come first now."""
        if kind in self._groups:
            self._groups.move_to_end(kind)
