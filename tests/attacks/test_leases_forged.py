"""Attack: an enrolled CS or LUS speaks of leases, attempts and answers that are not its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from samples import attempt
from simulated_cluster import ComputeServer, LookupServer, SimulatedCluster, WebServer
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from cs.task_machine import Slot
from rjs.attempts import AttemptId, Fence
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.ids import BundleId
from rjs.jobs import TaskState
from rjs.wire import messages as m


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> SimulatedCluster:
    """One task is running on one of two CSs at one LUS."""
    monkeypatch.setattr("cs.attempt.request_of", lambda prepared: prepared)
    monkeypatch.setattr("cs.attempt.sign_answer", lambda *args: args[-1].write(b"answer"))
    made = SimulatedCluster(1, luses=1, css=2)
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


def parts(cluster: SimulatedCluster) -> tuple[WebServer, LookupServer, ComputeServer, ComputeServer]:
    """WS, LUS, the victim in mid-task, and the attacker, who has nothing to do."""
    attacker, victim = sorted(servers(cluster), key=lambda each: each.machine.slot is Slot.RUNNING)
    return cluster.running[Role.WS, 0], cluster.running[Role.LUS, 0], victim, attacker


def say(cluster: SimulatedCluster, what: Coroutine[Deferred[Any], Any, m.Message]) -> object:
    """The reply, or the refusal."""
    said: list[object] = []
    Deferred.fromCoroutine(what).addBoth(said.append)
    cluster.clock.pass_until(cluster.clock.now + 1.5)
    (reply,) = said
    return reply.value if isinstance(reply, Failure) else reply


def goes_on(cluster: SimulatedCluster, real: AttemptId) -> bool:
    """The victim's attempt runs to its answer, which is the one that is committed."""
    web, _, victim, _ = parts(cluster)
    assert (victim.machine.attempt, victim.machine._unwanted) == (real, "")
    cluster.clock.pass_until(cluster.clock.now + 30)
    (data,) = cluster.disk.execute("SELECT data FROM ends WHERE state = ?", (TaskState.COMMITTED,)).fetchone()
    return bool(data == b"answer") and web.queue.jobs[BundleId(real.job)].summary() == "done"


Lie = Callable[[AttemptId], AttemptId]
LIES: dict[str, Lie] = {
    "the victim's own attempt": lambda real: real,
    "a later one": lambda real: AttemptId(real.job, real.task, Fence(1, real.fence.lease, 99)),
    "another task under its lease": lambda real: AttemptId(real.job, 7, real.fence),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", ["failed", "vanished", "returned"])
def test_a_cs_cannot_end_anothers_attempt(cluster: SimulatedCluster, lie: str, kind: str) -> None:
    """Reporting it as ended is refused by the WS, and stops nothing at the LUS."""
    _, lookup, victim, attacker = parts(cluster)
    real = victim.machine.attempt
    assert real is not None
    assert attacker.shell.session is not None
    forged = m.AttemptEnded(attempt=LIES[lie](real), cs=attacker.name.id, kind=kind, detail="ha")
    say(cluster, attacker.shell.session.request(forged, m.Done))
    assert [each.attempt for each in lookup.board.held()] == [real]
    assert goes_on(cluster, real)


@pytest.mark.parametrize("lie", LIES)
def test_a_cs_cannot_answer_anothers_task(cluster: SimulatedCluster, lie: str) -> None:
    """An answer counts only from the CS where a LUS placed the attempt: it is refused, and the victim goes on."""
    _, lookup, victim, attacker = parts(cluster)
    real = victim.machine.attempt
    assert real is not None
    assert attacker.shell.session is not None
    forged = m.AnswerOffer(attempt=LIES[lie](real), cs=attacker.name.id, size=2, sha256="0" * 64, data=b"ha")
    verdict = say(cluster, attacker.shell.session.request(forged, m.AnswerVerdict))
    assert isinstance(verdict, m.AnswerVerdict)
    assert (verdict.verdict, verdict.code) in {("refused", "not-placed"), ("refused", "unknown-task")}
    assert [each.attempt for each in lookup.board.held()] == [real]
    assert goes_on(cluster, real)


def test_a_cs_cannot_speak_in_anothers_name(cluster: SimulatedCluster) -> None:
    """What it says of the victim's attempt as the victim does not pass the LUS."""
    *_, victim, attacker = parts(cluster)
    real = victim.machine.attempt
    assert real is not None
    assert attacker.shell.session is not None
    forged = m.AttemptEnded(attempt=real, cs=victim.name.id, kind="failed", detail="ha")
    refused = say(cluster, attacker.shell.session.request(forged, m.Done))
    assert isinstance(refused, RefusedError)
    assert refused.code == "wrong-cs"
    assert goes_on(cluster, real)


def test_a_lus_cannot_place_or_end_under_anothers_lease(cluster: SimulatedCluster) -> None:
    """Another LUS's words about this lease are refused by name."""
    web, _, victim, _ = parts(cluster)
    real = victim.machine.attempt
    assert real is not None
    now = cluster.clock.now
    web.shell.perform(web.queue.lus_opened("mallory", "b1", now))
    with pytest.raises(RefusedError, match="no-lease"):
        web.queue.placed("mallory", attempt(real.fence.lease, real.job, 0, 99), victim.name.id, "cs", now)
    with pytest.raises(RefusedError, match="stale-fence"):
        web.queue.attempt_ended("mallory", real, victim.name.id, "failed", "ha", now)
    ended, instructions = web.queue.renew("mallory", [real.fence.lease], 99, now)
    assert (ended, instructions) == ([real.fence.lease], [])
    assert goes_on(cluster, real)


def test_a_leaving_lus_does_not_take_the_server_down(cluster: SimulatedCluster) -> None:
    """Whoever hangs up while its words are on their way to the disk stops nobody but itself."""
    web, lookup, *_ = parts(cluster)
    for pause in (0.001, 0.005, 0.02, 0.1, 0.4):
        cluster.submit(3, 1e6)
        cluster.clock.pass_until(cluster.clock.now + 10)
        session = lookup.shell.ws
        assert session is not None
        gives_all_back = m.LeaseRenew(leases=(), upto=2**62)
        Deferred.fromCoroutine(session.request(gives_all_back, m.LeaseRenewed)).addErrback(lambda _: None)
        cluster.clock.pass_until(cluster.clock.now + pause)
        session.close("closing", "ha")
    cluster.clock.pass_until(cluster.clock.now + 10)
    assert cluster.defects == []
    assert cluster.running[Role.WS, 0] is web
