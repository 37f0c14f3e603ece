"""A compute server offers its checkpoints, and keeps each until the web server's final word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import A, attempt
from twisted.internet.task import Clock

from cs import checkpoint_ledger, ledger, limits
from cs.attempt import Owner
from cs.checkpoint_store import CheckpointName, CheckpointStore
from cs.checkpoints import CheckpointDesk
from cs.instructions import AwaitCheckpoint, ForgetCheckpoint, Instruction, OfferCheckpoint, Report
from cs.task_machine import TaskMachine
from rjs.background import ImmediateWorkers, Tasks
from rjs.errors import RefusedError
from rjs.limits import INLINE_ANSWER
from rjs.storage import ImmediateStorage, open_database
from rjs.wire import messages as m
from rjs.wire.session import SessionLostError

X = attempt(1)
NAME = CheckpointName(X, 1)
Outcome = m.CheckpointVerdict | Exception


class Server:
    """A compute server whose process before left a checkpoint of X; ``session`` answers what it is told to."""

    def __init__(self, folder: Path, size: int = 10) -> None:
        self.clock, self.machine = Clock(), TaskMachine([])
        self.offered: list[m.CheckpointOffer] = []
        self.reports: list[Report] = []
        self.outcomes: list[Outcome] = []
        self.connected = True
        connection = open_database(
            folder / "l" / "l.sqlite", ledger.MIGRATIONS, application_id=ledger.APPLICATION_ID
        )
        self.storage = ImmediateStorage(connection)
        self.outgoing = CheckpointStore(folder)
        self.outgoing.keep(NAME, lambda out: out.write(bytes(size)), 0.0)
        (folder / "l").rename(folder.parent / "ledger")
        self.desk = CheckpointDesk(
            cast(Owner, SimpleNamespace(id="1" * 32)), self.outgoing, cast(Any, None), folder, ImmediateWorkers(),
            self.storage, cast(Any, self.clock), Tasks("test"), self.machine, self.perform,
            lambda: cast(Any, self) if self.connected else None, lambda cs, signer: None,
            cast(Any, lambda: SimpleNamespace(timestamp=lambda: 0.0)),
        )  # fmt: skip
        self.desk.recover()

    def perform(self, instructions: Iterable[Instruction]) -> None:
        for each in instructions:
            match each:
                case OfferCheckpoint() | AwaitCheckpoint() | ForgetCheckpoint():
                    self.desk.do(each)
                case Report():
                    self.reports.append(each)

    async def request(self, message: m.Message, kind: object) -> m.CheckpointVerdict:
        assert isinstance(message, m.CheckpointOffer)
        self.offered.append(message)
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def meet(self, *outcomes: Outcome) -> None:
        """A LUS comes, and says these one after the other."""
        self.outcomes = list(outcomes)
        self.perform(self.machine.session_opened())

    @property
    def is_there(self) -> bool:
        return self.outgoing.path(NAME).exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "out").mkdir()
    made = Server(tmp_path / "out")
    yield made
    made.storage.close()


def verdict(word: str) -> m.CheckpointVerdict:
    return m.CheckpointVerdict(verdict=word)


@pytest.mark.parametrize(
    "outcome", [verdict("kept"), verdict("refused"), RefusedError("unsupported", "older")]
)
def test_a_final_word(server: Server, outcome: Outcome) -> None:
    """It is not needed here any more, and now it is told that its attempt vanished."""
    server.meet(outcome)
    assert (server.is_there, server.machine.checkpoints) == (False, {})
    assert [(each.attempt, each.kind) for each in server.reports] == [(X, "vanished")]


def test_what_was_kept_is_the_least_to_continue_from(server: Server) -> None:
    """An older one of the task is a replay from now on."""
    server.meet(verdict("kept"))
    older = CheckpointName(attempt(0), 9)
    failed: list[Any] = []
    server.storage.write(lambda db: checkpoint_ledger.note(db, older)).addErrback(failed.append)
    assert failed[0].value.code == "older-checkpoint"


@pytest.mark.parametrize("outcome", [verdict("retry"), RefusedError("busy", "later")])
def test_no_final_word(server: Server, outcome: Outcome) -> None:
    """It is offered again after a while, and until then nothing is told."""
    server.meet(outcome, verdict("kept"))
    assert (server.is_there, len(server.offered), server.reports) == (True, 1, [])
    server.clock.advance(limits.OFFER_AGAIN)
    assert (server.is_there, len(server.offered)) == (False, 2)


def test_a_session_that_is_lost(server: Server) -> None:
    """It is offered on the next one."""
    server.meet(SessionLostError("lost"))
    assert server.is_there
    server.meet(verdict("kept"))
    assert not server.is_there


def test_patience_ends(server: Server) -> None:
    """A WS that stays away keeps nobody from hearing that the attempt has ended."""
    server.connected = False
    server.meet()
    server.clock.advance(limits.CHECKPOINT_PATIENCE)
    assert [each.kind for each in server.reports] == ["vanished"]
    assert server.is_there


def test_a_file_that_is_gone(server: Server) -> None:
    """There is nothing to offer; the attempt's end is told."""
    server.outgoing.path(NAME).unlink()
    server.meet()
    assert (len(server.offered), len(server.reports)) == (0, 1)


def test_a_large_one_is_pulled(tmp_path: Path) -> None:
    """Its bytes do not travel along; they are read in parts while it is offered, and of nothing else."""
    (tmp_path / "out").mkdir()
    server = Server(tmp_path / "out", INLINE_ANSWER + 1)
    server.meet(verdict("retry"))
    assert (server.offered[0].data, server.offered[0].size) == (b"", INLINE_ANSWER + 1)
    read = m.BlobRead(kind="checkpoint", key=f"{A}.0.1.1.1.x", offset=INLINE_ANSWER, length=100)
    coming = server.desk.chunk(X, read)
    with pytest.raises(StopIteration) as done:
        coming.send(None)
    assert done.value.value == m.BlobData(data=b"\0")
    with pytest.raises(RefusedError, match="no-blob"):
        server.desk.chunk(attempt(2), read).send(None)
    server.storage.close()
