"""Ranks by what machines do: honest ones keep theirs, liars lose it, noise moves nobody."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lus import limits
from lus.measured_speed import MeasuredSpeeds, settled

Seconds = Callable[[random.Random, float], float]
"""How long one task takes on a machine of this true speed."""


def even(chance: random.Random, speed: float) -> float:
    """Work for 10 s on a machine of 100 MFLOPS, ± a few percent."""
    return 1000.0 / speed * chance.gauss(1.0, 0.03)


def noisy(chance: random.Random, speed: float) -> float:
    """Owners, caches and sizes make a third more or less of it, and sometimes much more."""
    return 1000.0 / speed * chance.lognormvariate(0.0, 0.3) * (5.0 if chance.random() < 0.05 else 1.0)


def uneven(chance: random.Random, speed: float) -> float:
    """Tasks of very different sizes: a tenth of the work, or ten times."""
    return 1000.0 / speed * chance.lognormvariate(0.0, 1.5)


class Cluster:
    """Machines with their true speeds, and what they state if that is something else."""

    def __init__(
        self, true: Mapping[str, float], stated: Mapping[str, float] | None = None, seed: int = 1
    ) -> None:
        self.true, self.stated = dict(true), {**true, **(stated or {})}
        self.chance, self.now = random.Random(seed), 0.0
        self.speeds = MeasuredSpeeds()

    def run(self, tasks: int, seconds: Seconds = even, job: str = "job") -> None:
        """So many tasks of a job on each."""
        for _ in range(tasks):
            for cs, speed in self.true.items():
                self.now += limits.JUDGED / len(self.true)
                self.speeds.took(cs, job, seconds(self.chance, speed), self.now)
            self.speeds.judge(self.stated, self.now)

    def ranks(self) -> list[str]:
        return sorted(self.stated, key=lambda cs: (-self.speeds.of(cs, self.stated[cs]), cs))


HONEST = {"a": 400.0, "b": 390.0, "c": 200.0, "d": 100.0, "e": 95.0}


@pytest.mark.parametrize("seconds", [even, noisy, uneven])
@pytest.mark.parametrize("seed", range(5))
def test_honest_machines_keep_their_rank(seconds: Seconds, seed: int) -> None:
    """After every task of several jobs, whatever the noise: neighbours of almost the same speed too."""
    cluster = Cluster(HONEST, seed=seed)
    for job in range(4):
        for _ in range(40):
            cluster.run(1, seconds, f"job {job}")
            assert cluster.ranks() == list("abcde")
            assert cluster.speeds.of("a", 400.0) == 400.0


@pytest.mark.parametrize("seconds", [even, noisy])
def test_a_liar_is_ranked_behind_those_that_are_faster(seconds: Seconds) -> None:
    """Who states ten times its speed comes first, until TASKS_TO_JUDGE tasks on each have shown it."""
    cluster = Cluster(HONEST | {"liar": 80.0}, {"liar": 800.0})
    cluster.run(limits.TASKS_TO_JUDGE - 1, seconds)
    assert cluster.ranks()[0] == "liar"
    cluster.run(1, seconds)
    assert cluster.ranks()[:3] == list("abc")
    assert cluster.speeds.of("liar", 800.0) < 2 * 80.0
    cluster.run(30, seconds)
    assert cluster.ranks()[:3] == list("abc")


def test_a_lone_liar_beside_one_honest_machine_is_found() -> None:
    """Of two, the one that claims more than it does: the other's claim is the measure."""
    cluster = Cluster({"honest": 300.0, "liar": 100.0}, {"liar": 1000.0})
    cluster.run(limits.TASKS_TO_JUDGE)
    assert cluster.ranks() == ["honest", "liar"]
    assert cluster.speeds.of("honest", 300.0) == 300.0


def test_a_greater_lie_gains_nothing() -> None:
    """Neither at once nor after the next comparison: what was shown bounds the rank."""
    cluster = Cluster(HONEST | {"liar": 80.0}, {"liar": 800.0})
    cluster.run(20)
    bound = cluster.speeds.of("liar", 800.0)
    cluster.stated["liar"] = 8e9
    assert cluster.speeds.of("liar", 8e9) == bound
    cluster.run(20)
    assert cluster.speeds.of("liar", 8e9) < 2 * 80.0


def test_nobody_is_ranked_above_what_it_states() -> None:
    """A machine that is quicker than it says stays where it put itself, and pulls no honest one down."""
    cluster = Cluster(HONEST | {"modest": 1000.0}, {"modest": 1.0})
    cluster.run(20)
    assert cluster.speeds.of("modest", 1.0) == 1.0
    assert cluster.ranks() == [*"abcde", "modest"]


def test_a_few_that_answer_nonsense_at_once_move_nobody_else() -> None:
    """The measure is the one in the middle: two of seven cannot make five honest ones look slow."""
    cluster = Cluster(HONEST | {"x": 90.0, "y": 90.0})

    def seconds(chance: random.Random, speed: float) -> float:
        return 1.0 if speed == 90.0 else even(chance, speed)

    cluster.run(30, seconds)
    assert cluster.ranks() == [*"abcde", "x", "y"]


def test_short_tasks_say_nothing() -> None:
    """Where starting a task takes longer than the task, all machines seem alike, and the fast ones liars."""
    cluster = Cluster(HONEST)
    cluster.run(40, lambda chance, speed: 0.05)
    assert cluster.ranks() == list("abcde")
    cluster.run(40, lambda chance, speed: 2.0, "io")
    assert cluster.speeds.of("a", 400.0) < 400.0, "long tasks that are as slow everywhere do show it"


def test_one_job_in_three_decides_nothing() -> None:
    """Tasks that wait for a disk take as long everywhere; while most jobs compute, fast machines keep their rank."""
    cluster = Cluster(HONEST)
    cluster.run(20, even, "sums")
    cluster.run(20, even, "more sums")
    cluster.run(20, lambda chance, speed: 2.0, "waits")
    assert cluster.ranks() == list("abcde")
    assert cluster.speeds.of("a", 400.0) == 400.0


def test_what_was_shown_is_forgotten_slowly() -> None:
    """Without new tasks a liar stays where it is for a day, through restarts and other jobs' first tasks."""
    cluster = Cluster(HONEST | {"liar": 80.0}, {"liar": 800.0})
    cluster.run(20)
    shown_at = cluster.now
    for number in range(2 * limits.JOBS_TIMED):
        cluster.run(1, even, f"other {number}")
    assert cluster.ranks()[0] == "a"
    cluster.speeds.judge(cluster.stated, shown_at + limits.SPEED_FORGOTTEN / 2)
    assert cluster.ranks()[0] == "a"
    cluster.speeds.judge(cluster.stated, cluster.now + limits.SPEED_FORGOTTEN)
    assert cluster.ranks()[0] == "liar"


def test_a_machine_that_was_mended_comes_back() -> None:
    """Its newest tasks count, and those of a new job at once."""
    cluster = Cluster(HONEST | {"hot": 100.0}, {"hot": 800.0})
    cluster.run(20)
    assert cluster.speeds.of("hot", 800.0) < 800.0
    cluster.true["hot"] = 800.0
    cluster.run(limits.TASKS_TIMED)
    assert cluster.speeds.of("hot", 800.0) == 800.0


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By servers, jobs and tasks: the oldest go."""
    monkeypatch.setattr(limits, "SPEEDS_KEPT", 3)
    speeds = MeasuredSpeeds()
    for number in range(100):
        for task in range(2 * limits.TASKS_TIMED):
            speeds.took(f"cs{number % 5}", f"job{number}", 2.0, float(task))
    assert len(speeds._servers) == 3
    assert all(len(each.jobs) <= limits.JOBS_TIMED for each in speeds._servers.values())
    assert {len(d.seconds) for each in speeds._servers.values() for d in each.jobs.values()} == {
        limits.TASKS_TIMED
    }


@given(st.floats(1e-300, 1.0), st.integers(0, 60))
def test_a_correction_is_settled(shown: float, halved: int) -> None:
    """It never ranks below what was shown, and what was shown again does not move it."""
    times = settled(halved, shown)
    assert settled(times, shown) == times
    if times > halved or halved == 0:
        assert 2.0**-times >= shown
    assert times >= 0


@given(st.lists(st.tuples(
    st.sampled_from("abc"), st.sampled_from("xy"), st.floats(0, 1e9), st.sampled_from([0.0, 1e-300, 1.0, 1e12]),
), max_size=80))  # fmt: skip
def test_whatever_is_said_the_rank_is_at_most_what_is_stated(
    said: list[tuple[str, str, float, float]],
) -> None:
    """Times of nothing and speeds of nothing are met without harm."""
    speeds = MeasuredSpeeds()
    stated: dict[str, float] = {}
    for number, (cs, job, seconds, speed) in enumerate(said):
        stated[cs] = speed
        speeds.took(cs, job, seconds, float(number))
        speeds.judge(stated, number * limits.JUDGED)
        assert all(0 <= speeds.of(each, stated[each]) <= stated[each] for each in stated)
