"""Which CS gets a task."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from lus import limits
from lus.placement import Candidate, Demand, Place, Unplaceable, Wait, choose

FAST = Candidate("1", "fast", 200.0, 100, free=True)
SLOW = Candidate("2", "slow", 100.0, 100, free=True)
TASK = Demand(50, frozenset(), 0.0)


def busy(candidate: Candidate) -> Candidate:
    return attrs.evolve(candidate, free=False)


def test_the_fastest_free_one_gets_it() -> None:
    """Speed decides among the free ones, and the lower id among equals."""
    assert choose(TASK, [SLOW, FAST]) == Place("1")
    assert choose(TASK, [SLOW, busy(FAST)]) == Place("2")
    assert choose(TASK, [attrs.evolve(FAST, cs="3"), FAST]) == Place("1")


def test_a_task_waits_for_a_busy_one() -> None:
    """Somebody suits, and will be free."""
    assert choose(TASK, [busy(FAST)]) == Wait(None)


def test_a_task_goes_elsewhere_after_a_failure() -> None:
    """A slower CS, even one that is busy yet, is better than the one where it failed."""
    failed = Demand(50, {"1"}, 1000.0)
    assert choose(failed, [FAST, SLOW]) == Place("2")
    assert choose(failed, [FAST, busy(SLOW)]) == Wait(None)


def test_the_same_one_is_tried_when_there_has_been_no_other() -> None:
    """Not at once: another one may come."""
    early, late = (Demand(50, {"1"}, limits.SAME_CS_AFTER + extra) for extra in (-0.5, 0.0))
    assert choose(early, [FAST]) == Wait(0.5)
    assert choose(late, [FAST]) == Place("1")
    assert choose(late, [busy(FAST)]) == Wait(None)


def test_nobody_there_is_said_so() -> None:
    """Without a CS nothing can be placed."""
    assert choose(TASK, []) == Unplaceable("no-cs", "no compute server is registered here")


def test_refusals_are_summed_up() -> None:
    """Each reason once, with who gave it, however many they are."""
    refusing = [Candidate(str(n), f"cs{n}", 1.0, 100, True, "not-trusted: no") for n in range(1000)]
    refusing.append(attrs.evolve(FAST, refusal="cannot-start: full"))
    assert choose(TASK, refusing) == Unplaceable(
        "not-accepted", "fast: cannot-start: full; 1000 compute servers: not-trusted: no"
    )


def test_too_little_memory_is_said_so() -> None:
    """The largest of those who would take it is named."""
    assert choose(
        Demand(200 << 20, (), 0.0), [attrs.evolve(FAST, memory=100 << 20), attrs.evolve(SLOW, refusal="x")]
    ) == (
        Unplaceable(
            "needs-memory", "it needs 200 MiB of memory; the largest compute server to take it has 100 MiB"
        )
    )


candidates = st.builds(
    Candidate,
    st.uuids().map(str),
    st.just("cs"),
    st.floats(0, 1e6),
    st.integers(0, 100),
    st.booleans(),
    st.sampled_from(["", "no"]),
)


@given(st.lists(candidates, max_size=8), st.integers(0, 100), st.data())
def test_whoever_gets_it_suits(live: list[Candidate], memory: int, data: st.DataObject) -> None:
    """A chosen CS is free, willing and large enough, and nobody faster who has not failed it is; the order in
    which the CSs are listed does not matter."""
    avoid = data.draw(st.sets(st.sampled_from([each.cs for each in live]))) if live else set()
    demand = Demand(memory, avoid, data.draw(st.sampled_from([0.0, 100.0])))
    choice = choose(demand, live)
    assert choose(demand, data.draw(st.permutations(live))) == choice
    suits = [each for each in live if each.free and not each.refusal and each.memory >= memory]
    fresh = [each for each in suits if each.cs not in avoid]
    if isinstance(choice, Place):
        (chosen,) = [each for each in suits if each.cs == choice.cs]
        assert chosen.mflops == max(each.mflops for each in fresh or suits)
    else:
        assert not fresh
