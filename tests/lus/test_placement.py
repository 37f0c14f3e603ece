"""Which CS gets a task."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus import limits
from lus.placement import Candidate, Demand, Place, Unplaceable, Wait, choose
from rjs.limits import GIB, MIB
from rjs.needs import Needs, Offer, Platform, lack

OFFER = Offer(
    memory=GIB,
    cores=4,
    disk=2 * GIB,
    platform=Platform("linux", "x86_64"),
    python="3.11.7",
    java="17.0.9",
    wall_time=7200,
    cpu_time=7200,
    processes=64,
    descriptors=1024,
    files=10_000,
)
FAST = Candidate("1", "fast", 200.0, OFFER, free=True)
SLOW = Candidate("2", "slow", 100.0, OFFER, free=True)
TASK = Demand(Needs(), frozenset(), 0.0)


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
    failed = Demand(Needs(), {"1"}, 1000.0)
    assert choose(failed, [FAST, SLOW]) == Place("2")
    assert choose(failed, [FAST, busy(SLOW)]) == Wait(None)


def test_the_same_one_is_tried_when_there_has_been_no_other() -> None:
    """Not at once: another one may come."""
    early, late = (Demand(Needs(), {"1"}, limits.SAME_CS_AFTER + extra) for extra in (-0.5, 0.0))
    assert choose(early, [FAST]) == Wait(0.5)
    assert choose(late, [FAST]) == Place("1")
    assert choose(late, [busy(FAST)]) == Wait(None)


def test_nobody_there_is_said_so() -> None:
    """Without a CS nothing can be placed."""
    assert choose(TASK, []) == Unplaceable("no-cs", "no compute server is registered here")


def test_refusals_are_summed_up() -> None:
    """Each reason once, with who gave it, however many they are."""
    refusing = [Candidate(str(n), f"cs{n}", 1.0, OFFER, True, "not-trusted: no") for n in range(1000)]
    refusing.append(attrs.evolve(FAST, refusal="cannot-start: full"))
    assert choose(TASK, refusing) == Unplaceable(
        "not-accepted", "fast: cannot-start: full; 1000 compute servers: not-trusted: no"
    )


def offering(candidate: Candidate, **changed: Any) -> Candidate:
    return attrs.evolve(candidate, offer=msgspec.structs.replace(candidate.offer, **changed))


@pytest.mark.parametrize(
    ("needs", "code", "sentence"),
    [
        (Needs(memory=2 * GIB), "needs-memory", "it needs 2,048 MiB of memory, 1,024 MiB are given"),
        (Needs(disk=3 * GIB), "needs-disk", "it needs 3,072 MiB of disk, 2,048 MiB are given"),
        (Needs(cores=5), "needs-cores", "it needs 5 cores, 4 are given"),
        (
            Needs(platforms=(Platform("macos"),)),
            "needs-platform",
            "it is for macos-any; this is linux-x86_64",
        ),
        (Needs(python=">=3.12"), "needs-python", "it needs Python >=3.12; 3.11.7 is there"),
        (Needs(java=">=21"), "needs-java", "it needs Java >=21; 17.0.9 is there"),
        (
            Needs(wall_time=7201),
            "needs-wall-time",
            "it needs 7,201 s of time by the clock, 7,200 are given",
        ),
        (Needs(cpu_time=8000), "needs-cpu-time", "it needs 8,000 s of processor time, 7,200 are given"),
        (Needs(processes=65), "needs-processes", "it needs 65 processes, 64 are given"),
        (Needs(descriptors=2000), "needs-descriptors", "it needs 2,000 open files, 1,024 are given"),
        (Needs(files=10_001), "needs-files", "it needs 10,001 files on disk, 10,000 are given"),
        (
            Needs(sandbox="namespaces"),
            "needs-sandbox",
            "it needs a sandbox ('namespaces'); there is none",
        ),
    ],
)
def test_each_need_is_met_or_said(needs: Needs, code: str, sentence: str) -> None:
    """Whoever lacks what a task needs does not get it, and the sentence names what is lacking and where."""
    demand = Demand(needs, (), 0.0)
    assert choose(demand, [FAST]) == Unplaceable(code, f"fast: {sentence}")
    better = offering(
        SLOW,
        memory=4 * GIB,
        disk=4 * GIB,
        cores=8,
        platform=Platform("macos", "aarch64"),
        python="3.12.1",
        java="21",
        wall_time=0,
        cpu_time=9000,
        processes=0,
        descriptors=4096,
        files=20_000,
        sandbox="namespaces",
    )
    assert choose(demand, [FAST, better]) == Place("2")
    assert choose(demand, [FAST, busy(better)]) == Wait(None)


def test_a_level_of_another_release_is_no_promise() -> None:
    """What this release does not know neither serves a job that needs a sandbox, nor hinders one that needs none."""
    better = msgspec.structs.replace(OFFER, sandbox="moon")
    assert lack(Needs(), better) is None
    for needed in ("namespaces", "moon"):
        found = lack(Needs(sandbox=needed), better)
        assert found is not None and found.code == "needs-sandbox"


def test_what_a_thousand_lack_is_one_sentence() -> None:
    """Of amounts the best is named, what is alike is said once, and the code is what most of them lack."""
    small = [offering(attrs.evolve(SLOW, cs=str(n)), memory=n * MIB) for n in range(400)]
    other = [
        offering(attrs.evolve(SLOW, cs=f"w{n}"), platform=Platform("windows", "x86_64")) for n in range(600)
    ]
    demand = Demand(Needs(platforms=(Platform("linux"),)), (), 0.0)
    assert choose(demand, [*small, *other, attrs.evolve(FAST, refusal="not-trusted: no")]) == Unplaceable(
        "needs-platform",
        "400 compute servers, at best: it needs 512 MiB of memory, 399 MiB are given; "
        "600 compute servers: it is for linux-any; this is windows-x86_64; fast: not-trusted: no",
    )


platforms = st.builds(Platform, st.sampled_from(["linux", "macos"]), st.sampled_from(["x86_64", "aarch64"]))
versions = st.sampled_from(["3.11.7", "3.12.0", ""])
demands = st.builds(
    Needs,
    memory=st.integers(0, 100),
    disk=st.just(0),
    platforms=st.lists(platforms, max_size=2).map(tuple),
    python=st.sampled_from(["", ">=3.12"]),
)
candidates = st.builds(
    Candidate,
    st.uuids().map(str),
    st.just("cs"),
    st.floats(0, 1e6),
    st.builds(Offer, memory=st.integers(0, 100), cores=st.just(1), platform=platforms, python=versions),
    st.booleans(),
    st.sampled_from(["", "no"]),
)


@given(st.lists(candidates, max_size=8), demands, st.data())
def test_whoever_gets_it_suits(live: list[Candidate], needs: Needs, data: st.DataObject) -> None:
    """A chosen CS is free, willing and offers what is needed, and nobody faster who has not failed it is; the order
    in which the CSs are listed does not matter."""
    avoid = data.draw(st.sets(st.sampled_from([each.cs for each in live]))) if live else set()
    demand = Demand(needs, avoid, data.draw(st.sampled_from([0.0, 100.0])))
    choice = choose(demand, live)
    assert choose(demand, data.draw(st.permutations(live))) == choice
    suits = [each for each in live if each.free and not each.refusal and lack(needs, each.offer) is None]
    fresh = [each for each in suits if each.cs not in avoid]
    if isinstance(choice, Place):
        (chosen,) = [each for each in suits if each.cs == choice.cs]
        assert chosen.mflops == max(each.mflops for each in fresh or suits)
    else:
        assert not fresh
