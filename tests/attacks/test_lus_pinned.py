"""Attacks on the LUS's one processor: what a compute server says of itself must cost no more than it is worth."""

from __future__ import annotations

import msgspec
import pytest

from lus import limits, placement
from lus.board import Board
from lus.instructions import Instruction, Return, TellWant
from rjs.needs import Lack, Needs, Offer
from rjs.wire.messages import CsState, JobBrief, LeasedTask

SERVERS, JOBS = 200, 50
OFFER = Offer(memory=1 << 30, cores=4, disk=1 << 40, python="3.11.7")
BUSY = CsState(name="n", mflops=1.0, offer=OFFER, trust_epoch=0, busy=True)


def say(board: Board, number: int, state: CsState, boot: str = "b", now: float = 0.0) -> list[Instruction]:
    return board.cs_state(f"{number:032x}", boot, "192.0.2.1", state, boot != "b", now)


def grant(board: Board, memory: int, first: int = 1, now: float = 0.0) -> list[Instruction]:
    """As many jobs as there are, no two of which need the same."""
    instructions = []
    for number in range(first, first + JOBS):
        job = JobBrief(
            job=f"{number:064x}", name="j", signer="1" * 64, tasks=1, size=1, sha256="2" * 64,
            needs=Needs(memory=memory + number),
        )  # fmt: skip
        instructions += board.granted(1, job, [LeasedTask(number, 0)], now)
    return instructions


@pytest.fixture
def board() -> Board:
    """Everybody is busy, and jobs wait."""
    board = Board()
    board.ws_opened(0.0)
    board.renewed(0.0, (), 0.0)
    for number in range(SERVERS):
        say(board, number, BUSY)
    grant(board, 1 << 20)
    return board


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[Needs]:
    """The needs that were compared with an offer, once for each time."""
    asked: list[Needs] = []
    lack = placement._lack

    def counted(needs: Needs, offer: Offer) -> Lack | None:
        asked.append(needs)
        return lack(needs, offer)

    monkeypatch.setattr(placement, "_lack", counted)
    return asked


def test_the_same_word_again_costs_nothing(board: Board, compared: list[Needs]) -> None:
    """A CS that says what it said before, or that it is free or busy, makes nothing compared."""
    for _ in range(100):
        say(board, 0, BUSY)
    assert compared == []


def test_one_that_changes_is_compared_alone(board: Board, compared: list[Needs]) -> None:
    """Whatever it says of itself, only its own offer is compared with what waits, and with nothing twice."""
    for memory in range(1, 5):
        say(board, 0, msgspec.structs.replace(BUSY, offer=msgspec.structs.replace(OFFER, memory=memory)))
        assert len(compared) == JOBS
        compared.clear()


def test_all_that_come_again_at_once(board: Board, compared: list[Needs]) -> None:
    """After a restart of every CS each is compared once with each kind of job, and the WS hears of it once."""
    told = []
    for number in range(SERVERS):
        told += say(board, number, BUSY, boot="b2", now=0.1)
    assert len(compared) <= SERVERS * JOBS
    assert {each.epoch for each in told if isinstance(each, TellWant)} <= {1}


def test_one_that_makes_jobs_come_and_go(board: Board, compared: list[Needs]) -> None:
    """A CS that offers much and then little has the WS offer again what nobody else takes, but seldom."""
    huge = msgspec.structs.replace(BUSY, offer=msgspec.structs.replace(OFFER, memory=1 << 40))
    rises, lease, now = 0, 1000, 0.0
    while now < 10:
        now += limits.DESCRIBED
        board.renewed(now, (), now)
        told = [*say(board, 0, huge, now=now), *board.tick(now)]
        if any(isinstance(each, TellWant) for each in told):  # the WS offers everything again
            rises, lease = rises + 1, lease + JOBS
            assert grant(board, 1 << 35, lease, now) == []
            returned = say(board, 0, BUSY, now=now)
            assert sum(isinstance(each, Return) for each in returned) == JOBS
        else:
            say(board, 0, BUSY, now=now)
    assert 3 <= rises <= 10 / limits.EPOCH + 1
    assert len(compared) <= rises * JOBS * (2 * SERVERS + 2) + 2 * 100 * 2 * JOBS
