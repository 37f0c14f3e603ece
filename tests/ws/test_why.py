"""Why tasks stand as they do: every state of `docs/why.md` in turn, from the queue's own facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from samples import CS1, A, B, attempt, job

from rjs import limits
from rjs.wire.messages import CsReason, JobReasons, LusJobReasons, Reason, Whereabouts, encode
from ws.instructions import Answer
from ws.job import SIGNER_REVOKED, Blocked
from ws.limits import UNPLACED
from ws.queue import Queue
from ws.why import ORDER, Known, line, why
from ws.why_uploads import Upload, why_no_job

PAGE = (Path(__file__).parents[2] / "docs" / "why.md").read_text()
NOT_TRUSTED = Blocked(1, "not-accepted", "cs1: not-trusted: the owner does not trust CN=ada")


@attrs.define
class Stage:
    """A queue with job A of two tasks at one LUS ``l``, and what is known beside it."""

    queue: Queue = attrs.field(factory=lambda: Queue(1))
    now: float = 0.0
    known: dict[str, Any] = attrs.field(factory=dict)

    def lus(self, want: int = 2, lus: str = "l", boot: str = "b1", epoch: int = 1) -> Stage:
        self.queue.lus_opened(lus, boot, self.now)
        self.queue.want(lus, want, epoch, self.now)
        return self

    def add(self, tasks: int = 2, **more: Any) -> Stage:
        self.queue.add_job(job(A, tasks, **more), self.now)
        return self

    def place(self, lease: int = 1, task: int = 0, cs: str = CS1, name: str = "cs1") -> Stage:
        self.queue.placed("l", attempt(lease, task=task), cs, name, self.now)
        return self

    def end(self, lease: int, kind: str, detail: str = "exit status 1\nits stderr") -> Stage:
        self.queue.attempt_ended("l", attempt(lease), CS1, kind, detail, self.now)
        return self

    def said(self, *servers: str, paused: bool = False, attempts: tuple[Whereabouts, ...] = ()) -> Stage:
        kinds = tuple(CsReason(code=each, sentence=f"it is {each}", names=("cs1",)) for each in servers)
        self.known["said"] = {"l": LusJobReasons(servers=kinds, paused=paused, attempts=attempts)}
        return self

    def commit(self, task: int = 0) -> Stage:
        made = attempt(task + 1, task=task)
        self.queue.commit(Answer(made, CS1, "cs1", "d" * 64, 1, b"x", ""), self.now)
        return self

    def why(self, task: int | None = None) -> tuple[Reason, ...]:
        known = Known(now=self.now, names={"l": "lus-7"}, **self.known)
        return why(self.queue, self.queue.jobs[A], known, task)


def placed() -> Stage:
    """Task 0 of one was given to cs1."""
    return Stage().lus(1).add(1).place()


def running(stage: str = "running", silent: float = 0.5) -> Stage:
    return placed().said(attempts=(Whereabouts(0, stage, "cs1", silent),))


def failed(times: int, kind: str) -> Stage:
    made = placed()
    for number in range(1, times + 1):
        made.end(number, kind)
        if number < times:
            made.place(number + 1)
    return made


def returned() -> Stage:
    made = Stage().lus(1).add(1)
    made.queue.returned("l", A, [1], NOT_TRUSTED, 0.0)
    return made


def away() -> Stage:
    made = placed()
    made.queue.lus_closed("l", "b1")
    made.now = 20.0
    return made


def lapsed() -> Stage:
    made = away()
    for second in range(62):
        made.now = float(second)
        made.queue.tick(made.now, 0.0)
    return made


def closed(reason: str) -> Stage:
    made = placed()
    made.queue.fail(A, reason, 0.0)
    return made


def expired() -> Stage:
    made = Stage().add(1, not_after=5.0)
    made.queue.tick(1.0, 6.0)
    return made


def cancelled() -> Stage:
    made = placed()
    made.queue.cancel(A, "cancelled by ada", 0.0)
    return made


def restarted() -> Stage:
    made = placed()
    made.queue.lus_opened("l", "b2", 1.0)
    made.now = 1.0
    return made


def offered_again() -> Stage:
    """It was given back; then a compute server came, and what that can take is taken already."""
    made = returned()
    made.queue.add_job(job(B, 1), 0.0)
    made.queue.want("l", 1, 2, 0.0)
    return made


def undelivered() -> Stage:
    made = placed().commit()
    made.known.update(undelivered=1, fault="No space left on device", cs_name="cs1")
    return made


def no_word() -> Stage:
    made = placed()
    made.known["said"] = {"l": "did not answer within 2 s"}
    return made


STATES: dict[str, tuple[Callable[[], Stage], str]] = {
    "no-lus": (lambda: Stage().add(1), "no lookup server is connected"),
    "no-cs": (lambda: Stage().lus(0).add(1), "no lookup server has a compute server at present"),
    "not-taken": (returned, NOT_TRUSTED.sentence),
    "offered-again": (offered_again, NOT_TRUSTED.sentence),
    "in-turn": (lambda: Stage().lus(1).add(2), "it is given out in its turn"),
    "at-lus": (lambda: Stage().lus(1).add(1), "lookup server lus-7 has it"),
    "being-placed": (lambda: Stage().lus(1).add(1).said("busy", "free"), "cs1: lookup server lus-7 gives it away"),
    "cs-busy": (lambda: Stage().lus(1).add(1).said("busy", "failed-there"), "would take it is busy: cs1"),
    "cs-away": (lambda: Stage().lus(1).add(1).said("away"), "is lost: cs1"),
    "failed-there": (lambda: Stage().lus(1).add(1).said("failed-there"), "waits 10 s for another one"),
    "lus-paused": (lambda: Stage().lus(1).add(1).said("free", paused=True), "starts nothing"),
    "placed": (placed, "it was given to cs1; placed there 0 s ago, 11 min left at most"),
    "starting": (lambda: running("starting"), "it starts on cs1, which fetches and verifies"),
    "running": (running, "it runs on cs1; placed there 0 s ago"),
    "cs-silent": (lambda: running(silent=3.0), "cs1 was not heard for a while; not heard for 3 s"),
    "lus-away": (away, "unless it comes back within 40 s, others get it"),
    "adoptable": (restarted, "lus-7, which had placed it on cs1, was restarted; it runs on there"),
    "undelivered": (undelivered, "committed (by cs1), but not in ans/aaaaaaaaaaaaaaaa/ yet: No space left on device"),
    "committed": (lambda: placed().commit(), "answered: ans/aaaaaaaaaaaaaaaa/"),
    "failed": (lambda: failed(3, "failed"), "failed 3 times (on cs1, cs1, cs1); the last time: exit status 1"),
    "expired": (expired, "the bundle expired"),
    "signer-revoked": (lambda: closed(SIGNER_REVOKED + "key lost"), "signer revoked: key lost"),
    "cancelled": (cancelled, "cancelled by ada"),
    "may-still-run": (lapsed, "an attempt may still run on cs1"),
    "tried-before": (lambda: failed(1, "failed"), "failed 1 of 3 times (on cs1), 2 left; the last time: exit status"),
    "no-word": (no_word, "lookup server lus-7 did not answer within 2 s"),
    "being-leased": (lambda: due(), "given it at this moment"),
}  # fmt: skip


def due() -> Stage:
    """What no event leaves: there is room, and nobody has granted yet."""
    made = Stage().lus(1).add(2)
    made.queue.dispatch.luses["l"].want = 2
    return made


UPLOADS = {
    "being-judged": (Upload(is_judged_now=True, is_waiting=True, refusal="x: y"), "", "verified now"),
    "waits-for-judging": (Upload(is_waiting=True, told="old"), "old: refusal", "its turn"),
    "may-be-arriving": (
        Upload(refusal="bundle.zip: no end", again_in=2.0),
        "",
        "refused: bundle.zip: no end",
    ),
    "judged-again": (Upload(told="disk-full: 3 MiB are left", again_in=5.0), "", "disk-full: 3 MiB are left"),
    "part": (Upload(leads=("main.jar",)), "", "part of the job of main.jar"),
    "upload-refused": (Upload(), "signer: not listed", "it was refused: signer: not listed"),
}


def of_section(title: str) -> Iterator[str]:
    """The codes in the first column of a section's table."""
    section = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row)


def test_the_page_lists_every_code_and_each_has_a_test() -> None:
    """No code is said that the page does not explain, and none is explained that is never said."""
    has = "A task that a lookup server has"
    sections = ("A task that waits for a lookup server", has, "A task that has ended", "Said besides")
    told = [code for title in sections for code in of_section(title)]
    assert sorted(told) == sorted(ORDER) == sorted(STATES)
    assert sorted(of_section("An upload")) == sorted(UPLOADS)
    servers = set(of_section("How compute servers stand to a job"))
    assert {"free", "busy", "away", "failed-there", "not-trusted", "permission-not-granted"} <= servers
    assert {each for each in servers if each.startswith("needs-")} == {
        f"needs-{each}" for each in ("memory", "disk", "cores", "platform", "python", "java")
    }


@pytest.mark.parametrize("code", STATES)
def test_each_state(code: str) -> None:
    """The code, its sentence, how many tasks it is said of, and what would change it."""
    build, sentence = STATES[code]
    stage = build()
    for reasons in (stage.why(), stage.why(len(stage.queue.jobs[A].states) - 1)):
        (found,) = [each for each in reasons if each.code == code]
        assert sentence in found.sentence
        assert found.tasks == (0 if code == "no-word" else 1)
        assert found.change or code in ("may-still-run", "no-word")
    assert [each.code for each in reasons] == sorted((each.code for each in reasons), key=ORDER.index)


@pytest.mark.parametrize("code", UPLOADS)
def test_each_upload(code: str) -> None:
    """What the watcher knows now comes before what was judged once."""
    upload, refused, sentence = UPLOADS[code]
    found = why_no_job(upload, refused)
    assert found is not None
    assert (found.code, bool(found.change)) == (code, True)
    assert sentence in found.sentence


def test_an_unknown_upload_has_no_reason() -> None:
    """Of a file that was accepted, or never seen, there is nothing to say."""
    assert why_no_job(Upload(), "") is None


def test_status_says_the_same() -> None:
    """The reason of status is the first sentence for tasks that wait; where none waits, why the job was ended."""
    for code in ("no-lus", "no-cs", "not-taken", "offered-again", "in-turn"):
        stage = STATES[code][0]()
        (found,) = [each for each in stage.why() if each.code == code]
        assert line(stage.queue, stage.queue.jobs[A]).reason == found.sentence
    for code in ("cancelled", "expired", "signer-revoked"):
        stage = STATES[code][0]()
        assert line(stage.queue, stage.queue.jobs[A]).reason == stage.why()[0].sentence
    assert line(placed().queue, placed().queue.jobs[A]).reason == ""


def test_what_has_changed_since_it_was_given_back() -> None:
    """A reason that does not hold any more is not given: a compute server that would take it now is named."""
    (found,) = returned().said("not-trusted", "free").why()
    assert found.code == "offered-again"
    assert found.sentence == "it was given back, but this has changed: cs1 would take it"
    (found,) = returned().said("not-trusted").why()
    assert (found.code, found.sentence) == ("not-taken", NOT_TRUSTED.sentence)
    assert [each.code for each in found.servers] == ["not-trusted"]


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("not-trusted", f"rjs trust add {'5' * 64} --cs DIR"),
        ("permission-not-granted", f"rjs trust add {'5' * 64} --network HOST:PORT --cs DIR"),
        ("needs-memory", "[needs] in job.toml"),
        ("disk-full", "30 s after it refused"),
    ],
)
def test_what_would_change_it(code: str, command: str) -> None:
    """By what compute servers lack, with the command that helps."""
    (found,) = returned().said(code).why()
    assert any(command in each for each in found.change)


def test_a_lus_that_took_it_back_from_a_cs_has_it_waiting() -> None:
    """The WS was told of a placement that the CS refused; the LUS's word on where it is counts."""
    (found,) = placed().said("busy").why(0)
    assert found.code == "cs-busy"
    (found,) = placed().said("busy", attempts=(Whereabouts(0, "running", "cs2", 0.0),)).why(0)
    assert (found.code, "it runs on cs2" in found.sentence) == ("running", True)


def test_two_luses() -> None:
    """One LUS's refusal does not hide that the job waits for its turn at another, which has its fill."""
    made = Stage().lus(1, lus="k")
    made.queue.add_job(job(B, 1), 0.0)
    made.lus(1).add(1)
    made.queue.returned("l", A, [2], NOT_TRUSTED, 0.0)
    (found,) = made.why()
    assert found.code == "in-turn"
    made.queue.lus_closed("k", "b1")
    (found,) = made.why()
    assert (found.code, found.sentence) == ("not-taken", NOT_TRUSTED.sentence)


def test_a_whole_job_in_all_states() -> None:
    """Tasks that stand alike are counted together, and all of them once."""
    made = Stage().lus(3).add(5, attempts=1)
    made.place(1, 0).end(1, "failed")
    made.place(2, 1).commit(1)
    made.place(3, 2)
    made.queue.want("l", 1, 1, 0.0)
    reasons = made.why()
    assert [(each.code, each.tasks, each.first) for each in reasons if each.code != "tried-before"] == [
        ("at-lus", 2, (3, 4)), ("placed", 1, (2,)), ("failed", 1, (0,)), ("committed", 1, (1,)),
    ]  # fmt: skip
    assert reasons[-2].sentence.startswith(
        "task 0 failed (on cs1), and the job allows one attempt: exit status 1"
    )


def test_what_is_before_a_task() -> None:
    """Of its own job, leased ones, and other jobs'."""
    made = Stage().lus(1).add(4)
    made.queue.add_job(job(B, 3), 0.0)
    (found,) = made.why(3)
    assert found.change[0] == (
        "before it: 2 of this job, and 1 that lookup servers have; 1 other jobs with 3 tasks take turns with it"
    )


def test_since_when_and_until_when() -> None:
    """A lease that waits is as old as it is; what runs has its wall-time limit and ten minutes."""
    made = Stage().lus(1).add(1)
    made.now = 30.0
    assert made.why(0)[0].sentence.endswith("; leased 30 s ago")
    assert made.queue.leases.all()[0].until == UNPLACED
    made.place()
    made.now = 50.0
    made.known["progress"] = {0: "40%, fitting"}
    (found,) = made.why(0)
    assert found.code == "running"
    assert found.sentence.endswith("; it told: 40%, fitting, placed there 20 s ago, 10 min left at most")


def test_the_reply_fits_in_a_frame_whatever_luses_say() -> None:
    """Hostile LUSs, names and sentences: one frame holds all that is said, and every length is within its cap."""
    ghost = "\U0001f47b"
    kinds = tuple(
        CsReason(code=f"{number}" + "c" * 60, sentence=ghost * limits.WHY_WORDS, names=(ghost * 128,) * 8)
        for number in range(limits.WHY_KINDS)
    )
    made = Stage()
    for number in range(40):
        made.lus(1, lus=f"{number:032x}")
    made.add(80)
    for lease in made.queue.leases.all():
        if lease.number % 2:
            why_not = Blocked(1, "c" * 64, ghost * 1024)
            made.queue.returned(lease.lus, A, [lease.number], why_not, 0.0)
    said = {lus: LusJobReasons(servers=kinds) for lus in made.queue.dispatch.luses}
    names = dict.fromkeys(said, ghost * 128)
    known = Known(now=0.0, names=names, said=said)
    reasons = why(made.queue, made.queue.jobs[A], known)
    assert len(reasons) <= limits.WHY_REASONS
    assert len(encode(JobReasons(reasons=reasons))) < limits.FRAME
