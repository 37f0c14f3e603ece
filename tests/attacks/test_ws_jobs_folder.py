"""Attack: ``jobs/`` is flooded, filled with giants, and judged while the computer is short of everything."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import pytest
from samples import job
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from watchdog.events import DirDeletedEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver

from rjs.background import ImmediateWorkers, Tasks
from rjs.bundle.errors import BundleRefusedError
from rjs.errors import OverloadedError, RefusedError
from rjs.files import UnsafeFileError, open_nofollow
from rjs.identity.names import RjsName, Role
from rjs.identity.tls import PeerIdentity
from rjs.ids import BundleId, ClusterId
from rjs.jobs import TaskEvent
from rjs.wall_time import utc_now
from rjs.wire.messages import BlobData, JobSubmit
from ws import limits
from ws.admission import FurtherJarsError, Upload
from ws.api import WsDoor
from ws.bundles import Bundles
from ws.homes import JOBS, STATUS_SUFFIX, Found, Homes
from ws.intake import Intake
from ws.job import Job, JobState
from ws.job_sets import IncompleteSetError, JobSets
from ws.shell import Shell
from ws.status_files import StatusFiles
from ws.watcher import Watcher

JNLP = b"""<jnlp><information><title>Sums</title></information>
<resources><jar href="app.jar"/><jar href="lib.jar"/></resources><application-desc main-class="Main"/></jnlp>"""
OVERLOADED = OverloadedError("workers", "1024 pieces of work wait already")


class ClockReactor(Clock):
    """A clock to whose thread everything belongs."""

    def callFromThread(self, f: Callable[..., object], /, *args: object) -> None:
        """Call it now."""
        f(*args)


@attrs.define
class ScriptedIntake:
    """Takes every file, unless it was told how to answer; with ``slow`` only when ``finish`` is called."""

    sets: JobSets
    answers: dict[str, Exception] = attrs.field(factory=dict)
    slow: bool = False
    under_way: list[tuple[Found, Deferred[None]]] = attrs.field(factory=list)
    taken: list[str] = attrs.field(factory=list)
    recorded: dict[str, str] = attrs.field(factory=dict)
    jobs: dict[BundleId, JobState] = attrs.field(factory=dict)

    async def take_found(self, found: Found) -> Job:
        """See Intake."""
        self.taken.append(found.file_name)
        if self.slow:
            done: Deferred[None] = Deferred()
            self.under_way.append((found, done))
            await done
        if found.file_name in self.answers:
            raise self.answers[found.file_name]
        made = attrs.evolve(
            job(BundleId(f"{len(self.taken):064x}"), user=found.account), file_name=found.file_name
        )
        self.jobs[made.id] = JobState(made)
        self.recorded[found.file_name] = ""
        return made

    async def record(self, found: Found, refusal: str) -> None:
        """See Intake."""
        self.recorded[found.file_name] = refusal

    def finish(self) -> None:
        """The oldest file under way is judged."""
        self.under_way.pop(0)[1].callback(None)


class ShortWorkers(ImmediateWorkers):
    """Workers that have too much to do for ``refusing`` more calls of a named function."""

    def __init__(self) -> None:
        self.refusing: Counter[str] = Counter()

    async def run(self, function, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # as in Workers
        """See Workers."""
        name = getattr(getattr(function, "func", function), "__name__", "")
        if self.refusing[name] > 0:
            self.refusing[name] -= 1
            raise OVERLOADED
        return function(*args, **kwargs)


@attrs.define
class ScriptedObserver:
    """Remembers which folders are watched, and who hears of them."""

    watched: dict[str, list[FileSystemEventHandler]] = attrs.field(factory=dict)

    def schedule(self, handler: FileSystemEventHandler, path: str) -> str:
        """See BaseObserver."""
        self.watched.setdefault(path, []).append(handler)
        return path

    def unschedule(self, watch: str) -> None:
        """See BaseObserver."""
        assert watch in self.watched


class Setting:
    """A watcher of the homes of ada and bob over an intake that does as it is told."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.workers = ClockReactor(), ShortWorkers()
        self.homes, self.tasks, self.observer = Homes(folder), Tasks("test"), ScriptedObserver()
        self.intake = ScriptedIntake(JobSets(self.homes))
        for account in ("ada", "bob"):
            self.homes.create(account)
        self.status_files = status = StatusFiles(
            self.homes, self.workers, self.clock, self.tasks, self.intake.jobs.__getitem__
        )
        self.watcher = Watcher(
            self.clock,
            self.homes,
            cast("Intake", self.intake),
            status,
            self.workers,
            self.tasks,
            lambda: frozenset({"ada", "bob"}),
            {},
            observer=cast("BaseObserver", self.observer),
        )

    def put(self, name: str, account: str = "ada", data: bytes = b"bundle") -> None:
        (self.homes.path / account / JOBS / name).write_bytes(data)

    def status(self, name: str, account: str = "ada") -> str:
        path = self.homes.path / account / JOBS / (name + STATUS_SUFFIX)
        return path.read_text() if path.exists() else ""

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a rescan at its end."""
        self.clock.advance(seconds)
        self.watcher.wake()
        self.clock.advance(limits.STATUS_INTERVAL)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_thousands_at_once_all_become_jobs(setting: Setting) -> None:
    """Every one is taken once, and each has its status file."""
    names = [f"job{number}.jar" for number in range(1500)]
    for name in names:
        setting.put(name)
    setting.pass_time(0)
    assert sorted(setting.intake.taken) == sorted(names)
    assert all(setting.status(name).startswith("state: waiting\njob: ") for name in names)


def test_few_are_judged_at_once_and_accounts_take_turns(setting: Setting) -> None:
    """Of each account one, so that who has little to judge does not wait for who has much."""
    setting.intake.slow = True
    for name in ("a1.jar", "a2.jar", "a3.jar"):
        setting.put(name, "ada")
    setting.watcher.wake()
    setting.put("b1.jar", "bob")
    setting.watcher.wake()
    assert [found.account for found, _ in setting.intake.under_way] == ["ada", "bob"]
    for _ in range(4):
        setting.intake.finish()
    assert sorted(setting.intake.taken) == ["a1.jar", "a2.jar", "a3.jar", "b1.jar"]
    assert not setting.intake.under_way


def test_what_is_named_while_it_is_judged_is_told_to_be_a_part(setting: Setting) -> None:
    """The verdict on it alone says nothing any more, whether it comes before the next look or after it."""
    setting.intake.slow = True
    setting.intake.answers["lib.jar"] = IncompleteSetError("no-job", "nothing names it")
    setting.put("lib.jar")
    setting.watcher.wake()
    setting.put("job.jnlp", data=JNLP)
    setting.watcher.wake()
    setting.intake.finish()
    assert setting.status("lib.jar").startswith("state: part\nof: job.jnlp\n")


def test_a_look_that_comes_late_refuses_no_main_jar(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it names was learned after a slow look had begun: it is judged again, not refused for coming alone."""
    setting.put("app.jar")
    setting.intake.answers["app.jar"] = FurtherJarsError(("lib.jar",))
    slow = setting.intake.sets.look(["ada"])
    with monkeypatch.context() as patch:
        patch.setattr(JobSets, "look", lambda *_: slow)
        setting.pass_time(0)
        setting.pass_time(limits.QUIET)
    assert (setting.intake.recorded, setting.status("app.jar")) == ({}, "")
    setting.intake.answers["app.jar"] = IncompleteSetError("set-incomplete", "not there yet: 'lib.jar'")
    setting.pass_time(limits.QUIET)
    assert setting.status("app.jar").startswith("state: waiting\nreason: set-incomplete: ")


@pytest.mark.parametrize("error", [OVERLOADED, OSError(errno.EMFILE, "Too many open files")])
def test_what_cannot_be_judged_now_is_judged_again(setting: Setting, error: Exception) -> None:
    """The user is told that it waits, nothing is recorded, and the next look takes it."""
    setting.put("a.jar")
    setting.intake.answers["a.jar"] = error
    setting.pass_time(0)
    assert setting.status("a.jar").startswith("state: waiting\nreason: ")
    assert (setting.intake.recorded, setting.watcher.judged) == ({}, {})
    setting.intake.answers.clear()
    setting.pass_time(limits.LATER)
    assert setting.intake.recorded == {"a.jar": ""}
    assert "job: " in setting.status("a.jar")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RefusedError("queue-full", "jobs wait"), "state: waiting"),
        (RefusedError("too-many-jobs", "you have 10000"), "state: waiting"),
        (BundleRefusedError("certificate-not-yet-valid", "valid from tomorrow"), "state: waiting"),
        (BundleRefusedError("job-not-yet-valid", "not before tomorrow"), "state: waiting"),
        (BundleRefusedError("certificate-expired", "since yesterday"), "state: refused"),
        (BundleRefusedError("job-expired", "since yesterday"), "state: refused"),
    ],
)
def test_a_refusal_that_may_pass_is_not_final(setting: Setting, error: RefusedError, told: str) -> None:
    """It is told, and the file judged again later: not at every look, for each costs a copy."""
    setting.put("a.jar")
    setting.intake.answers["a.jar"] = error
    for _ in range(10):
        setting.pass_time(limits.RESCAN)
    assert setting.intake.taken == ["a.jar"]
    assert setting.status("a.jar").startswith(told)
    assert error.code in setting.status("a.jar")
    assert (setting.intake.recorded, setting.watcher.judged) == ({}, {})
    setting.intake.answers.clear()
    setting.pass_time(limits.JUDGE_AGAIN)
    assert setting.intake.recorded == {"a.jar": ""}


def test_garbage_is_refused_when_it_was_quiet(setting: Setting) -> None:
    """Judged once, refused for good after a while, and not judged again."""
    setting.put("a.jar")
    setting.intake.answers["a.jar"] = BundleRefusedError("zip-end", "no end record")
    setting.pass_time(0)
    assert (setting.status("a.jar"), setting.intake.recorded) == ("", {})
    setting.pass_time(limits.QUIET)
    setting.pass_time(limits.JUDGE_AGAIN)
    assert setting.status("a.jar") == "state: refused\nrefused: zip-end: no end record\n"
    assert setting.intake.taken == ["a.jar"]


def test_a_file_that_still_grows_is_judged_anew(setting: Setting) -> None:
    """What it was refused for was said of other bytes."""
    setting.put("a.jar", data=b"half")
    setting.intake.answers["a.jar"] = BundleRefusedError("zip-end", "no end record")
    setting.pass_time(0)
    setting.intake.answers.clear()
    setting.put("a.jar", data=b"half and half")
    setting.pass_time(limits.QUIET)
    assert setting.intake.recorded == {"a.jar": ""}


def test_a_version_that_waited_meanwhile_is_judged_by_itself(setting: Setting) -> None:
    """The verdict on the version before it, which was judged while this one came, is not its own."""
    setting.intake.slow = True
    setting.put("a.jar", data=b"")
    setting.watcher.wake()
    setting.put("a.jar", data=b"whole")
    setting.watcher.wake()
    setting.intake.answers["a.jar"] = BundleRefusedError("zip-end", "it is too short")
    setting.intake.finish()
    setting.intake.answers.clear()
    assert (len(setting.intake.under_way), setting.intake.recorded) == (1, {})
    setting.intake.finish()
    assert setting.intake.recorded == {"a.jar": ""}


def test_a_fault_of_ours_refuses_nothing(setting: Setting) -> None:
    """The others are judged, and the one that met the fault waits."""
    for name in ("a.jar", "b.jar"):
        setting.put(name)
    setting.intake.answers["a.jar"] = ZeroDivisionError()
    setting.pass_time(0)
    assert setting.intake.recorded == {"b.jar": ""}
    assert setting.status("a.jar").startswith("state: waiting\nreason: fault")


def test_a_status_file_is_written_when_there_is_time(setting: Setting) -> None:
    """Too much to do now does not leave a user without an answer."""
    setting.put("a.jar")
    setting.intake.answers["a.jar"] = RefusedError("signer-not-listed", "sign with your own key")
    setting.workers.refusing["write_status"] = 3
    setting.pass_time(0)
    for _ in range(3):
        setting.clock.advance(limits.STATUS_INTERVAL)
    assert setting.status("a.jar").startswith("state: refused")


@pytest.mark.parametrize("how", ["renamed", "removed"])
def test_a_new_jobs_folder_is_watched(setting: Setting, how: str) -> None:
    """Whatever became of the old one, and even when the new one has its inode; one that stays is watched once."""
    folder = setting.homes.path / "ada" / JOBS
    setting.pass_time(0)
    setting.pass_time(limits.RESCAN)
    watchers = setting.observer.watched[str(folder)]
    assert len(watchers) == 1
    if how == "renamed":
        folder.rename(folder.with_name("old"))
    else:
        folder.rmdir()
        watchers[0].dispatch(DirDeletedEvent(str(folder)))
    setting.pass_time(limits.RESCAN)
    folder.mkdir()
    setting.pass_time(limits.RESCAN)
    assert len(watchers) == 2


def test_a_refusal_beside_a_job_that_lives_is_kept(setting: Setting) -> None:
    """The job's next change, and its end, tell both; a good file of that name ends the refusal."""
    setting.put("a.jar")
    setting.pass_time(0)
    first = next(iter(setting.intake.jobs.values()))
    setting.put("a.jar", data=b"garbage")
    setting.intake.answers["a.jar"] = RefusedError("signer-not-listed", "sign with your own key")
    setting.pass_time(0)
    setting.status_files.changed(first.job.id)
    setting.pass_time(limits.STATUS_INTERVAL)
    told = setting.status("a.jar")
    assert told.startswith("state: refused\nrefused: signer-not-listed: ")
    assert f"\nstate: waiting\njob: {first.job.id}\n" in told
    first.close(TaskEvent.CANCEL, "cancelled")
    setting.status_files.changed(first.job.id)
    assert setting.status("a.jar").startswith("state: refused\n")
    assert f"\nstate: cancelled\njob: {first.job.id}\n" in setting.status("a.jar")
    setting.put("a.jar", data=b"good")
    setting.intake.answers.clear()
    setting.pass_time(limits.JUDGE_AGAIN)
    assert "refused" not in setting.status("a.jar")


def intake_of(setting: Setting, folder: Path) -> Intake:
    folder.mkdir()
    shell = cast("Shell", SimpleNamespace(wall=utc_now))  # no job comes so far
    sets, cluster = JobSets(setting.homes), ClusterId("c" * 32)
    return Intake(
        shell, Bundles(folder), setting.homes, sets, setting.workers, cluster, lambda _: frozenset()
    )


def refusal_of(coroutine: Coroutine[Deferred[Any], Any, object]) -> str:
    return refusal_code(Deferred.fromCoroutine(coroutine))


def refusal_code(deferred: Deferred[Any]) -> str:
    failures: list[Failure] = []
    deferred.addErrback(failures.append)
    assert isinstance(failures[0].value, RefusedError)
    return failures[0].value.code


def test_a_sparse_giant_is_refused_unread(setting: Setting, tmp_path: Path) -> None:
    """A file of one TiB costs its user no disk, and costs us no copy."""
    setting.put("a.jar")
    os.truncate(setting.homes.path / "ada" / JOBS / "a.jar", 1 << 40)
    intake = intake_of(setting, tmp_path / "bundles")
    setting.workers.refusing["_copy"] = 1  # would be noticed
    assert refusal_of(intake.take_found(setting.homes.bundles(["ada"])[0])) == "too-large"


def test_what_cannot_be_removed_at_leisure_changes_no_verdict(setting: Setting, tmp_path: Path) -> None:
    """Too much to do, after the verdict, removes the copy at once and says nothing else."""
    intake = intake_of(setting, tmp_path / "bundles")
    incoming = intake.bundles.incoming()
    incoming.write_bytes(b"garbage")
    setting.workers.refusing["unlink"] = 1
    assert refusal_of(intake.take_incoming(incoming, Upload("ada", "a.jar", 7, "5" * 64))) == "zip-end"
    assert not incoming.exists()


@attrs.define
class StalledSession:
    """A person who begins uploads and sends nothing."""

    peer: PeerIdentity
    asked: list[Deferred[BlobData]] = attrs.field(factory=list)

    async def request(self, message: object, kind: type[BlobData]) -> BlobData:
        """Never answered, unless it is ended."""
        self.asked.append(Deferred())
        return await self.asked[-1]


def test_few_uploads_of_one_account_are_under_way(setting: Setting, tmp_path: Path) -> None:
    """Beginnings without end are bounded for one account, and the others do not notice; an end makes room."""
    intake = intake_of(setting, tmp_path / "bundles")
    shell = Shell.__new__(Shell)
    shell.timers = Clock()
    door = WsDoor(shell, intake, cast("Any", None), cast("Any", None), setting.workers)
    sessions = {
        account: StalledSession(cast("PeerIdentity", SimpleNamespace(name=RjsName(Role.USER, account))))
        for account in ("ada", "bob")
    }

    def submit(account: str) -> Deferred[object]:
        message = JobSubmit(name="a.jar", size=10, sha256="5" * 64)
        return Deferred.fromCoroutine(door._submit(cast("Any", sessions[account]), message))

    begun = [submit("ada") for _ in range(limits.UPLOADS)]
    assert refusal_code(submit("ada")) == "too-many-uploads"
    begun.append(submit("bob"))
    assert not any(each.called for each in begun)
    sessions["ada"].asked[0].errback(RefusedError("no-blob", "gone"))
    assert refusal_code(begun.pop(0)) == "no-blob"
    begun.append(submit("ada"))
    assert not any(each.called for each in begun)
    for each in begun:
        each.addErrback(lambda failure: failure.trap(CancelledError))
        each.cancel()
    assert list((tmp_path / "bundles").iterdir()) == []


def test_what_a_killed_upload_left_is_removed(tmp_path: Path) -> None:
    """Copies from jobs/ and beginnings read from a session; accepted bundles stay."""
    for name in (".incoming-12ab", "..incoming-12ab.part", "12ab.jar"):
        (tmp_path / name).touch()
    Bundles(tmp_path).clear_incoming()
    assert [path.name for path in tmp_path.iterdir()] == ["12ab.jar"]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO])
def test_trouble_of_the_computer_is_no_refusal(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that cannot be opened for lack of descriptors is not said to be no plain file."""

    def fail(*args: object, **kwargs: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        open_nofollow(0, "a.jar")
    assert not isinstance(raised.value, UnsafeFileError)
