"""What a task may use, and what is said of one that used more."""

from __future__ import annotations

from typing import get_args

import pytest

from cs.allowance import hit_words, limits_of, without_the_bundle
from cs.spawner.folder import Count
from cs.spawner.messages import LimitHit, LimitName
from rjs.limits import GIB, MIB
from rjs.needs import Needs, Offer

OFFER = Offer(memory=GIB, cores=4, disk=GIB)


def test_what_is_not_stated_has_a_default() -> None:
    """Processor time is all that there can be within the wall time, on all the processors that are given."""
    allowed = limits_of(Needs(wall_time=100), OFFER)
    assert (allowed.processes, allowed.descriptors, allowed.files) == (256, 1024, 100_000)
    assert (allowed.cpu_time, allowed.wall_time, allowed.memory) == (400, 100, 512 * MIB)


def test_the_owner_bounds_what_is_not_stated() -> None:
    """The smaller of default and bound holds; what is stated was compared before, and holds as it is."""
    bounds = Offer(cores=4, cpu_time=50, processes=10, descriptors=2000, files=7)
    allowed = limits_of(Needs(wall_time=100), bounds)
    assert (allowed.cpu_time, allowed.processes, allowed.descriptors, allowed.files) == (50, 10, 1024, 7)
    stated = limits_of(Needs(cpu_time=20, processes=3, descriptors=1500, files=5), bounds)
    assert (stated.cpu_time, stated.processes, stated.descriptors, stated.files) == (20, 3, 1500, 5)


def test_the_bundles_own_files_are_not_the_tasks() -> None:
    """They are allowed beside what is stated, and taken off again where a hit is told."""
    unpacked = Count(300 * MIB, 40)
    allowed = limits_of(Needs(disk=20 * MIB, files=10), OFFER, unpacked)
    assert (allowed.disk, allowed.files, allowed.file_size) == (320 * MIB, 50, 20 * MIB)
    hit = without_the_bundle(LimitHit("disk", allowed.disk, 321 * MIB), unpacked)
    assert hit == LimitHit("disk", 20 * MIB, 21 * MIB)
    assert without_the_bundle(LimitHit("memory", 1, 2), unpacked) == LimitHit("memory", 1, 2)


@pytest.mark.parametrize("name", get_args(LimitName))
def test_every_limit_has_words(name: LimitName) -> None:
    """What was used, of what, after how long, and what to do."""
    words = hit_words(LimitHit(name, 2 * GIB, 2.1 * GIB), 40.04)
    assert words.startswith("killed: used ") and " after 40 s; " in words
    assert "needs." in words or name == "output"


def test_the_words_of_memory() -> None:
    """As a person compares them with what the descriptor states."""
    assert hit_words(LimitHit("memory", 2 * GIB, 2.1 * GIB), 40.0) == (
        "killed: used 2,150.4 MiB of 2,048.0 MiB of memory after 40 s; raise needs.memory"
    )
