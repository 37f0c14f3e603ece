"""Which of two sessions stays: the same one at both ends, whoever dialled and in whatever order they opened."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.wire.duplicates import DialNumbers, Standing

LOW, HIGH = "1" * 32, "2" * 32


@pytest.mark.parametrize(
    ("stays", "goes", "why"),
    [
        (Standing(1, 8, LOW), Standing(1, 7, LOW), "the same side dialled again"),
        (
            Standing(1, 8, HIGH),
            Standing(1, 7, LOW),
            "the higher id had seen dial 7 end, and dialled after it",
        ),
        (Standing(1, 8, LOW), Standing(1, 7, HIGH), "the same from the other side"),
        (Standing(1, 7, LOW), Standing(1, 7, HIGH), "two first dials crossed: the lower id's stays"),
        (Standing(2, 1, HIGH), Standing(1, 9, LOW), "the peer was started anew, and counts from 1"),
        (Standing(2, 1, LOW), Standing(1, 9, LOW), "the same where we dialled both"),
    ],
)
def test_one_stays_in_either_order(stays: Standing, goes: Standing, why: str) -> None:
    """Of two sessions the same one stays, whichever opened first here."""
    assert stays.supersedes(goes) and not goes.supersedes(stays), why


def test_a_repeated_number_is_taken_as_newer() -> None:
    """Only a peer that repeats its numbers makes two equal ones; the one that lives now is served."""
    assert Standing(1, 7, LOW).supersedes(Standing(1, 7, LOW))


def test_a_peers_number_comes_before_our_next() -> None:
    """Whoever dials after it has seen a dial has a higher number; a lie about it uses nothing up."""
    numbers = DialNumbers()
    assert [numbers.next(), numbers.next()] == [1, 2]
    numbers.seen(500)
    numbers.seen(3)
    assert numbers.next() == 501
    numbers.seen(2**63 - 1)
    assert numbers.next() < 2**54


@attrs.define
class Side:
    """One server: its numbers, and what it holds for its session with the other, as (dial, dialler)."""

    id: str
    numbers: DialNumbers = attrs.field(factory=DialNumbers)
    current: Standing | None = None

    def opens(self, session: Standing) -> None:
        if self.current is None or session.supersedes(self.current):
            self.current = session


@given(
    rounds=st.lists(
        st.tuples(
            st.sampled_from([(True, False), (False, True), (True, True)]), st.permutations([0, 1, 2, 3])
        ),
        min_size=1,
        max_size=20,
    ),
    low_starts_at=st.integers(0, 5),
)
def test_both_sides_keep_the_same_session(
    rounds: list[tuple[tuple[bool, bool], list[int]]], low_starts_at: int
) -> None:
    """Round after round one or both sides lose the session and dial, maybe at once, while the other still believes in
    the old one; the hellos come in any order, and in the end both hold the same session, never the lost one."""
    low, high = Side(LOW), Side(HIGH)
    low.numbers.seen(low_starts_at)
    for diallers, order in rounds:
        before = {low.current, high.current} - {None}
        sessions = []
        for side, dials in zip((low, high), diallers, strict=True):
            if dials:
                side.current = None
                sessions.append(Standing(1, side.numbers.next(), side.id))
        hellos = list(itertools.product((low, high), sessions))
        for index in order:
            if index < len(hellos):
                side, session = hellos[index]
                if session.dialler != side.id:
                    side.numbers.seen(session.dial)
                side.opens(session)
        assert low.current == high.current and low.current in sessions and low.current not in before
