"""Attack: an enrolled CS or LUS claims attempts that others run, to stop them, to have them, to answer for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from samples import attempt
from simulated_cluster import ComputeServer, LookupServer, SimulatedCluster, WebServer
from twisted.internet.defer import Deferred

from cs.task_machine import Slot
from rjs.attempts import AttemptId, Fence
from rjs.identity.names import Role
from rjs.ids import BundleId
from rjs.jobs import TaskState
from rjs.limits import ADOPTED
from rjs.wire import messages as m


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> SimulatedCluster:
    """One task is running on one of two CSs; of two LUSs the other one is the attacker's."""
    monkeypatch.setattr("cs.attempt.request_of", lambda prepared: prepared)
    monkeypatch.setattr("cs.attempt.sign_answer", lambda *args: args[-1].write(b"answer"))
    made = SimulatedCluster(1, luses=2, css=2)
    made.faulty, made.task_seconds = False, 20.0
    made.clock.pass_until(made.clock.now + 10)
    made.submit(1, 1e6)
    for _ in range(100):
        made.clock.pass_until(made.clock.now + 0.1)
        if any(each.machine.slot is Slot.RUNNING for each in servers(made)):
            return made
    raise AssertionError("no attempt was started")


def servers(cluster: SimulatedCluster) -> list[ComputeServer]:
    return [cluster.running[Role.CS, number] for number in (0, 1)]


def victim(cluster: SimulatedCluster) -> tuple[ComputeServer, AttemptId]:
    """Who runs the task, and as which attempt."""
    (found,) = [each for each in servers(cluster) if each.machine.slot is Slot.RUNNING]
    assert found.machine.attempt is not None
    return found, found.machine.attempt


def luses(cluster: SimulatedCluster) -> tuple[LookupServer, LookupServer]:
    """The LUS that holds the lease, and the attacker's."""
    first, second = (cluster.running[Role.LUS, number] for number in (0, 1))
    return (first, second) if first.board.held() else (second, first)


def ask(
    cluster: SimulatedCluster, lus: LookupServer, cs: str, *told: AttemptId, whole: bool = False
) -> m.TaskAdopted:
    """What the WS replies to a LUS's claim."""
    assert lus.shell.ws is not None
    said: list[Any] = []
    claim = m.TaskAdopt(cs=cs, attempts=told, whole=whole)
    Deferred.fromCoroutine(lus.shell.ws.request(claim, m.TaskAdopted)).addBoth(said.append)
    cluster.clock.pass_until(cluster.clock.now + 1.5)
    (reply,) = said
    assert isinstance(reply, m.TaskAdopted)
    return reply


def check_goes_on(cluster: SimulatedCluster) -> None:
    """The victim's attempt runs to its answer, which is the one that is committed; nothing was started beside it."""
    machine, real = victim(cluster)[0].machine, victim(cluster)[1]
    assert machine._unwanted == ""
    cluster.clock.pass_until(cluster.clock.now + 30)
    web: WebServer = cluster.running[Role.WS, 0]
    (data,) = cluster.disk.execute("SELECT data FROM ends WHERE state = ?", (TaskState.COMMITTED,)).fetchone()
    assert data == b"answer"
    assert web.queue.jobs[BundleId(real.job)].summary() == "done"
    assert cluster.starts[real.job, real.task] == 1
    cluster.check()


@pytest.mark.parametrize("field", ["running", "holding"])
def test_a_cs_claims_what_another_runs(cluster: SimulatedCluster, field: str) -> None:
    """Its LUS asks, the WS knows better: the liar is told to stop, and the victim goes on."""
    _, real = victim(cluster)
    (liar,) = [each for each in servers(cluster) if each.machine.slot is Slot.FREE]
    described = liar.shell.describe
    lies = (real, attempt(1), AttemptId(real.job, real.task, Fence(1, real.fence.lease, 99)))
    liar.shell.describe = lambda: msgspec.structs.replace(described(), **{field: lies})
    for link in [each for each in cluster.links if each.dialled is liar]:
        cluster.cut(link, cluster.clock.now)
    cluster.clock.pass_until(cluster.clock.now + 3)
    liar.shell.describe = described
    check_goes_on(cluster)


def test_a_lus_claims_that_another_cs_runs_it(cluster: SimulatedCluster) -> None:
    """The WS knows where it was placed: no lease moves."""
    _, real = victim(cluster)
    (other,) = [each for each in servers(cluster) if each.machine.slot is Slot.FREE]
    holder, thief = luses(cluster)
    reply = ask(cluster, thief, other.name.id, real)
    assert (reply.leased, reply.ended) == ((), (real,))
    assert [each.attempt for each in holder.board.held()] == [real]
    check_goes_on(cluster)


def test_a_lus_steals_a_lease(cluster: SimulatedCluster) -> None:
    """Leases are for liveness: the attempt runs on, its CS's answer counts through its own LUS, and no other does."""
    running, real = victim(cluster)
    holder, thief = luses(cluster)
    reply = ask(cluster, thief, running.name.id, real)
    assert reply.leased == (real,)
    assert holder.board.held() == []
    (other,) = [each for each in servers(cluster) if each.machine.slot is Slot.FREE]
    forged = m.AnswerOffer(attempt=real, cs=other.name.id, size=3, sha256="0" * 64, data=b"lie")
    said: list[Any] = []
    Deferred.fromCoroutine(thief.shell.to_ws(forged, m.AnswerVerdict)).addBoth(said.append)
    cluster.clock.pass_until(cluster.clock.now + 1.5)
    assert (said[0].verdict, said[0].code) == ("refused", "not-placed")
    check_goes_on(cluster)


def test_a_lus_says_that_a_cs_has_nothing(cluster: SimulatedCluster) -> None:
    """Of what a living LUS placed that says nothing: nobody else starts it."""
    running, _ = victim(cluster)
    _, thief = luses(cluster)
    ask(cluster, thief, running.name.id, whole=True)
    check_goes_on(cluster)


def test_what_has_ended_is_nobodys(cluster: SimulatedCluster) -> None:
    """A committed attempt is not leased again."""
    running, real = victim(cluster)
    _, thief = luses(cluster)
    check_goes_on(cluster)
    reply = ask(cluster, thief, running.name.id, real)
    assert (reply.leased, reply.ended) == ((), (real,))


def test_a_flood_of_claims_writes_nothing(cluster: SimulatedCluster) -> None:
    """As many claims as fit, again and again: each is looked up, none is remembered; more do not fit."""
    _, real = victim(cluster)
    _, thief = luses(cluster)
    made_up = tuple(AttemptId(real.job, number, real.fence) for number in range(ADOPTED))
    before = cluster.disk.total_changes
    for _ in range(5):
        assert ask(cluster, thief, "f" * 32, *made_up).ended == made_up
    assert cluster.disk.total_changes == before
    with pytest.raises(m.MalformedMessageError):
        m.decode(m.encode(m.TaskAdopt(cs="f" * 32, attempts=(*made_up, real))))
