"""What commits, and what only looks like it: how tasks' times reach the ranks, through the shell and the board."""

from __future__ import annotations

from typing import Any, cast

import pytest
from samples import A, brief, cs_state
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus import limits
from lus.board import Board
from lus.shell import Shell
from lus.why import why
from rjs.attempts import AttemptId
from rjs.background import Tasks
from rjs.wire import messages as m
from rjs.wire.session import Session

HONEST, LIAR = "1" * 32, "2" * 32


class Ws:
    """A session with the WS, which gives this verdict on every answer."""

    verdict = "committed"

    async def request(self, message: m.Message, kind: type[m.Message]) -> m.Message:
        if isinstance(message, m.AnswerOffer):
            return m.AnswerVerdict(verdict=self.verdict)
        if isinstance(message, m.TaskAdopt):
            return m.TaskAdopted()
        return m.LeaseRenewed() if isinstance(message, m.LeaseRenew) else m.Done()

    def tell(self, message: m.Message) -> None:
        pass


class Cs:
    """A session with a CS, which takes every start."""

    def __init__(self) -> None:
        self.started: list[AttemptId] = []

    async def request(self, message: m.TaskStart, kind: type[m.Message]) -> m.Message:
        self.started.append(AttemptId(message.job.job, message.task, message.fence))
        return m.Done()

    def tell(self, message: m.Message) -> None:
        pass

    def close(self, code: str, sentence: str) -> None:
        pass


class Lan:
    """A LUS with an honest machine of 500 MFLOPS, and one that is half as fast and states twice its speed."""

    def __init__(self) -> None:
        self.clock, self.ws, self.lease = Clock(), Ws(), 0
        self.shell = Shell(Board(), cast(Any, self.clock), Tasks("test"))
        self.board = self.shell.board
        self.shell.ws_opened(cast(Session, self.ws))
        self.cs = {HONEST: Cs(), LIAR: Cs()}
        self.shell.servers |= cast(dict[str, Session], self.cs)
        self.describe()

    def describe(self) -> None:
        for cs, name, mflops in ((HONEST, "honest", 500.0), (LIAR, "liar", 1000.0)):
            state = cs_state(mflops, name=name)
            self.shell.perform(self.board.cs_state(cs, "b", "192.0.2.1", state, True, self.clock.seconds()))

    def pass_time(self, seconds: float) -> None:
        """Both machines and the WS keep in touch."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            now = self.clock.seconds()
            self.board.renewed(now, (), now)
            for cs in self.cs:
                self.board.cs_heard(cs, now)
            self.shell.perform(self.board.tick(now))

    def grant(self, count: int) -> None:
        tasks = [m.LeasedTask(self.lease + n, self.lease + n) for n in range(1, count + 1)]
        self.lease += count
        self.shell.perform(self.board.granted(1, brief(A, 1000), tasks, self.clock.seconds()))

    def offer(self, cs: str, attempt: AttemptId) -> None:
        message = m.AnswerOffer(attempt=attempt, cs=cs, size=1, sha256="0" * 64)
        assert Deferred.fromCoroutine(self.shell.relay_answer(message)).called

    def work(self, rounds: int) -> None:
        """A task on each machine: 5 s on the honest one, 10 s on the other."""
        for _ in range(rounds):
            self.grant(2)
            self.pass_time(5)
            self.offer(HONEST, self.cs[HONEST].started[-1])
            self.pass_time(5)
            self.offer(LIAR, self.cs[LIAR].started[-1])
        self.pass_time(limits.JUDGED)

    def first(self) -> str:
        """Who is given the next task, when both are free."""
        before = len(self.cs[LIAR].started)
        self.grant(1)
        return "liar" if len(self.cs[LIAR].started) > before else "honest"

    def speed(self, cs: str) -> float:
        server = self.board.registry.get(cs)
        assert server is not None
        return self.board.registry.speed(server)


@pytest.fixture
def lan() -> Lan:
    return Lan()


def test_a_liar_gets_its_tasks_after_those_that_do_what_they_say(lan: Lan) -> None:
    """It is first before its tasks have shown anything, and then behind, and `rjs why` and the status say so."""
    lan.work(limits.TASKS_TO_JUDGE - 1)
    assert lan.speed(LIAR) == 1000.0
    lan.work(1)
    assert (lan.speed(HONEST), lan.speed(LIAR)) == (500.0, 250.0)
    asked = m.LusJobWhy(job=A, needs=brief(A).needs)
    (honest, liar) = why(lan.board, asked, lan.clock.seconds()).servers
    assert (honest.names, liar.names) == (("honest",), ("liar",))
    assert "ranked" in liar.sentence
    assert "ranked" not in honest.sentence
    assert lan.first() == "honest"


def test_a_restart_makes_no_liar_honest(lan: Lan) -> None:
    """What its tasks have shown is known by its name, which its certificate says."""
    lan.work(limits.TASKS_TO_JUDGE)
    lan.shell.perform(lan.board.cs_dead(LIAR, lan.clock.seconds()))
    assert lan.board.registry.get(LIAR) is None
    lan.describe()
    assert lan.speed(LIAR) == 250.0


@pytest.mark.parametrize("verdict", ["retry", "refused", "duplicate"])
def test_only_committed_answers_count(lan: Lan, verdict: str) -> None:
    """Answers that the WS did not take show nothing, however soon they were offered."""
    lan.ws.verdict = verdict
    lan.grant(2)
    lan.pass_time(5)
    lan.offer(LIAR, lan.cs[LIAR].started[-1])
    assert not lan.board.registry.speeds._servers


def test_the_offer_that_is_committed_counts(lan: Lan) -> None:
    """Whoever offers at once what it does not have, and again when it has it, took as long as it took."""
    lan.grant(2)
    attempt = lan.cs[LIAR].started[-1]
    lan.ws.verdict = "retry"
    lan.offer(LIAR, attempt)
    lan.pass_time(7)
    lan.ws.verdict = "committed"
    lan.offer(LIAR, attempt)
    assert list(lan.board.registry.speeds._servers[LIAR].jobs[A].seconds) == [7.0]


def test_failures_do_not_count(lan: Lan) -> None:
    """A machine that ends each task at once is no fast one."""
    lan.grant(2)
    ended = m.AttemptEnded(attempt=lan.cs[LIAR].started[-1], cs=LIAR, kind="failed", detail="exit 1")
    assert Deferred.fromCoroutine(lan.shell.relay_end(ended)).called
    assert not lan.board.registry.speeds._servers


def test_what_continues_from_a_checkpoint_does_not_count(lan: Lan) -> None:
    """Such a task is shorter than others of its job, on any machine."""
    lan.grant(2)
    for held in lan.board.held():
        assert held.began == 0.0
    started = lan.cs[LIAR].started[-1]
    held = next(each for each in lan.board.held() if each.attempt == started)
    held.checkpoint = cast(Any, object())
    lan.board._held.wait(held)
    lan.board._held.start(held, LIAR, 1.0)
    assert held.attempt is not None
    lan.pass_time(5)
    lan.offer(LIAR, held.attempt)
    assert not lan.board.registry.speeds._servers


def test_what_another_made_up_does_not_count(lan: Lan) -> None:
    """Answers of attempts that were not given to whoever offers them say nothing of anybody."""
    lan.grant(2)
    lan.pass_time(5)
    lan.offer(LIAR, lan.cs[HONEST].started[-1])
    assert not lan.board.registry.speeds._servers
