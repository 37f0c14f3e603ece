"""Recorded bytes, a file for each release: later releases keep speaking with earlier ones.

The file of the release that is being made grows; that of one that is out never changes (``released.sha256``).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rjs import __version__
from rjs.attempts import AttemptId, Fence
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import RenewalRequest
from rjs.identity.revocation import SignedRevocations, What
from rjs.listing import ListingRequest
from rjs.needs import Needs, Offer, Platform
from rjs.wire import messages as m

GOLDEN = Path(__file__).parent / "golden"
THIS = ".".join(__version__.split(".")[:2])
RELEASES: dict[str, dict[str, str]] = {
    path.stem: json.loads(path.read_text()) for path in GOLDEN.glob("*.json")
}
RECORDED = RELEASES[THIS]

JOB, SIGNER, DIGEST = "ab" * 32, "cd" * 32, "ef" * 32
CS, BOOT = "12" * 16, "34" * 16
ATTEMPT = AttemptId(JOB, 7, Fence(1, 42, 3))
CHECKPOINT = m.CheckpointRef(7, Fence(1, 41, 2), 5, 4321, DIGEST)
BRIEF = m.JobBrief(
    job=JOB, name="mandelbrot", signer=SIGNER, tasks=8, size=4321, sha256=DIGEST,
    needs=Needs(
        memory=2**28, wall_time=60.0, cores=2, disk=2**29, python=">=3.11",
        platforms=(Platform("linux"), Platform("macos", "aarch64")), java=">=17", runtime="java",
    ),
    sealed=True, jars=(m.JarPart("lib.jar", 99),),
)  # fmt: skip
OFFER = Offer(
    memory=2**33, cores=8, disk=2**36, platform=Platform("linux", "x86_64"), python="3.11.7", java="17.0.9"
)
LINE = m.JobLine(
    job=JOB, name="mandelbrot", user="ada", state="running", tasks=8, waiting=3, running=2, committed=3,
    accepted=1.75e9,
)  # fmt: skip
TASK = m.TaskLine(task=7, state="failed", cs="desk-7", attempts=3, detail="exit status 1", seconds=1.5)
BUSY = m.CsReason(code="busy", sentence="it runs another task", count=12, names=("desk-7", "desk-8"))
WHY = m.Reason(
    code="cs-busy", sentence="every compute server that would take it is busy", tasks=3, first=(4, 5, 7),
    servers=(BUSY,), change=("one of them becomes free",),
)  # fmt: skip

EXAMPLES: list[m.Message] = [
    m.Hello(
        protocol=1, release="1.0", cluster="0123456789abcdef", name=f"rjs://lus/{CS}", boot=BOOT, boot_count=2, dial=5
    ),
    m.Ping(n=9),
    m.Pong(n=9),
    m.Bye(code="closing", sentence="the web server stops"),
    m.Unsupported(re=4, what="lus.novelty"),
    m.Refused(re=4, code="too-large", sentence="a bundle has at most 4294967296 bytes here"),
    m.Done(re=4),
    m.BlobRead(rid=5, kind="bundle", key=JOB, offset=262144, length=4096),
    m.BlobData(re=5, data=b"\x00PK\xff"),
    m.MemberEnrol(rid=1, request=EnrolmentRequest(b"\x30\x01", proof=b"\x30\x05", answer_certificate=b"\x30\x02")),
    m.MemberEnrolled(re=1, chain=(b"\x30\x03", b"\x30\x04")),
    m.MemberRenew(rid=1, request=RenewalRequest(b"\x83", signature=b"\x30\x06", chain=(b"\x30\x03", b"\x30\x04"))),
    m.MemberRenewed(re=1, chain=(b"\x30\x07", b"\x30\x04")),
    m.AccountSigner(rid=1, request=ListingRequest(1_700_000_000.0, b"\x30\x05")),
    m.MemberPresent(rid=1, request=PresentationRequest(b"\x83", b"\x30\x06", (b"\x30\x03", b"\x30\x04"))),
    m.JobToken(rid=1, request=JobTokenRequest(b"\x84", signature=b"\x30\x06", chain=(b"\x30\x03", b"\x30\x04"))),
    m.JobTokenIssued(re=1, chain=(b"\x30\x0a", b"\x30\x04")),
    m.AttemptProgress(attempt=ATTEMPT, cs=CS, fraction=0.4, text="fitting"),
    m.JobInputList(rid=2, first=1000),
    m.JobInputs(re=2, files=(m.FileLine("data/table.csv", 4321),), more=2),
    m.JobInputRead(rid=3, name="data/table.csv", offset=262144, length=4096),
    m.JobOutputWrite(rid=4, name="part/result.bin", offset=4, data=b"\x00\xff", last=False),
    m.JobCheckpointRead(rid=5, name="state", offset=262144, length=4096),
    m.JobCheckpointWrite(rid=6, name="state", offset=4, data=b"\x00\xff", last=False),
    m.JobProgress(rid=7, fraction=0.4, text="fitting"),
    m.JobSubmit(rid=1, name="mandelbrot.jar", size=4321, sha256=DIGEST),
    m.JobAccepted(re=1, job=JOB, tasks=8),
    m.JobList(rid=1),
    m.JobLines(re=1, jobs=(LINE,), more=2),
    m.JobShow(rid=1, job="abab", first=1000),
    m.JobShown(re=1, job=LINE, tasks=(TASK,)),
    m.JobCancel(rid=1, job="abab"),
    m.JobWhy(rid=1, job="abab", file="sums.jar", task=7),
    m.JobReasons(re=1, job=LINE, reasons=(WHY,)),
    m.LusJobWhy(rid=1, job=JOB, needs=BRIEF.needs, task=7, avoid=(CS,)),
    m.LusJobReasons(
        re=1, servers=(BUSY,), more=3, attempts=(m.Whereabouts(7, "running", "desk-7", 0.5),), paused=True
    ),
    m.RevocationNumber(number=17, digest=b"\x0f" * 32),
    m.RevocationList(list=SignedRevocations(b"\x85", signature=b"\x30\x08", chain=(b"\x30\x09", b"\x30\x04"))),
    m.RevocationRead(rid=1),
    m.AdminRevoke(rid=1, what=What.MEMBER, id=f"rjs://cs/{CS}", reason="its disk was stolen"),
    m.TaskWant(outstanding=6, epoch=3),
    m.TaskGrant(
        generation=1, job=BRIEF, tasks=(m.LeasedTask(42, 7), m.LeasedTask(43, 8, (CS,))), checkpoints=(CHECKPOINT,)
    ),
    m.LeaseRenew(rid=2, leases=(42, 43), upto=43),
    m.LeaseRenewed(re=2, ended=(42,)),
    m.LeaseEnded(leases=(43,), code="cancelled", sentence="cancelled by ada"),
    m.TaskReturn(job=JOB, leases=(43,), epoch=3, code="not-placed", sentence="no compute server trusts its signer"),
    m.TaskPlaced(attempt=ATTEMPT, cs=CS, cs_name="desk-7"),
    m.TaskAdopt(rid=7, cs=CS, attempts=(ATTEMPT,), whole=True),
    m.TaskAdopted(re=7, leased=(ATTEMPT,), jobs=(BRIEF,), ended=(AttemptId(JOB, 6, Fence(1, 41, 2)),)),
    m.AttemptEnded(rid=3, attempt=ATTEMPT, cs=CS, kind="failed", detail="exit status 1", tail="Traceback…"),
    m.AnswerOffer(rid=3, attempt=ATTEMPT, cs=CS, size=4, sha256=DIGEST, data=b"PK\x03\x04"),
    m.AnswerVerdict(re=3, verdict="refused", code="answer-key", sentence="not the enrolled key"),
    m.CheckpointOffer(
        rid=3, attempt=ATTEMPT, cs=CS, sequence=2, size=4, sha256=DIGEST, data=b"PK\x03\x04"
    ),
    m.CheckpointVerdict(re=3, verdict="refused", code="stale-fence", sentence="a later attempt has begun"),
    m.CheckpointRejected(
        rid=4, attempt=ATTEMPT, cs=CS, sha256=DIGEST, code="checkpoint-task", sentence="it is another task's"
    ),
    m.CsState(
        name="desk-7", mflops=51234.5, offer=OFFER, trust_epoch=1, busy=True,
        running=(ATTEMPT,), holding=(AttemptId(JOB, 6, Fence(1, 41, 2)),),
    ),
    m.TaskStart(rid=6, job=BRIEF, task=7, fence=Fence(1, 42, 3), checkpoint=CHECKPOINT),
    m.TaskStop(attempt=ATTEMPT, sentence="the job was cancelled"),
]  # fmt: skip


def test_every_message_has_an_example() -> None:
    """No message type is without one, and none is recorded that is gone."""
    assert len(EXAMPLES) == len(m.TYPES)
    assert {type(each) for each in EXAMPLES} == set(m.TYPES)
    assert RECORDED.keys() == m.TAGS.keys()


@pytest.mark.parametrize("example", EXAMPLES, ids=m.tag_of)
def test_recorded_bytes_mean_what_they_meant(example: m.Message) -> None:
    """What this release wrote is read as it was meant, and written the same again."""
    written = m.encode(example).hex()
    assert RECORDED.get(m.tag_of(example)) == written, f"a new message? record {written}"
    assert m.decode(bytes.fromhex(RECORDED[m.tag_of(example)])) == example


# --- releases that are out --------------------------------------------------------------------------------


def faults_of(folder: Path, current: str) -> list[str]:
    """What is wrong with the recorded files: one of an earlier release that is not as it was when that came out."""
    lines = (line.split("  ") for line in (folder / "released.sha256").read_text().splitlines())
    sealed = {name: digest for digest, name in lines}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    faults = [f"{name} is gone" for name in sealed.keys() - found.keys()]
    faults += [f"{name} has changed" for name in sealed.keys() & found.keys() if sealed[name] != found[name]]
    return faults + [f"{name} is not sealed" for name in found.keys() - sealed.keys() - {f"{current}.json"}]


def holds(now: object, then: object) -> bool:
    """Whether ``now`` says all that ``then`` said; it may say more, in fields that were added since."""
    if isinstance(now, dict) and isinstance(then, dict):
        return all(key in now and holds(now[key], value) for key, value in then.items())
    if isinstance(now, list) and isinstance(then, list):
        return len(now) >= len(then) and all(map(holds, now, then))
    return now == then


def test_no_file_of_an_earlier_release_changed() -> None:
    """What is out is out: its recorded bytes are the promise."""
    assert faults_of(GOLDEN, THIS) == []


def test_a_change_would_be_noticed(tmp_path: Path) -> None:
    """The control: a file changed, one removed, and one that nobody sealed when its release came out."""
    sealed = [f"{hashlib.sha256(each.encode()).hexdigest()}  {each}.json" for each in ("0.1", "0.2")]
    (tmp_path / "released.sha256").write_text("\n".join(sealed))
    for name in ("0.1", "0.2", "0.3"):
        (tmp_path / f"{name}.json").write_text(name)
    assert faults_of(tmp_path, "0.3") == []
    (tmp_path / "0.1.json").write_text("{}")
    (tmp_path / "0.2.json").unlink()
    assert faults_of(tmp_path, "0.4") == [
        "0.2.json is gone",
        "0.1.json has changed",
        "0.3.json is not sealed",
    ]


@pytest.mark.parametrize(
    ("release", "tag"), [(release, tag) for release, frames in RELEASES.items() for tag in frames]
)
def test_every_release_is_still_understood(release: str, tag: str) -> None:
    """A frame that any release wrote is read, and written again it says all that it said, in the same words."""
    frame = bytes.fromhex(RELEASES[release][tag])
    message = m.decode(frame)
    assert m.tag_of(message) == tag
    assert holds(msgspec.msgpack.decode(m.encode(message)), msgspec.msgpack.decode(frame))


@pytest.mark.parametrize("message", EXAMPLES, ids=m.tag_of)
def test_a_later_release_may_add_fields(message: m.Message) -> None:
    """Fields that this release does not know change nothing of what it reads."""
    plain = msgspec.msgpack.decode(m.encode(message))
    assert m.decode(msgspec.msgpack.encode({**plain, "novelty": [1, {"a": b"b"}], "zeal": None})) == message


OLDER: dict[type[m.Message], dict[str, Any]] = {
    m.Hello: {"now": 0.0, "boot_count": 0, "dial": 0},
    m.MemberEnrol: {"chain": ()},
    m.RevocationNumber: {"digest": b""},
    m.RevocationRead: {"known": 0},
    m.TaskGrant: {"checkpoints": ()},
    m.TaskStart: {"checkpoint": None},
}
"""Fields that an older peer does not say, and what that means."""


@pytest.mark.parametrize("kind", OLDER, ids=m.tag_of)
def test_an_older_peer_does_not_say_new_fields(kind: type[m.Message]) -> None:
    """Without the fields that were added since, a message means what it meant before them."""
    message = next(each for each in EXAMPLES if isinstance(each, kind))
    plain = msgspec.msgpack.decode(m.encode(message))
    older = msgspec.msgpack.encode({key: value for key, value in plain.items() if key not in OLDER[kind]})
    assert m.decode(older) == msgspec.structs.replace(message, **OLDER[kind])
