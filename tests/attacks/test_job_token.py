"""Attack: use a job token for anything but its own job, get one for another's, or misuse channel and door.

Renewals, the flood through real processes and the hunt for secrets are in tests/integration/test_job_token.py and
tests/cs/spawner/test_channel.py.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cs import limits
from cs.api import CsDoor as CsDoorForLus
from cs.control import ControlLines, Fault, Progress, TokenAsked
from cs.control_channel import JobDesk, JobLink, doors_folder
from cs.job_door import JobDoor
from cs.job_files import Budget, JobFolder
from cs.prepared import Prepared
from lus.api import CsDoor as LusDoorForCs
from lus.job_relay import JobRelay
from rjs.attempts import AttemptId, Fence
from rjs.background import ImmediateWorkers, Tasks
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.job_tokens import ask_job_token, check_job_token, job_name
from rjs.identity.keys import Chain, new_key
from rjs.identity.names import Role
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.session import Door
from rjs.wire.testing import Wire
from ws.api import WsDoor

ORGANISATION = Organisation(dt.datetime.now(dt.UTC))
ATTEMPT = AttemptId("ab" * 32, 7, Fence(1, 42, 3))
OTHERS = {
    "another task": AttemptId("ab" * 32, 8, Fence(1, 42, 3)),
    "another job": AttemptId("cd" * 32, 7, Fence(1, 42, 3)),
    "an earlier attempt": AttemptId("ab" * 32, 7, Fence(1, 42, 2)),
    "an earlier lease": AttemptId("ab" * 32, 7, Fence(1, 41, 3)),
    "an earlier generation": AttemptId("ab" * 32, 7, Fence(0, 42, 3)),
}
NOTHING = cast(Any, SimpleNamespace())
SAID = [
    m.JobInputList(),
    m.JobInputRead(name="run.py", offset=0, length=10),
    m.JobOutputWrite(name="x", data=b"1"),
    m.JobCheckpointWrite(name="x", data=b"1"),
    m.JobCheckpointRead(name="x", offset=0, length=10),
    m.JobProgress(fraction=0.5),
]


class Bundle:
    """A job of one file."""

    def __init__(self) -> None:
        self.entries = {"run.py": SimpleNamespace(size=5)}

    def chunks(self, name: str) -> list[bytes]:
        return [b"print"]


class Desk:
    """The door of ATTEMPT, with the folder of its task, and a wire to it."""

    def __init__(self, folder: Path) -> None:
        self.job = folder / "job"
        self.out = self.job / "out"
        self.out.mkdir(parents=True)
        self.checkpoint = folder / "checkpoint"
        self.checkpoint.mkdir()
        self.progress: list[Progress] = []
        place = SimpleNamespace(
            task=folder, out=self.out, checkpoint=self.checkpoint, staging=folder / "door", job=self.job
        )
        prepared = SimpleNamespace(attempt=ATTEMPT, workplace=place, bundle=Bundle())
        self.door = JobDoor(cast(Prepared, prepared), ImmediateWorkers(), self.progress.append)

    def wire(self, caller: Role | Identity) -> Wire:
        wire = Wire(ORGANISATION, caller, Role.CS)
        wire.called.door = cast(Any, self.door)
        wire.open()
        return wire

    def outcome(self, wire: Wire, message: m.Message) -> Any:
        """The reply, or the code of the refusal."""
        got: list[Any] = []
        kind = cast(Any, m.Message)
        wire.ask(wire.dialled, message, kind).addBoth(got.append)
        wire.turn()
        error = getattr(got[0], "value", None)
        return error.code if isinstance(error, RefusedError) else error or got[0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- whose door -----------------------------------------------------------------------------------------


def test_its_own_job_is_served(desk: Desk) -> None:
    """With the token of exactly this attempt everything that a job may do is done."""
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    replies = [desk.outcome(wire, each) for each in SAID]
    assert replies[0].files == (m.FileLine("run.py", 5),) and replies[1].data == b"print"
    assert replies[4].data == b"1" and (desk.out / "x").read_bytes() == b"1"
    assert desk.progress == [Progress(0.5, "")]


@pytest.mark.parametrize("whose", OTHERS)
def test_another_attempts_token_opens_nothing(desk: Desk, whose: str) -> None:
    """Whoever comes with the token of anything but this very attempt is told whose door it is, and that is all."""
    wire = desk.wire(ORGANISATION.job(OTHERS[whose]))
    assert wire.dialled.reason.startswith(f"wrong-attempt: this door is for {job_name(ATTEMPT).uri()} alone")
    for each in SAID:
        assert "wrong-attempt" in str(desk.outcome(wire, each))
    assert list(desk.out.iterdir()) == [] and desk.progress == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.JOB])
def test_nobody_else_is_welcome(desk: Desk, role: Role) -> None:
    """No member, admin or web server included, gets in at a job's door."""
    wire = desk.wire(role)
    assert wire.dialled.reason.startswith(("wrong-role", "certificate-expired"))


DOORS: dict[str, Door] = {
    "ws": WsDoor(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING),
    "lus": LusDoorForCs(NOTHING, NOTHING),
    "cs": CsDoorForLus(NOTHING),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_job_is_served_at_no_servers_door(door: str) -> None:
    """At every other door of every server a job token is told that its role is not served there."""
    wire = Wire(ORGANISATION, ORGANISATION.job(ATTEMPT), Role.WS)
    wire.called.door.welcome, wire.called.door.routes = DOORS[door].welcome, DOORS[door].routes
    wire.open()
    assert wire.dialled.reason.startswith(f"wrong-role: {job_name(ATTEMPT).uri()} is not served at this door")
    assert not any(Role.JOB in kind.callers for kind in DOORS[door].routes)


def test_nothing_is_done_after_the_end(desk: Desk) -> None:
    """A connection that is still open when the attempt ends gets nothing more, and a new one is turned away."""
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    assert isinstance(desk.outcome(wire, SAID[2]), m.Done)
    Deferred.fromCoroutine(desk.door.end())
    assert desk.outcome(wire, m.JobOutputWrite(name="late", data=b"1")) == "attempt-over"
    assert not (desk.out / "late").exists()
    assert desk.wire(ORGANISATION.job(ATTEMPT)).dialled.reason.startswith("attempt-over")


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["../x", "/etc/passwd", "a/../../x", "a//b", "./x", "a\\b", "C:x", "nul", "x.", "a\0b", "a\nb", "x" * 300,
     "/".join("a" * 40), "e\u0301", "\u202e"],
)  # fmt: skip
def test_a_name_leads_nowhere_else(desk: Desk, tmp_path: Path, name: str) -> None:
    """What is no plain relative name is refused, for outputs and checkpoints, and nothing is left of it."""
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    for message in (m.JobOutputWrite(name=name, data=b"1"), m.JobCheckpointWrite(name=name, data=b"1")):
        assert desk.outcome(wire, message) == "file-name"
    left = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set()


def test_no_planted_link_is_followed(desk: Desk, tmp_path: Path) -> None:
    """A link in the place of a file is replaced, of a folder refused; neither pipe nor hard link is read."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    (tmp_path / "elsewhere").mkdir()
    (desk.out / "file").symlink_to(secret)
    (desk.out / "folder").symlink_to(tmp_path / "elsewhere")
    (desk.checkpoint / "link").symlink_to(secret)
    os.link(secret, desk.checkpoint / "hard")
    os.mkfifo(desk.checkpoint / "pipe")
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    assert isinstance(desk.outcome(wire, m.JobOutputWrite(name="file", data=b"mine")), m.Done)
    assert secret.read_bytes() == b"key" and (desk.out / "file").read_bytes() == b"mine"
    assert desk.outcome(wire, m.JobOutputWrite(name="folder/x", data=b"mine")) == "file-kind"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    for name in ("link", "hard", "pipe"):
        assert desk.outcome(wire, m.JobCheckpointRead(name=name, offset=0, length=9)) == "file-kind"


@pytest.mark.parametrize("which", ["out", "job", "checkpoint"])
def test_no_exchanged_folder_is_entered(desk: Desk, tmp_path: Path, which: str) -> None:
    """A job that puts a link in the place of a whole folder of its own makes its door write nowhere."""
    target = tmp_path / "elsewhere"
    (target / "out").mkdir(parents=True)
    place = {"out": desk.out, "job": desk.job, "checkpoint": desk.checkpoint}[which]
    place.rename(tmp_path / "moved")
    place.symlink_to(target)
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    kind = m.JobCheckpointWrite if which == "checkpoint" else m.JobOutputWrite
    assert desk.outcome(wire, kind(name="x", data=b"1")) == "file-kind"
    assert [path for path in target.rglob("*") if path.is_file()] == []


def test_files_appear_whole_or_not_at_all(desk: Desk) -> None:
    """Parts that are out of order, or of which the last never comes, leave no file where outputs are collected."""
    wire = desk.wire(ORGANISATION.job(ATTEMPT))
    assert isinstance(desk.outcome(wire, m.JobOutputWrite(name="x", data=b"12", last=False)), m.Done)
    assert list(desk.out.iterdir()) == []
    assert desk.outcome(wire, m.JobOutputWrite(name="x", offset=1, data=b"3")) == "file-offset"
    assert desk.outcome(wire, m.JobOutputWrite(name="x", offset=2, data=b"3")) == "file-offset"
    assert list(desk.out.iterdir()) == []


def test_what_is_written_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, all files together, unfinished ones and a checkpoint folder have caps, and what was refused is gone."""
    monkeypatch.setattr(limits, "DOOR_FILE", 10)
    monkeypatch.setattr(limits, "CHECKPOINT_FILES", 2)
    (tmp_path / "c").mkdir()
    folder = JobFolder(tmp_path, tmp_path / "c", tmp_path / "door", Budget(30), flat=True)

    def code(*arguments: Any) -> str:
        with pytest.raises(RefusedError) as refused:
            folder.write(*arguments)
        return refused.value.code

    assert code("big", 0, b"x" * 11, True) == "too-large"
    for number in range(limits.DOOR_UNFINISHED):
        folder.write(f"open{number}", 0, b"", False)
    assert code("one-more", 0, b"", False) == "too-many-files"
    folder.write("open0", 0, b"x" * 10, True)
    folder.write("open1", 0, b"x" * 10, True)
    assert code("open2", 0, b"x", True) == "too-large"
    assert code("open3", 0, b"x" * 10, False) == "too-large"
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["open0", "open1"]


def test_what_is_planted_among_the_doors_keeps_no_server_from_starting(tmp_path: Path) -> None:
    """Folders, links and closed ones are removed with what is left of earlier doors, and nothing that is linked."""
    doors, kept = doors_folder(tmp_path / "doors"), tmp_path / "kept"
    kept.write_text("x")
    (doors / "0" / "deep").mkdir(parents=True)
    (doors / "0").chmod(0)
    (doors / "1").symlink_to(kept)
    assert list(doors_folder(doors).iterdir()) == [] and kept.exists()


# --- forging --------------------------------------------------------------------------------------------


def request_of(attempt: AttemptId) -> bytes:
    return request_der(make_request(new_key(), job_name(attempt).uri(), "job"))


def test_a_lookup_server_cannot_make_or_redirect_a_request() -> None:
    """With all that it carries and its own certificate, a LUS gets no job certified."""
    now, root = ORGANISATION.now, ORGANISATION.root
    desk, lus = ORGANISATION.member(Role.CS), ORGANISATION.member(Role.LUS)
    genuine = ask_job_token(desk, ATTEMPT, request_of(ATTEMPT), now)
    other = OTHERS["another task"]
    own = ask_job_token(lus, other, request_of(other), now)
    forged = {
        "its own word": own,
        "its own word, in the compute server's name": msgspec.structs.replace(own, chain=genuine.chain),
        "another statement": msgspec.structs.replace(genuine, statement=own.statement),
        "another signature": msgspec.structs.replace(genuine, signature=own.signature),
    }
    for what, request in forged.items():
        with pytest.raises(IdentityError) as refused:
            check_job_token(request, root, now)
        assert refused.value.code in ("identity.role", "identity.proof"), what


def test_a_compute_server_asks_for_its_own_jobs_alone() -> None:
    """A LUS carries for a compute server what that has signed itself, and nothing of another's."""
    relay = JobRelay(NOTHING)
    request = ask_job_token(
        ORGANISATION.member(Role.CS, "a" * 32), ATTEMPT, request_of(ATTEMPT), ORGANISATION.now
    )
    session = SimpleNamespace(
        peer=SimpleNamespace(name=SimpleNamespace(id="b" * 32, uri=lambda: "rjs://cs/b"))
    )
    asked = relay.routes()[m.JobToken](cast(Any, session), m.JobToken(request=request))
    outcome: list[Any] = []
    Deferred.fromCoroutine(cast(Any, asked)).addBoth(outcome.append)
    assert outcome[0].value.code == "wrong-cs"
    said = m.AttemptProgress(attempt=ATTEMPT, cs="a" * 32, fraction=0.1)
    with pytest.raises(RefusedError, match="cannot speak for"):
        relay.routes()[m.AttemptProgress](cast(Any, session), said)


class Running:
    """An attempt whose job asks for tokens, at a compute server whose lookup server answers with ``chain``."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.said = Clock(), [b""]
        self.chain: tuple[bytes, ...] | None = None
        self.asked = 0
        identity = ORGANISATION.member(Role.CS)
        reactor, me = cast(Any, self.clock), cast(Any, SimpleNamespace(cluster="c"))
        desk = JobDesk(
            reactor, Tasks("test"), ImmediateWorkers(), me, "a" * 32, folder, lambda: identity,
            lambda: cast(Any, self), lambda: ORGANISATION.now,
        )  # fmt: skip
        prepared = cast(Prepared, SimpleNamespace(attempt=ATTEMPT, door=None))
        self.link = JobLink(desk, prepared, SimpleNamespace(say=self.said.append, hush=lambda: None))

    async def request(self, message: m.JobToken, kind: object) -> m.JobTokenIssued:
        """What the lookup server answers: ``chain``, or the right one."""
        self.asked += 1
        request = check_job_token(message.request, ORGANISATION.root, ORGANISATION.now)
        issued = ORGANISATION.tokens.issue(request.public_key, job_name(ATTEMPT), "job", ORGANISATION.now, 60)
        return m.JobTokenIssued(chain=self.chain or chain_of(issued))

    def ask(self) -> str:
        """The code of what the job is answered; empty for a token."""
        asked = {"ask": "token", "request": base64.b64encode(request_of(ATTEMPT)).decode()}
        self.link.heard(json.dumps(asked).encode() + b"\n")
        return str(json.loads(self.said[-1]).get("error", ""))


def chain_of(chain: Chain) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


@pytest.mark.parametrize(
    "what", ["nothing", "garbage", "a key of its own", "another attempt", "its own certificate"]
)
def test_what_a_lookup_server_answers_is_judged(tmp_path: Path, what: str) -> None:
    """A job is given its own token or told why not: what it could not use would end its renewals."""
    answers: dict[str, tuple[bytes, ...]] = {
        "nothing": (),
        "garbage": (b"x",),
        "a key of its own": chain_of(ORGANISATION.job(ATTEMPT).chain),
        "another attempt": chain_of(ORGANISATION.job(OTHERS["another task"]).chain),
        "its own certificate": chain_of(ORGANISATION.member(Role.LUS).chain),
    }
    running = Running(tmp_path)
    running.chain = answers[what] or (b"",)
    assert running.ask().startswith("identity.")
    running.chain = None
    assert running.ask() == ""


def test_one_job_does_not_use_up_the_tokens_of_all(tmp_path: Path) -> None:
    """Who asks again and again waits for a tenth of a token's life, and its requests go nowhere meanwhile."""
    running = Running(tmp_path)
    codes = [running.ask() for _ in range(limits.TOKENS_AT_ONCE + 3)]
    assert codes == [""] * limits.TOKENS_AT_ONCE + ["too-often"] * 3
    assert running.asked == limits.TOKENS_AT_ONCE
    running.clock.advance(6.0)
    assert [running.ask(), running.ask()] == ["", "too-often"]


# --- the channel ----------------------------------------------------------------------------------------


def codes(found: list[Any]) -> list[str]:
    return [each.code if isinstance(each, Fault) else type(each).__name__ for each in found]


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"null", b"progress", b"\xff\xfe", b'{"ask": 1}', b'{"ask": "progress"}', b"[" * 5000,
     b'{"ask": "progress", "fraction": 2}', b'{"ask": "progress", "fraction": NaN}',
     b'{"ask": "progress", "fraction": 0.1, "text": "\\u001b[2J"}',
     b'{"ask": "progress", "fraction": 0.1, "text": "' + b"x" * 201 + b'"}',
     b'{"ask": "token"}', b'{"ask": "token", "request": "?"}', b'{"ask": "token", "request": 5}',
     b'{"ask": "progress", "fraction": 0.1, "id": {"a": 1}}'],
)  # fmt: skip
def test_garbage_gets_a_line_that_says_so(line: bytes) -> None:
    """What is no request is answered with what is wrong, and the next line counts as if nothing had been."""
    lines = ControlLines(0.0)
    fault, fine = lines.heard(line + b'\n{"ask": "progress", "fraction": 0.5}\n', 0.0)
    assert isinstance(fault, Fault) and fault.code == "malformed" and fine == Progress(0.5, "")
    answer = json.loads(fault.line())
    assert answer["error"] == "malformed" and fault.line().count(b"\n") == 1


def test_what_is_not_known_is_unsupported() -> None:
    """A request of a later release is refused by name, with its id, and closes nothing."""
    lines = ControlLines(0.0)
    for number in range(limits.CONTROL_FAULTS + 5):
        (fault,) = lines.heard(b'{"ask": "novelty", "id": 7}\n', float(number))
        assert (
            isinstance(fault, Fault) and json.loads(fault.line())["error"] == "unsupported" and fault.id == 7
        )
    assert not lines.closed


def test_too_long_a_line_closes_the_channel() -> None:
    """A line without an end is held no further than its cap, and nothing after it is heard."""
    lines = ControlLines(0.0)
    assert lines.heard(b"x" * limits.CONTROL_LINE, 0.0) == []
    (fault,) = lines.heard(b"x", 0.0)
    assert isinstance(fault, Fault) and (fault.code, fault.last) == ("too-long", True)
    assert lines.heard(b'\n{"ask": "progress", "fraction": 0.5}\n', 0.0) == []


def test_a_flood_of_lines_closes_the_channel() -> None:
    """Beyond the rate lines are refused unread, and after some of these the channel is closed."""
    lines = ControlLines(0.0)
    flood = b'{"ask": "progress", "fraction": 0.5}\n' * 1000
    found = codes(lines.heard(flood, 0.0))
    assert found == ["Progress"] * limits.CONTROL_LINES + ["too-often"] * (limits.CONTROL_FAULTS - 1) + [
        "closed"
    ]
    assert lines.closed and lines.heard(flood, 100.0) == []


def test_pieces_make_the_same_lines() -> None:
    """However a job's writes are cut, the same is heard."""
    said = b'{"ask": "token", "id": "a", "request": "' + base64.b64encode(b"\x30\x00") + b'"}\n'
    lines, found = ControlLines(0.0), list[Any]()
    for byte in said * 2:
        found += lines.heard(bytes([byte]), 0.0)
    assert found == [TokenAsked(b"\x30\x00", "a")] * 2


def test_a_quiet_job_may_speak_again() -> None:
    """The rate refills with time, so that a long job reports as long as it lives."""
    lines, line = ControlLines(0.0), b'{"ask": "progress", "fraction": 0.5}\n'
    for second in range(500):
        assert codes(lines.heard(line * limits.CONTROL_LINES_A_SECOND, float(second))) == (
            ["Progress"] * limits.CONTROL_LINES_A_SECOND
        )
