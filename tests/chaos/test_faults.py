"""The schedule of faults and the jobs of a run follow from the seed, and are as the page describes them."""

from __future__ import annotations

import itertools
from collections import defaultdict

from faults import SHAPES, Fault, Kind, schedule
from hypothesis import given
from hypothesis import strategies as st
from load import CLIENT, FILE, orders

HOSTS = ["ws", "lus1", "cs1", "cs2"]

seeds = st.integers(0, 2**32)
lengths = st.floats(10, 2_000)


@given(seeds, lengths)
def test_a_seed_says_everything(seed: int, seconds: float) -> None:
    """The same seed gives the same run."""
    assert schedule(seed, HOSTS, seconds, 1.5) == schedule(seed, HOSTS, seconds, 1.5)
    assert orders(seed, 100, seconds) == orders(seed, 100, seconds)


@given(seeds, lengths)
def test_faults_are_in_time_and_are_over_at_the_end(seed: int, seconds: float) -> None:
    """Each begins within the run, is undone within it, and is of a size that its kind allows."""
    faults = schedule(seed, HOSTS, seconds, 1.5)
    assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
    for fault in faults:
        low, high = SHAPES[fault.kind].amount
        assert 0 <= fault.at <= fault.until <= seconds + 1e-6
        assert low <= fault.amount <= high


@given(seeds, lengths)
def test_nothing_is_broken_twice(seed: int, seconds: float) -> None:
    """A host's process, cable, disk or clock has one fault at a time."""
    by_organ: dict[tuple[str, str], list[Fault]] = defaultdict(list)
    for fault in schedule(seed, HOSTS, seconds, 0.2):
        by_organ[fault.host, fault.organ].append(fault)
    for faults in by_organ.values():
        assert all(one.until < other.at for one, other in itertools.pairwise(faults))


def test_every_kind_comes_to_every_host() -> None:
    """A long run leaves nothing out."""
    faults = schedule(1, HOSTS, 3_600, 1.5)
    assert {(fault.kind, fault.host) for fault in faults} == {(kind, host) for kind in Kind for host in HOSTS}


@given(seeds, st.integers(1, 5_000), lengths)
def test_the_jobs_have_as_many_tasks_as_asked(seed: int, tasks: int, seconds: float) -> None:
    """In both ways, within the time."""
    made = orders(seed, tasks, seconds)
    assert sum(order.tasks for order in made) == tasks
    assert all(0 <= order.at <= seconds for order in made)
    assert {order.way for order in made} <= {CLIENT, FILE}
