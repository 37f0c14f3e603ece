"""Attack: have a task continue from anything but the newest checkpoint of its own, or learn or fill by checkpoints.

A WS or a LUS that was broken into gives a compute server what it likes; here it gives it to the part that judges.
"""

from __future__ import annotations

import hashlib
import io
import os
import zlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import msgspec
import pytest
from samples import A, B
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cs import ledger
from cs.attempt import Owner
from cs.checkpoint_store import CheckpointName, CheckpointStore
from cs.checkpoints import CheckpointDesk
from cs.instructions import Instruction
from cs.prepared import Prepared
from cs.task_machine import TaskMachine
from cs.workplace import Workplace
from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.attempts import AttemptId, Fence
from rjs.background import ImmediateWorkers, Tasks
from rjs.bundle.sign import MeasuredFile, measure, sign_measured
from rjs.bundle.testing import NOW
from rjs.bundle.verify import Signer
from rjs.bundle.zip_writer import DeflatedFile
from rjs.checkpoints import limits
from rjs.checkpoints.checkpoint_jar import Statement, write_checkpoint
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity, sole_uri
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import ClusterId, ServerId, SpkiDigest
from rjs.storage import ImmediateStorage, open_database
from rjs.wire import messages as m
from rjs.wire.session import Session

ORGANISATION = Organisation(NOW)
FILES: list[tuple[str, Path | bytes]] = [("state", b"step 7"), (".more", b"")]
BEFORE, NOW_ON = Fence(1, 4, 1), Fence(1, 5, 1)


@attrs.frozen
class Server:
    """A compute server that joined, with its answer key."""

    id: ServerId
    answer: Identity


def joined(organisation: Organisation = ORGANISATION) -> Server:
    invitation = organisation.invitation(Role.CS)
    identity = organisation.answer(invitation)
    return Server(ServerId(sole_uri(identity.chain[0]).rpartition("/")[2]), identity)


MAKER, OTHER = joined(), joined()


def statement(**changes: Any) -> Statement:
    """An honest statement of MAKER, of the second checkpoint of an earlier attempt."""
    honest = Statement(bundle_id=A, task=0, fence=BEFORE, sequence=2, cs=MAKER.id)
    return msgspec.structs.replace(honest, **changes)


def signed(stated: Statement, by: Server = MAKER, files: list[tuple[str, Path | bytes]] = FILES) -> bytes:
    out = io.BytesIO()
    write_checkpoint(out, statement=stated, files=files, key=by.answer.key, chain=by.answer.chain)
    return out.getvalue()


class Lus:
    """The session: gives whatever it is to give, and hears what was rejected."""

    def __init__(self) -> None:
        self.content = b""
        self.fails: RefusedError | None = None
        self.rejected: list[m.CheckpointRejected] = []

    async def request(self, message: m.Message, kind: object) -> m.Message:
        if isinstance(message, m.CheckpointRejected):
            self.rejected.append(message)
            return m.Done()
        assert isinstance(message, m.BlobRead)
        if self.fails is not None:
            raise self.fails
        return m.BlobData(data=self.content[message.offset : message.offset + message.length])


class Desktop:
    """A compute server that is about to start an attempt at task 0 of job A."""

    def __init__(self, folder: Path, *, sealed: bool = False) -> None:
        self.folder = folder
        self.me = joined()
        self.lus = Lus()
        self.revoked: set[str] = set()
        self.storage = ImmediateStorage(
            open_database(folder / "l" / "l.sqlite", ledger.MIGRATIONS, application_id=ledger.APPLICATION_ID)
        )
        for each in ("outgoing", "own", "staging", "work"):
            (folder / each).mkdir()
        self.machine = TaskMachine([])
        self.done: list[Instruction] = []
        owner = Owner(self.me.id, "desk", ClusterId("0" * 16), 1.0, self.me.answer)
        self.outgoing, self.own = CheckpointStore(folder / "outgoing"), CheckpointStore(folder / "own")
        self.desk = CheckpointDesk(
            owner, self.outgoing, self.own, folder / "staging", ImmediateWorkers(), self.storage, cast(Any, Clock()),
            Tasks("test"), self.machine, self.done.extend, lambda: None, self._check, lambda: NOW,
        )  # fmt: skip
        recipients = (b"somebody",) if sealed else ()
        self.descriptor = SimpleNamespace(answer=SimpleNamespace(recipients=recipients))
        self.prepare(NOW_ON)

    def prepare(self, fence: Fence) -> None:
        """The next attempt has its folder."""
        attempt = AttemptId(A, 0, fence)
        self.place = Workplace(self.folder / "work", attempt)
        self.place.create()
        self.prepared = cast(
            Prepared, SimpleNamespace(attempt=attempt, workplace=self.place, descriptor=self.descriptor)
        )

    def _check(self, cs: str, signer: Signer | None) -> None:
        if cs in self.revoked:
            raise RefusedError("revoked", "this compute server was revoked")

    def give(self, content: bytes, fence: Fence = BEFORE, sequence: int = 2, size: int | None = None) -> None:
        """Start the attempt with what the LUS says is this checkpoint."""
        self.lus.content = content
        size = len(content) if size is None else size
        ref = m.CheckpointRef(0, fence, sequence, size, hashlib.sha256(content).hexdigest())
        self.continued(ref)

    def continued(self, ref: m.CheckpointRef | None) -> None:
        outcome: list[Any] = []
        giving = self.desk.give(self.prepared, ref, cast(Session, self.lus))
        Deferred.fromCoroutine(giving).addBoth(outcome.append)
        if outcome[0] is not None:
            outcome[0].raiseException()

    @property
    def found(self) -> dict[str, bytes]:
        """What the task finds."""
        return {path.name: path.read_bytes() for path in self.place.checkpoint.iterdir()}

    def begins_from_zero(self, code: str) -> None:
        """The attempt has nothing to continue from, and the WS was told why."""
        assert self.found == {}
        assert [(each.code, each.attempt) for each in self.lus.rejected] == [(code, self.prepared.attempt)]
        assert list((self.folder / "staging").iterdir()) == []


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    made = Desktop(tmp_path)
    yield made
    made.storage.close()


def test_an_honest_checkpoint(desktop: Desktop) -> None:
    """The control: what another machine's attempt reached is there before this one starts."""
    desktop.give(signed(statement()))
    assert desktop.found == {"state": b"step 7", ".more": b""}
    assert desktop.lus.rejected == []


# --- what a web server or a lookup server may give ------------------------------------------------------


FOREIGN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "of another task": ("checkpoint-task", lambda: signed(statement(task=1))),
    "of another bundle": ("checkpoint-task", lambda: signed(statement(bundle_id=B))),
    "of another attempt than was spoken of": (
        "checkpoint-other",
        lambda: signed(statement(fence=Fence(1, 3, 1))),
    ),
    "an older one of the same attempt": ("checkpoint-other", lambda: signed(statement(sequence=1))),
    "that names another maker than its key": ("checkpoint-statement", lambda: signed(statement(), by=OTHER)),
    "of another cluster": ("path", lambda: foreign()),
    "signed by a person": ("certificate", lambda: by_a_person()),
    "cut short": ("", lambda: signed(statement())[:-200]),
    "an answer": ("checkpoint-statement", lambda: an_answer()),
    "with one byte changed": ("zip-data", lambda: signed(statement()).replace(b"step 7", b"step 8")),
    "garbage": ("", lambda: os.urandom(5000)),
}


def foreign() -> bytes:
    stranger = joined(Organisation(NOW))
    return signed(statement(cs=stranger.id), by=stranger)


def by_a_person() -> bytes:
    out, key = io.BytesIO(), ORGANISATION.signing()
    write_checkpoint(out, statement=statement(), files=FILES, key=key.key, chain=key.chain)
    return out.getvalue()


def an_answer() -> bytes:
    receipt = Receipt(
        bundle_id=A, task=0, fence=BEFORE, signer=SpkiDigest("b" * 64), cs=MAKER.id, cs_name="desk", mflops=1.0,
        limits={}, limit_hit=None, exit=Exited(0), started=NOW, ended=NOW + timedelta(seconds=1), wall_seconds=1.0,
        cpu_seconds=1.0, max_memory=0,
    )  # fmt: skip
    out = io.BytesIO()
    write_answer(
        out, receipt=receipt, files=[("out/state", b"step 7")], key=MAKER.answer.key, chain=MAKER.answer.chain
    )
    return out.getvalue()


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_not_this_tasks_is_refused(desktop: Desktop, what: str) -> None:
    """The task begins from zero, nothing of it is left, and the WS hears why."""
    code, make = FOREIGN[what]
    desktop.give(make())
    assert desktop.found == {}
    assert len(desktop.lus.rejected) == 1
    assert code in ("", desktop.lus.rejected[0].code), desktop.lus.rejected[0]
    assert list((desktop.folder / "staging").iterdir()) == []


def test_a_revoked_makers_checkpoint(desktop: Desktop) -> None:
    """Whatever it signed before, nobody continues from it."""
    desktop.revoked.add(MAKER.id)
    desktop.give(signed(statement()))
    desktop.begins_from_zero("revoked")


@pytest.mark.parametrize("fence", [NOW_ON, Fence(1, 6, 1), Fence(2, 1, 1)])
def test_a_checkpoint_of_no_earlier_attempt(desktop: Desktop, fence: Fence) -> None:
    """It cannot be: the attempt that made it has not begun before this one."""
    desktop.give(signed(statement(fence=fence)), fence)
    desktop.begins_from_zero("checkpoint-later")


def test_other_bytes_than_were_promised(desktop: Desktop) -> None:
    """They are not even judged."""
    content = signed(statement())
    desktop.lus.content = content[:-1] + b"x"
    desktop.continued(m.CheckpointRef(0, BEFORE, 2, len(content), hashlib.sha256(content).hexdigest()))
    desktop.begins_from_zero("blob-differs")


def test_an_older_one_is_a_replay(desktop: Desktop) -> None:
    """What this machine knows the WS to have kept, or to have given, is the least that it continues from."""
    desktop.give(signed(statement(sequence=5)), sequence=5)
    assert desktop.found
    desktop.prepare(Fence(1, 7, 1))
    desktop.give(signed(statement(sequence=4)), sequence=4)
    desktop.begins_from_zero("older-checkpoint")
    desktop.give(signed(statement(sequence=5)), sequence=5)
    assert desktop.found


def test_a_bomb(desktop: Desktop) -> None:
    """A small file that would unpack to more than a checkpoint may have is refused before a byte of it is written."""
    content = bomb(limits.BYTES + 1)
    assert len(content) < 4 * 2**20
    desktop.give(content)
    desktop.begins_from_zero("zip-limit")


def test_more_than_a_checkpoint_may_have(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its directory states is added up before anything is unpacked."""
    content = signed(statement())
    monkeypatch.setattr(limits, "BYTES", 5)
    desktop.give(content)
    desktop.begins_from_zero("checkpoint-size")
    monkeypatch.undo()
    monkeypatch.setattr(limits, "FILES", 1)
    desktop.lus.rejected.clear()
    desktop.give(content)
    desktop.begins_from_zero("checkpoint-size")


def bomb(size: int) -> bytes:
    packer, digest, crc, packed = zlib.compressobj(9, zlib.DEFLATED, -15), hashlib.sha256(), 0, b""
    for _ in range(0, size, 2**20):
        piece = bytes(2**20)
        digest.update(piece)
        crc = zlib.crc32(piece, crc)
        packed += packer.compress(piece)
    packed += packer.flush()
    size = -(-size // 2**20) * 2**20
    large = DeflatedFile("checkpoint/large", size, crc, (len(packed), zlib.crc32(packed)), [packed])
    stated = msgspec.json.encode(statement(digests={"checkpoint/large": digest.hexdigest()}))
    out = io.BytesIO()
    files = [measure("checkpoint.json", stated), MeasuredFile(large, digest.digest(), {})]
    sign_measured(out, files, key=MAKER.answer.key, chain=MAKER.answer.chain, attributes={})
    return out.getvalue()


def test_a_size_that_no_checkpoint_has(desktop: Desktop) -> None:
    """It is refused before anything is fetched."""
    desktop.lus.fails = RefusedError("fetched", "it was asked for")
    desktop.give(b"x", size=2**40)
    desktop.begins_from_zero("checkpoint-size")


@pytest.mark.parametrize("name", ["out/x", "checkpoint/a/b", "checkpoint.txt", "receipt.json"])
def test_files_that_are_no_checkpoints(desktop: Desktop, name: str) -> None:
    """An enrolled maker's too: nothing lands anywhere but in the one folder, which has no folders."""
    out, content = io.BytesIO(), b"x"
    stated = msgspec.json.encode(statement(digests={name: hashlib.sha256(content).hexdigest()}))
    files = [measure("checkpoint.json", stated), measure(name, content)]
    sign_measured(out, files, key=MAKER.answer.key, chain=MAKER.answer.chain, attributes={})
    desktop.give(out.getvalue())
    desktop.begins_from_zero("checkpoint-files")


def test_a_web_server_that_is_away_costs_nothing(desktop: Desktop) -> None:
    """A task does not begin from zero for that: its start is refused, and comes again."""
    desktop.lus.fails = RefusedError("ws-away", "the web server cannot be reached now; try again later")
    with pytest.raises(RefusedError, match="ws-away"):
        desktop.give(signed(statement()))
    assert desktop.lus.rejected == []


def test_a_web_server_that_has_it_no_more(desktop: Desktop) -> None:
    """The task begins from zero; there is nothing to reject."""
    desktop.lus.fails = RefusedError("no-blob", "it is not here")
    desktop.give(signed(statement()))
    assert desktop.found == {} and desktop.lus.rejected == []


# --- what a job may have taken --------------------------------------------------------------------------


def take(desktop: Desktop) -> int:
    outcome: list[Any] = []
    Deferred.fromCoroutine(desktop.desk.take(desktop.prepared)).addBoth(outcome.append)
    if not isinstance(outcome[0], int):
        outcome[0].raiseException()
    return cast(int, outcome[0])


def plant_link(folder: Path, outside: Path) -> None:
    (folder / "state").symlink_to(outside)


def plant_hard_link(folder: Path, outside: Path) -> None:
    os.link(outside, folder / "state")


def plant_pipe(folder: Path, outside: Path) -> None:
    os.mkfifo(folder / "state")


def plant_folder(folder: Path, outside: Path) -> None:
    (folder / "state").mkdir()


def exchange_folder(folder: Path, outside: Path) -> None:
    folder.rmdir()
    folder.symlink_to(outside.parent)


@pytest.mark.parametrize(
    "plant",
    [plant_link, plant_hard_link, plant_pipe, plant_folder, exchange_folder],
    ids=lambda each: each.__name__,
)
def test_nothing_else_of_the_machine_is_taken(
    desktop: Desktop, tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    """No link, pipe, folder or file with another name is followed, opened or signed; the job is told which."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "key.pem").write_text("a secret")
    plant(desktop.place.checkpoint, secrets / "key.pem")
    with pytest.raises(RefusedError, match="checkpoint-kind"):
        take(desktop)
    assert list((tmp_path / "outgoing").iterdir()) == [] == list((tmp_path / "staging").iterdir())


@pytest.mark.parametrize("name", [b"a\\b", b"\xff\xfe", b"con\n", b"a:b"])
def test_a_name_that_cannot_travel(desktop: Desktop, name: bytes) -> None:
    """It is refused by name, whatever its bytes are."""
    (desktop.place.checkpoint / os.fsdecode(name)).touch()
    with pytest.raises(RefusedError, match="checkpoint-name"):
        take(desktop)


def test_too_much(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files, and too many bytes, are refused while they are copied."""
    monkeypatch.setattr(limits, "FILES", 2)
    for name in "abc":
        (desktop.place.checkpoint / name).touch()
    with pytest.raises(RefusedError, match="checkpoint-size"):
        take(desktop)
    monkeypatch.setattr(limits, "BYTES", 10)
    (desktop.place.checkpoint / "a").write_bytes(bytes(11))
    (desktop.place.checkpoint / "b").unlink()
    with pytest.raises(RefusedError, match="checkpoint-size"):
        take(desktop)
    assert list((desktop.folder / "staging").iterdir()) == []


# --- sealed answers -------------------------------------------------------------------------------------


def test_what_a_sealed_job_reached_stays_on_its_machine(tmp_path: Path) -> None:
    """Nothing is offered; the next attempt here continues from it, and a WS's word changes nothing."""
    desktop = Desktop(tmp_path, sealed=True)
    (desktop.place.checkpoint / "state").write_bytes(b"step 9")
    assert (take(desktop), take(desktop)) == (1, 2)
    assert desktop.done == [] and desktop.machine.checkpoints == {}
    assert list((tmp_path / "outgoing").iterdir()) == []
    desktop.prepare(Fence(1, 6, 1))
    desktop.give(signed(statement(fence=Fence(1, 5, 9))), Fence(1, 5, 9))
    assert desktop.found == {} and desktop.lus.rejected == []
    desktop.continued(None)
    assert desktop.found == {"state": b"step 9"}
    desktop.desk.answered(desktop.prepared.attempt)
    assert list((tmp_path / "own").iterdir()) == []
    desktop.storage.close()


def test_a_planted_file_among_those_that_stay(tmp_path: Path) -> None:
    """What lies in our own folder is judged like anything else, and goes when it does not hold."""
    desktop = Desktop(tmp_path, sealed=True)
    name = CheckpointName(AttemptId(A, 0, BEFORE), 2)
    (tmp_path / "own" / name.file()).write_bytes(signed(statement(task=1)))
    desktop.own.recover(NOW.timestamp())
    desktop.continued(None)
    assert desktop.found == {}
    assert list((tmp_path / "own").iterdir()) == []
    desktop.storage.close()
