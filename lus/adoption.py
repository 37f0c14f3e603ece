"""What compute servers told of that this LUS does not know, until the WS has said whose it is. Pure.

A LUS that was restarted knows none of the attempts that its CSs run; one to which a CS fell over knows none of that
CS's; and of a lease that the WS calls ended it does not know whether its task has. Each CS is asked about at once,
and again on every new session with the WS, for as long as it is here.
"""

from __future__ import annotations

from collections.abc import Iterable

from lus import limits
from lus.instructions import Adopt
from rjs.attempts import AttemptId
from rjs.limits import ADOPTED


class Adoption:
    """The attempts that were asked for, by CS."""

    def __init__(self) -> None:
        self._asked: dict[str, dict[AttemptId, None]] = {}
        self._whole: set[str] = set()
        self._count = 0

    def ask(self, cs: str, attempts: Iterable[AttemptId], *, came: bool) -> Adopt:
        """Ask for these too. ``came``: the CS is new here, and has nothing else that is unknown."""
        if came:
            self.forget(cs)
        asked = self._asked.setdefault(cs, {})
        whole = came
        for attempt in dict.fromkeys(attempts):
            if attempt in asked:
                continue
            if len(asked) >= ADOPTED or self._count >= limits.ASKED:
                whole = False
                break
            asked[attempt] = None
            self._count += 1
        if whole:
            self._whole.add(cs)
        return self.again(cs)

    def again(self, cs: str) -> Adopt:
        """The request about this CS, as it stands."""
        return Adopt(cs, tuple(self._asked[cs]), cs in self._whole)

    def is_asked(self, cs: str) -> bool:
        """Whether the WS has yet to say something about this CS."""
        return cs in self._asked

    def answered(self, cs: str, attempts: Iterable[AttemptId]) -> list[AttemptId]:
        """The WS replied to a request for these; those of them that are still asked for."""
        asked = self._asked.get(cs, {})
        found = [each for each in attempts if each in asked]
        for each in found:
            del asked[each]
        self._count -= len(found)
        if not asked:
            self.forget(cs)
        return found

    def forget(self, cs: str) -> None:
        """It is gone, or another process than the one that told of it."""
        self._count -= len(self._asked.pop(cs, ()))
        self._whole.discard(cs)

    def leases(self) -> list[int]:
        """The leases asked for: to be renewed like those held, for they may be ours already."""
        return [attempt.fence.lease for asked in self._asked.values() for attempt in asked]
