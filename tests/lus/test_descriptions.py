"""How often a LUS hears a compute server describe itself: nothing that counts is lost, and no flood costs more."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import CS1, CS2, attempt, cs_state
from twisted.internet.task import Clock

from lus.descriptions import Descriptions
from lus.limits import DESCRIBED
from rjs.attempts import AttemptId
from rjs.wire.messages import CsState
from rjs.wire.session import Session


class One:
    """A session, as far as its peer's name goes."""

    def __init__(self, cs: str) -> None:
        self.peer = SimpleNamespace(name=SimpleNamespace(id=cs))


ONE, OTHER = cast(Session, One(CS1)), cast(Session, One(CS2))


class Listener:
    """Whoever hears; CS1 was given attempts 1 to 3."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.heard: list[tuple[Any, ...]] = []
        self.descriptions = Descriptions(cast(Any, self.clock), self.hear, self.gave)

    def hear(self, session: Session, state: CsState, ran: Collection[AttemptId]) -> None:
        self.heard.append((session.peer.name.id, state.trust_epoch, *ran))

    def gave(self, cs: str, given: AttemptId) -> bool:
        return cs == CS1 and given.fence.lease <= 3

    def say(self, number: int, session: Session = ONE, *running: AttemptId) -> None:
        self.descriptions.say(session, cs_state(epoch=number, running=running))


@pytest.fixture
def listener() -> Listener:
    return Listener()


def test_a_flood_is_heard_now_and_then(listener: Listener) -> None:
    """Of a thousand words in a second ten are heard, the first at once and the last at last; others wait for none."""
    for number in range(1000):
        listener.say(number)
        listener.clock.advance(0.001)
    listener.say(7, OTHER)
    listener.clock.advance(DESCRIBED)
    mine = [number for cs, number in listener.heard if cs == CS1]
    assert mine[0] == 0 and mine[-1] == 999 and len(mine) <= 12
    assert (CS2, 7) in listener.heard
    listener.clock.advance(DESCRIBED)
    assert not listener.clock.getDelayedCalls()


def test_what_it_ran_meanwhile_is_told(listener: Listener) -> None:
    """An attempt that it said it ran, in words that another overtook, is told with those; made-up ones are not."""
    listener.say(1)
    listener.say(2, ONE, attempt(1))
    listener.say(3, ONE, attempt(2), attempt(4))
    listener.say(4, ONE, attempt(3))
    listener.say(5)
    listener.clock.advance(DESCRIBED)
    assert listener.heard == [(CS1, 1), (CS1, 5, attempt(1), attempt(2), attempt(3))]


def test_the_order_of_its_words_is_kept(listener: Listener) -> None:
    """What a CS says of itself is heard before what it says next, and once."""
    listener.descriptions.settle(None)
    listener.descriptions.settle(ONE)
    listener.say(1)
    listener.say(2)
    listener.descriptions.settle(ONE)
    assert listener.heard == [(CS1, 1), (CS1, 2)]
    listener.descriptions.settle(ONE)
    listener.clock.advance(DESCRIBED)
    assert listener.heard == [(CS1, 1), (CS1, 2)]


def test_a_lost_session_is_not_heard(listener: Listener) -> None:
    """After its end nothing of it counts any more: the next one tells all anew."""
    listener.say(1)
    listener.say(2)
    listener.descriptions.forget(ONE)
    listener.descriptions.forget(ONE)
    assert listener.heard == [(CS1, 1)] and not listener.clock.getDelayedCalls()
