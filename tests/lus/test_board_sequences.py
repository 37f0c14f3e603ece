"""The job board under any sequence of events, told by a WS and CSs that may say anything."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from invariants import check_board
from samples import CS1, CS2, CS3, A, B, brief, cs_state

from lus import limits, placement
from lus.board import Board
from lus.held import Held, Stage
from lus.instructions import Adopt, Instruction, ReportEnded, Return, Start, Stop, TellWant
from rjs.attempts import AttemptId, Fence
from rjs.limits import ADOPTED
from rjs.wire.messages import LeasedTask, TaskAdopted

CSS = st.sampled_from([CS1, CS2, CS3])
MEMORY: dict[str, int] = {A: 10, B: 60}


def all_at_once(
    board: Board, held: Held, now: float
) -> placement.Place | placement.Wait | placement.Unplaceable:
    """The naive answer: what placement says of all CSs as they are."""
    demand = placement.Demand(held.job.needs, held.avoid, now - held.since)
    return placement.choose(demand, board._held.turns.candidates(held.job.job))


class Events(RuleBasedStateMachine):
    """Every event; each start is for a free, connected CS and a lease that was granted and has not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.board = Board()
        self.now = 0.0
        self.granted = 0
        self.over: set[int] = set()
        self.started: list[tuple[AttemptId, str]] = []
        self.asked: list[Adopt] = []
        self.spent: set[int] = set()
        self.boots: dict[str, int] = {}
        self.told: TellWant | None = None
        self.perform(self.board.ws_opened(self.now))

    def perform(self, instructions: list[Instruction]) -> None:
        for each in instructions:
            match each:
                case Start(cs, _, job, attempt):
                    assert attempt not in [known for known, _ in self.started], "a fence came twice"
                    assert attempt.fence.lease not in self.over, "a lease that is over was started"
                    assert attempt.fence.lease not in self.spent, "an adopted lease was started"
                    assert self.now < self.board._valid_until
                    server = self.board.registry.get(cs)
                    assert server is not None
                    assert server.connected
                    assert job.job not in server.refusals
                    self.started.append((attempt, cs))
                    self.assert_fastest(cs, self.board._held.get(attempt.fence.lease))
                case Return(job, leases, _, code, sentence):
                    self.over |= set(leases)
                    held = Held(0, 1, brief(job, 1000, MEMORY[job]), 0, frozenset(), self.now)
                    assert all_at_once(self.board, held, self.now) == placement.Unplaceable(code, sentence)
                case ReportEnded(attempt, cs, kind):
                    assert (attempt, cs) in self.known()
                    assert kind == "vanished" or attempt.fence.lease in self.spent
                    self.over.add(attempt.fence.lease)
                case Stop(cs, attempt):
                    assert (attempt, cs) in self.known()
                case Adopt(_, attempts):
                    assert len(attempts) <= ADOPTED
                    self.asked.append(each)
                case TellWant():
                    assert each.outstanding == limits.PREFETCH * len(self.board.registry)
                    self.told = each

    def known(self) -> set[tuple[AttemptId, str]]:
        """What was started here, or told of by CSs."""
        return {*self.started, *((attempt, each.cs) for each in self.asked for attempt in each.attempts)}

    def assert_fastest(self, cs: str, held: Held | None) -> None:
        """Nobody who is still free would have been the better choice."""
        if held is None or cs in held.avoid:
            return
        demand = placement.Demand(held.job.needs, held.avoid, 0.0)
        candidates = self.board._held.turns.candidates(held.job.job)
        chosen = next(each for each in candidates if each.cs == cs)
        assert placement.suits(demand, chosen)
        suited = [each for each in candidates if each.free and placement.suits(demand, each)]
        assert all(placement.order(chosen) < placement.order(each) for each in suited)

    def an_attempt(self, data: st.DataObject) -> tuple[AttemptId, str]:
        """One that was started, or one that a liar makes up."""
        known = st.sampled_from(self.started) if self.started else st.nothing()
        fence = st.builds(
            Fence, st.just(1), st.integers(0, self.granted + 1), st.integers(0, len(self.started) + 1)
        )
        lie = st.tuples(st.builds(AttemptId, st.sampled_from([A, B]), st.integers(0, 5), fence), CSS)
        return data.draw(known | lie)

    @rule(count=st.integers(1, 4), of=st.sampled_from([A, B]), avoid=st.sets(CSS), repeat=st.booleans())
    def grant(self, count: int, of: str, avoid: set[str], repeat: bool) -> None:
        first = max(1, self.granted - 1) if repeat else self.granted + 1
        tasks = [LeasedTask(first + n, first + n, tuple(avoid)) for n in range(count)]
        self.granted = max(self.granted, first + count - 1)
        self.perform(self.board.granted(1, brief(of, 1000, MEMORY[of]), tasks, self.now))

    @rule(data=st.data())
    def renewed(self, data: st.DataObject) -> None:
        ended = data.draw(st.sets(st.integers(0, self.granted + 1)))
        running = {number for number in ended & self.board._held.keys() if self.board._held[number].attempt}
        self.over |= {number for number in ended if number <= self.board._upto}
        self.spent |= running
        self.perform(self.board.renewed(self.now, sorted(ended), self.now))

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def adopted(self, data: st.DataObject) -> None:
        """The WS may reply to a request of long ago, and nothing is taken on that was not asked for."""
        ask = data.draw(st.sampled_from(self.asked))
        fates = {each: data.draw(st.sampled_from(["leased", "ended", "stray"])) for each in ask.attempts}
        leased = tuple(each for each, fate in fates.items() if fate == "leased")
        reply = TaskAdopted(
            leased=leased,
            jobs=tuple(brief(each, 1000, MEMORY[each]) for each in sorted({each.job for each in leased})),
            ended=tuple(each for each, fate in fates.items() if fate == "ended"),
        )
        self.granted = max((self.granted, *(each.fence.lease for each in leased)))
        self.spent |= {each.fence.lease for each in leased}
        before = dict(self.board._held)
        self.perform(self.board.adopted(ask.cs, ask.attempts, reply, self.now))
        new = self.board._held.keys() - before.keys()
        assert new <= {each.fence.lease for each in leased}

    @rule(data=st.data())
    def moved(self, data: st.DataObject) -> None:
        numbers = data.draw(st.sets(st.integers(0, self.granted + 1)))
        self.over |= {number for number in numbers if number <= self.board._upto}  # others may be granted yet
        instructions = self.board.moved(sorted(numbers), self.now)
        assert not any(isinstance(each, Stop | ReportEnded) for each in instructions)
        self.perform(instructions)

    @rule()
    def ws_opened(self) -> None:
        self.perform(self.board.ws_opened(self.now))
        assert {each.attempt for each in self.board.placements()} <= {attempt for attempt, _ in self.known()}

    @rule(cs=CSS, data=st.data(), fresh=st.booleans(), restarted=st.booleans(), epoch=st.integers(0, 2),
          memory=st.sampled_from([1, 50, 100, 100]), busy=st.booleans())  # fmt: skip
    def cs_state(
        self, cs: str, data: st.DataObject, fresh: bool, restarted: bool, epoch: int, memory: int, busy: bool
    ) -> None:
        self.boots[cs] = self.boots.get(cs, 0) + restarted
        anothers = AttemptId(A, 0, Fence(1, 900 + int(cs, 16), 1))
        mine = st.sampled_from([*(each for each, at in self.started if at == cs), anothers])
        running = tuple(data.draw(st.lists(mine, max_size=1)))
        holding = tuple(data.draw(st.lists(mine, max_size=2, unique=True)))
        mflops = data.draw(st.sampled_from([1.0, 2.0]))
        state = cs_state(
            mflops, name=f"n{cs[-1]}", memory=memory, busy=busy, running=running, holding=holding, epoch=epoch
        )
        boot = f"b{self.boots[cs]}"
        self.perform(self.board.cs_state(cs, boot, "", state, fresh or restarted, self.now))

    @rule(cs=CSS)
    def cs_lost(self, cs: str) -> None:
        self.perform(self.board.cs_lost(cs))

    @rule(cs=CSS)
    def cs_dead(self, cs: str) -> None:
        self.perform(self.board.cs_dead(cs, self.now))
        assert self.board.registry.get(cs) is None

    @rule(data=st.data())
    def started_(self, data: st.DataObject) -> None:
        attempt, cs = self.an_attempt(data)
        self.perform(self.board.started(cs, attempt))

    @rule(data=st.data(), code=st.sampled_from(["busy", "not-trusted", "stopped", "ws-away"]))
    def start_refused(self, data: st.DataObject, code: str) -> None:
        attempt, cs = self.an_attempt(data)
        self.perform(self.board.start_refused(cs, attempt, code, "why", self.now))

    @rule(data=st.data())
    def attempt_over(self, data: st.DataObject) -> None:
        attempt, cs = self.an_attempt(data)
        self.perform(self.board.attempt_over(cs, attempt, self.now))

    @rule(data=st.data(), ended=st.booleans())
    def lease_over(self, data: st.DataObject, ended: bool) -> None:
        attempt, cs = self.an_attempt(data)
        before = dict(self.board._held)
        instructions = self.board.lease_over(cs, attempt, ended, self.now)
        for number in before.keys() - self.board._held.keys() - _returned(instructions):
            assert (before[number].job.job, before[number].task) == (attempt.job, attempt.task)
            assert number == attempt.fence.lease
            self.over.add(number)
        self.perform(instructions)

    @precondition(lambda self: self.board._held)
    @rule(data=st.data())
    def ended(self, data: st.DataObject) -> None:
        numbers = data.draw(st.sets(st.sampled_from(sorted(self.board._held)), min_size=1))
        self.over |= numbers
        self.perform(self.board.ended(sorted(numbers), "why", self.now))
        assert not numbers & self.board._held.keys()  # what is asked for is listed until the WS has replied

    @rule(seconds=st.sampled_from([0.25, 1.0, 1.5, 1.5, 12.0, 70.0]), heard=st.sets(CSS))
    def tick(self, seconds: float, heard: set[str]) -> None:
        self.now += seconds
        for cs in heard:
            self.board.cs_heard(cs, self.now)
        self.perform(self.board.tick(self.now))

    @invariant()
    def sound(self) -> None:
        check_board(self.board)
        if self.now < self.board._valid_until:
            waiting = [each for each in self.board._held.values() if each.stage is Stage.WAITING]
            for held in waiting:
                assert isinstance(all_at_once(self.board, held, self.now), placement.Wait)
        assert self.told == TellWant(limits.PREFETCH * len(self.board.registry), self.board.registry.epoch)


def _returned(instructions: list[Instruction]) -> set[int]:
    return {number for each in instructions if isinstance(each, Return) for number in each.leases}


TestEvents = Events.TestCase
TestEvents.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
