"""How a LUS's compute servers stand to a job: the same facts and rules as those by which it places tasks."""

from __future__ import annotations

import pytest
from samples import CS1, CS2, A, B, attempt, brief, cs_state

from lus import placement
from lus.board import Board
from lus.instructions import Start
from lus.why import why
from rjs import limits
from rjs.wire.messages import CsReason, LeasedTask, LusJobReasons, LusJobWhy, TaskAdopted, Whereabouts, encode

TRUST = "the owner does not trust CN=ada"


def asked(job: str = A, **more: object) -> LusJobWhy:
    return LusJobWhy(job=job, needs=brief(job).needs, **more)  # type: ignore[arg-type]  # as a test says them


def board(*names: str, **state: object) -> Board:
    """Connected to the WS, with compute servers of these names."""
    made = Board()
    made.ws_opened(0.0)
    made.renewed(0.0, (), 0.0)
    for number, name in enumerate(names, 1):
        made.cs_state(f"{number:032x}", "b", "", cs_state(name=name, **state), True, 0.0)  # type: ignore[arg-type]
        made.adopted(f"{number:032x}", (), TaskAdopted(), 0.0)
    return made


def codes(reply: LusJobReasons) -> dict[str, tuple[str, ...]]:
    return {each.code: each.names for each in reply.servers}


def test_nobody() -> None:
    """Without compute servers there are no reasons of theirs."""
    assert why(board(), asked(), 0.0) == LusJobReasons()


def test_free() -> None:
    """A CS that would be given the task now is free."""
    assert why(board("cs1"), asked(), 1.0).servers == (
        CsReason(code="free", sentence="it would take it now", names=("cs1",)),
    )


def test_each_reason() -> None:
    """Refusal, lack, an earlier failure, a lost connection, another task: in the order in which placement asks."""
    made = board("cs1", "cs2")
    made.start_refused(CS1, attempt(1), "not-trusted", TRUST, 0.0)  # of no lease of ours: nothing changes
    made.registry.refused(CS1, A, "not-trusted", TRUST, 0.0)
    made.granted(1, brief(B), [LeasedTask(1, 0)], 0.0)
    reply = why(made, asked(), 0.0)
    assert codes(reply) == {"not-trusted": ("cs1",), "free": ("cs2",)}
    assert reply.servers[0].sentence in (TRUST, "it would take it now")
    (runs,) = why(made, asked(B), 0.0).attempts
    assert runs == Whereabouts(0, "starting", "cs1", 0.0)
    assert codes(why(made, asked(B), 0.0)) == {"busy": ("cs1",), "free": ("cs2",)}
    assert codes(why(made, asked(B, avoid=(CS2,)), 0.0)) == {"busy": ("cs1",), "failed-there": ("cs2",)}
    made.cs_lost(CS2)
    assert codes(why(made, asked(B), 0.0)) == {"busy": ("cs1",), "away": ("cs2",)}
    assert codes(why(board("cs1", memory=0), asked(), 0.0)) == {"needs-memory": ("cs1",)}


@pytest.mark.parametrize(
    ("job", "words"), [(A, "another task of this job"), (B, "a task of another job")], ids=["own", "other"]
)
def test_what_a_busy_one_runs(job: str, words: str) -> None:
    """Whether it is this job's is said; whose else it is, is not."""
    made = board("cs1")
    made.granted(1, brief(A), [LeasedTask(1, 0)], 0.0)
    (reason,) = why(made, asked(job), 0.0).servers
    assert (reason.code, reason.sentence) == ("busy", f"it runs {words}")


def test_busy_with_something_else() -> None:
    """A CS that says that it is busy and runs nothing has its own reasons."""
    (reason,) = why(board("cs1", busy=True), asked(), 0.0).servers
    assert reason.sentence == "it has something else to do, or its owner needs it"


def test_where_attempts_are() -> None:
    """Stage and silence of the job's own attempts; of one task when it is asked for."""
    made = board("cs1", "cs2")
    made.granted(1, brief(A, tasks=3), [LeasedTask(1, 0), LeasedTask(2, 1), LeasedTask(3, 2)], 0.0)
    made.started(CS2, attempt(2, task=1, sequence=2))
    made.cs_heard(CS2, 2.5)
    whole = why(made, asked(), 3.0)
    assert whole.attempts == (Whereabouts(0, "starting", "cs1", 3.0), Whereabouts(1, "running", "cs2", 0.5))
    assert why(made, asked(task=1), 3.0).attempts == whole.attempts[1:]
    assert why(made, asked(task=2), 3.0).attempts == ()
    assert why(made, asked(B), 3.0).attempts == ()


def test_paused_while_leases_may_have_lapsed() -> None:
    """A LUS that cannot renew starts nothing, and says so."""
    made = board("cs1")
    assert not why(made, asked(), 59.0).paused
    assert why(made, asked(), 61.0).paused
    assert not any(isinstance(each, Start) for each in made.granted(1, brief(), [LeasedTask(1, 0)], 61.0))


def test_a_thousand_make_few_reasons() -> None:
    """Of amounts the most that is offered is said; whatever desktops say of themselves, the reply fits in a frame."""
    made = Board()
    for number in range(1000):
        state = cs_state(name="n" * 128, memory=number % 7)
        made.cs_state(f"{number:032x}", "b", "", state, True, 0.0)
        if number >= 500:
            made.registry.refused(f"{number:032x}", A, f"code-{number}", "\U0001f984" * 5000, 0.0)
    reply = why(made, LusJobWhy(job=A, needs=brief(memory=100).needs), 0.0)
    assert reply.servers[0].code == "needs-memory"
    assert (reply.servers[0].count, len(reply.servers[0].names)) == (500, limits.WHY_NAMES)
    assert len(reply.servers) == limits.WHY_KINDS
    assert sum(each.count for each in reply.servers) + reply.more == 1000
    assert len(encode(reply)) < limits.FRAME // 4


def test_it_says_what_placement_does() -> None:
    """Who is free by this is who is chosen; where nobody is able, nobody is free, busy or away."""
    for memory in (1, 1000):
        made = board("cs1", "cs2")
        made.registry.refused(CS1, A, "disk-full", "full", 0.0)
        asks = LusJobWhy(job=A, needs=brief(memory=memory).needs)
        told = codes(why(made, asks, 0.0))
        choice = placement.choose(placement.Demand(asks.needs, (), 0.0), made._held.turns.candidates(A))
        assert isinstance(choice, placement.Place) == ("free" in told)
        assert isinstance(choice, placement.Unplaceable) == (told.keys().isdisjoint({"free", "busy", "away"}))
