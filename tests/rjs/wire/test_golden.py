"""Recorded bytes: later releases keep speaking with this one. A recorded frame never changes; new ones are added."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rjs.attempts import AttemptId, Fence
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import RenewalRequest
from rjs.identity.revocation import SignedRevocations, What
from rjs.needs import Needs, Offer, Platform
from rjs.wire import messages as m

RECORDED: dict[str, str] = json.loads((Path(__file__).parent / "golden" / "messages.json").read_text())

JOB, SIGNER, DIGEST = "ab" * 32, "cd" * 32, "ef" * 32
CS, BOOT = "12" * 16, "34" * 16
ATTEMPT = AttemptId(JOB, 7, Fence(1, 42, 3))
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
    m.TaskGrant(generation=1, job=BRIEF, tasks=(m.LeasedTask(42, 7), m.LeasedTask(43, 8, (CS,)))),
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
    m.CsState(
        name="desk-7", mflops=51234.5, offer=OFFER, trust_epoch=1, busy=True,
        running=(ATTEMPT,), holding=(AttemptId(JOB, 6, Fence(1, 41, 2)),),
    ),
    m.TaskStart(rid=6, job=BRIEF, task=7, fence=Fence(1, 42, 3)),
    m.TaskStop(attempt=ATTEMPT, sentence="the job was cancelled"),
]  # fmt: skip


def test_every_message_has_an_example() -> None:
    """No message type is without one, and none is recorded that is gone: a release speaks with the one before."""
    assert len(EXAMPLES) == len(m.TYPES)
    assert {type(each) for each in EXAMPLES} == set(m.TYPES)
    assert RECORDED.keys() == m.TAGS.keys()


@pytest.mark.parametrize("example", EXAMPLES, ids=m.tag_of)
def test_recorded_bytes_mean_what_they_meant(example: m.Message) -> None:
    """What this release wrote is read as it was meant, and written the same again."""
    written = m.encode(example).hex()
    assert RECORDED.get(m.tag_of(example)) == written, f"a new message? record {written}"
    assert m.decode(bytes.fromhex(RECORDED[m.tag_of(example)])) == example
