"""Which processes are below one, and what they use, of real processes and of made-up trees."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs.spawner import proctree
from cs.spawner.proctree import Census, MemoryGauge, Process, ProcessTree, read_process
from rjs.limits import MIB


@pytest.fixture
def family() -> Iterator[tuple[int, int]]:
    """A living child and grandchild of the test."""
    with subprocess.Popen(
        ["/bin/sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        grandchild = int(child.stdout.readline())
        yield child.pid, grandchild
        os.kill(grandchild, signal.SIGKILL)  # the shell waits for it, then ends


def test_descendants_are_found_and_strangers_are_not(family: tuple[int, int]) -> None:
    """Child and grandchild, again in a second look that remembers strangers, and nobody else."""
    tree = ProcessTree(os.getpid())
    for _ in range(3):
        assert {process.pid for process in tree.below()} == set(family)


def test_a_child_that_is_not_accepted_hides_its_descendants(family: tuple[int, int]) -> None:
    """The filter looks at children only and decides for all below them."""
    assert list(ProcessTree(os.getpid(), lambda child: child.pid != family[0]).below()) == []


def test_a_name_with_brackets_and_spaces_is_read_correctly() -> None:
    """A program may call itself anything; its parent is still its parent."""
    code = "with open('/proc/self/comm', 'w') as name: name.write(') Z 1 1 1 (')\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        process = read_process(child.pid)
        assert process is not None
        assert (process.parent, process.lives) == (os.getpid(), True)
        child.kill()


def test_a_process_that_is_gone_is_none() -> None:
    """Not an error: processes come and go while we look."""
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert read_process(child.pid) is None


@given(
    parents=st.lists(st.integers(min_value=-1, max_value=19), min_size=20, max_size=20),
    looks=st.integers(1, 3),
)
def test_any_table_of_parents_is_judged_as_by_following_them(parents: list[int], looks: int) -> None:
    """Vanished parents and circles included: below the root is whoever reaches it through living parents."""
    numbers = [number + 100 for number in range(20)]
    root = 100
    table = {
        pid: Process(pid, "S", parent + 100, 1, 1)
        for pid, parent in zip(numbers, parents, strict=True)
        if parent >= 0
    }

    def reaches_root(pid: int) -> bool:
        seen: set[int] = set()
        while pid in table and pid not in seen and pid != root:
            seen.add(pid)
            pid = table[pid].parent
            if pid == root:
                return True
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "listdir", lambda path: [str(pid) for pid in table])
        patch.setattr(proctree, "read_process", table.get)
        tree = ProcessTree(root)
        for _ in range(looks):
            below = {process.pid for process in tree.below()}
            assert below == {pid for pid in table if pid != root and reaches_root(pid)}


def test_memory_under_the_limit_is_the_resident_sum() -> None:
    """The cheap figure, when it is enough."""
    me = read_process(os.getpid())
    assert me is not None
    size = MemoryGauge(1 << 50).measure([me])
    assert size > 10 * MIB


def test_memory_over_the_limit_is_measured_exactly() -> None:
    """The proportional figure is never more than the resident one, and no less than what only we have."""
    me = read_process(os.getpid())
    assert me is not None
    resident = MemoryGauge(1 << 50).measure([me])
    exact = MemoryGauge(1).measure([me])
    assert 5 * MIB < exact <= resident


def test_a_dead_process_uses_nothing() -> None:
    """A zombie holds no memory, and one that is gone is not an error."""
    assert MemoryGauge(1).measure([Process(2**22 + 1, "S", 1, 1, 1)]) == 0


def test_the_census_counts_threads_of_this_account() -> None:
    """At least our own, and a second question costs nothing."""
    census = Census()
    before = census.threads()
    assert before >= 1
    assert census.threads() == before
