"""Attack: jobs of several files that come in any order, in parts, changed, planted, or with names that lead away.

A real watcher and intake over real signed JARs; only the clock, the threads and the file system's events are ours.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

import attrs
import pytest
from twisted.internet.task import Clock
from watchdog.observers.api import BaseObserver

from rjs.background import ImmediateWorkers, Tasks
from rjs.bundle.testing import Party, make_signer, signed_jar
from rjs.bundle.verify import spki_of
from rjs.descriptor import JNLP_NAME
from rjs.ids import ClusterId
from rjs.storage import ImmediateStorage, open_database
from rjs.wire.messages import JarPart
from ws import intake, limits, store
from ws.bundles import Bundles
from ws.homes import JOBS, STATUS_SUFFIX, Homes
from ws.intake import Intake
from ws.job import JobState
from ws.job_sets import JobSets
from ws.queue import Queue
from ws.shell import Shell
from ws.status_files import StatusFiles
from ws.watcher import Watcher

ADA, EVE = make_signer("Ada"), make_signer("Eve")
SEEN = itertools.count()


def jnlp(*jars: str, more: str = "") -> bytes:
    """A JNLP file; the first JAR is the main one."""
    named = "".join(f'<jar href="{name}"/>' for name in jars)
    return (
        '<?xml version="1.0" encoding="UTF-8"?><jnlp spec="1.0"><information><title>Sums</title></information>'
        f'<resources><j2se version="1.8+"/>{named}</resources>{more}'
        '<application-desc main-class="Main"/></jnlp>'
    ).encode()


def jar(files: Mapping[str, bytes], signer: Party = ADA) -> bytes:
    """A JAR without any attribute of ours, as ``jarsigner`` makes them; no two are alike."""
    return signed_jar(signer, {"n": str(next(SEEN)).encode(), **files}, {})


def main_jar(xml: bytes, signer: Party = ADA) -> bytes:
    return jar({"Main.class": b"\xca\xfe\xba\xbe", JNLP_NAME: xml}, signer)


def library(signer: Party = ADA) -> bytes:
    return jar({"Library.class": b"\xca\xfe\xba\xbe"}, signer)


class SilentObserver:
    """Sees nothing: every look at the folder is the test's."""

    def schedule(self, handler: object, path: str) -> str:
        """See BaseObserver."""
        return path

    def unschedule(self, watch: str) -> None:
        """See BaseObserver."""


class ClockReactor(Clock):
    """A clock to whose thread everything belongs."""

    def callFromThread(self, f: object, /, *args: object) -> None:
        """Never called: nothing is seen."""
        raise AssertionError


class Ws:
    """The part of a WS that turns files into jobs; a new one on the same folder is a restart."""

    def __init__(self, folder: Path, wall: float = 0.0) -> None:
        self.clock, workers, tasks = ClockReactor(), ImmediateWorkers(), Tasks("test")
        self.homes, self.bundles = Homes(folder / "home"), Bundles(folder / "bundles")
        for path in (self.homes.path, folder / "bundles"):
            path.mkdir(exist_ok=True)
        self.homes.create("ada")
        self.bundles.clear_incoming()
        database = open_database(folder / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID)
        self.queue: Queue = store.load_queue(database, 0.0)
        self.storage = ImmediateStorage(database)
        shell = Shell(self.queue, self.storage, self.clock, pytest.fail)
        self.sets = JobSets(self.homes)
        listed = frozenset({spki_of(ADA.certificate)})
        self.intake = Intake(
            shell, self.bundles, self.homes, self.sets, workers, ClusterId("c" * 16), lambda _: listed
        )
        self.status_files = StatusFiles(
            self.homes, workers, self.clock, tasks, lambda job: self.queue.jobs[job]
        )
        shell.changed = self.status_files.changed
        self.wall = wall or time.time()
        judged = store.known_uploads(database)
        self.watcher = Watcher(
            self.clock, self.homes, self.intake, self.status_files, workers, tasks,
            lambda: frozenset({"ada"}), judged, lambda: self.wall, cast("BaseObserver", SilentObserver()),
        )  # fmt: skip
        self.folder = self.homes.path / "ada" / JOBS
        self.look()

    def stop(self) -> None:
        """Let go of the journal."""
        self.storage.close()

    def put(self, name: str, data: bytes) -> None:
        """A file arrives whole."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(".part")
        part.write_bytes(data)
        part.rename(path)
        self.look()

    def look(self) -> None:
        """The watcher looks, until nothing changes any more."""
        for _ in range(3):
            self.watcher.wake()
            self.clock.advance(0)
        self.clock.advance(limits.STATUS_INTERVAL)

    def pass_time(self, seconds: float) -> None:
        """Time passes; then the watcher looks."""
        self.wall += seconds
        self.clock.advance(seconds)
        self.look()

    def told(self, name: str) -> str:
        path = self.folder / (name + STATUS_SUFFIX)
        return path.read_text() if path.exists() else ""

    def jobs(self) -> list[JobState]:
        return list(self.queue.jobs.values())

    def stored(self, state: JobState) -> bytes:
        return self.bundles.path(state.job.id).read_bytes()

    def leftovers(self) -> list[str]:
        kept = {f"{state.job.id}.jar" for state in self.jobs()}
        return [path.name for path in self.bundles.path("x").parent.iterdir() if path.name not in kept]


@attrs.frozen
class Uploaded:
    """A job's files by name, in the order in which they are one file."""

    files: dict[str, bytes]
    xml: bytes

    @property
    def whole(self) -> bytes:
        return b"".join(self.files.values())


def make_set(*names: str) -> Uploaded:
    """``app.jar`` and the further JARs of these names."""
    xml = jnlp("app.jar", *names)
    return Uploaded({"app.jar": main_jar(xml), **{name: library() for name in names}}, xml)


@pytest.fixture
def ws(tmp_path: Path) -> Ws:
    return Ws(tmp_path)


def check_job(ws: Ws, made: Uploaded, state: JobState) -> None:
    """The job's file is the main JAR and the others behind it; its brief says where each lies."""
    brief = state.job.brief
    assert ws.stored(state) == made.whole
    assert (brief.size, brief.sha256) == (len(made.whole), hashlib.sha256(made.whole).hexdigest())
    _, *further = made.files
    assert brief.jars == tuple(JarPart(name, len(made.files[name])) for name in further)
    assert ws.leftovers() == []


ORDERS = list(itertools.permutations(["job.jnlp", "app.jar", "lib.jar", "libs/linux/native.jar"]))


@pytest.mark.parametrize("order", ORDERS, ids=",".join)
def test_any_order_of_arrival_is_one_job(ws: Ws, order: Iterable[str]) -> None:
    """One job once everything is there, not a moment before, and nothing was refused on the way or after it."""
    made = make_set("lib.jar", "libs/linux/native.jar")
    there = set[str]()
    for name in order:
        ws.put(name, made.xml if name.endswith(".jnlp") else made.files[name])
        there.add(name)
        assert len(ws.jobs()) == (made.files.keys() <= there)
        ws.pass_time(limits.QUIET)
        assert not any("refused:" in path.read_text() for path in ws.folder.glob("*.status.txt"))
    ws.pass_time(limits.SET_PATIENCE)
    ws.pass_time(limits.JUDGE_AGAIN_MOST)
    (state,) = ws.jobs()
    check_job(ws, made, state)
    for name in ("job.jnlp", "app.jar"):
        assert state.job.id in ws.told(name) or ws.told(name).startswith("state: part\nof: job.jnlp\n")
    assert state.job.id in ws.told("job.jnlp")
    assert ws.told("lib.jar").startswith("state: part\n")


@pytest.mark.parametrize("kind", ["jnlp", "main"])
def test_what_is_missing_is_told_truly(ws: Ws, kind: str) -> None:
    """The status names what is missing and since when, and after long a refusal; what comes even later helps."""
    made = make_set("lib.jar", "libs/other.jar")
    lead = "job.jnlp" if kind == "jnlp" else "app.jar"
    if kind == "jnlp":
        ws.put("job.jnlp", made.xml)
        told = ws.told("job.jnlp")
        assert "'app.jar', 'lib.jar', 'libs/other.jar'" in told
    ws.put("app.jar", made.files["app.jar"])
    ws.put("lib.jar", made.files["lib.jar"])
    told = ws.told(lead)
    assert told.startswith("state: waiting\nreason: set-incomplete: ")
    assert "'libs/other.jar'" in told and "'lib.jar'" not in told and " UTC" in told
    ws.pass_time(limits.SET_PATIENCE - 60)
    assert ws.told(lead) == told
    ws.pass_time(120)
    assert ws.told(lead).startswith("state: refused\nrefused: set-incomplete: ")
    ws.put("libs/other.jar", made.files["libs/other.jar"])
    (state,) = ws.jobs()
    check_job(ws, made, state)
    assert ws.told(lead).startswith(f"state: waiting\njob: {state.job.id}\n")


def test_a_resource_jar_alone_says_what_it_waits_for(ws: Ws) -> None:
    """It is refused only when nothing named it for long, and is still taken when something does."""
    made = make_set("lib.jar")
    ws.put("lib.jar", made.files["lib.jar"])
    assert ws.told("lib.jar").startswith("state: waiting\nreason: no-job: ")
    ws.pass_time(limits.SET_PATIENCE + 60)
    assert ws.told("lib.jar").startswith("state: refused\nrefused: no-job: ")
    ws.put("app.jar", made.files["app.jar"])
    check_job(ws, made, ws.jobs()[0])


def test_a_jar_of_a_stranger_waits_for_nothing(ws: Ws) -> None:
    """A signer who is not listed is told so at once, whatever the JAR is."""
    ws.put("lib.jar", library(EVE))
    assert ws.told("lib.jar").startswith("state: refused\nrefused: signer-not-listed: ")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("differs", "jnlp-differs"),
        ("unsigned", "jnlp-unsigned"),
        ("other signer", "jar-signer"),
        ("changed", "zip-data"),
        ("garbage", "zip-end"),
        ("link", "file.kind"),
        ("folder", "file.kind"),
        ("not XML", "jnlp-form"),
    ],
)
def test_files_that_do_not_belong_together(ws: Ws, fault: str, code: str) -> None:
    """Each is refused by name, once it stands still, and no job and no file of ours comes of it."""
    made = make_set("lib.jar")
    library_there, main, xml = made.files["lib.jar"], made.files["app.jar"], made.xml
    match fault:
        case "differs":
            xml = xml.replace(b"Sums", b"Sumz")
        case "unsigned":
            main = jar({"Main.class": b""})
        case "other signer":
            library_there = library(EVE)
        case "changed":
            library_there = library_there.replace(b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
            assert library_there != made.files["lib.jar"]
        case "garbage":
            library_there = b"garbage"
        case "not XML":
            xml = xml[:-5]
    (ws.folder / "lib.jar").write_bytes(library_there)
    if fault in ("link", "folder"):
        (ws.folder / "lib.jar").rename(ws.folder.parent / "elsewhere.jar")
        if fault == "link":
            (ws.folder / "lib.jar").symlink_to(ws.folder.parent / "elsewhere.jar")
        else:
            (ws.folder / "lib.jar").mkdir()
    (ws.folder / "app.jar").write_bytes(main)
    (ws.folder / "job.jnlp").write_bytes(xml)
    ws.look()
    ws.pass_time(limits.QUIET)
    assert ws.told("job.jnlp").startswith(f"state: refused\nrefused: {code}: ")
    if fault == "not XML":  # then app.jar and lib.jar are a job without it
        assert len(ws.jobs()) == 1
    else:
        assert (ws.jobs(), ws.leftovers()) == ([], [])


@pytest.mark.parametrize(
    "name",
    [
        "../app.jar",
        "/etc/app.jar",
        "libs/../../app.jar",
        "http://example.org/lib.jar",
        "file:///lib.jar",
        "a\\lib.jar",
    ],
)
def test_names_that_lead_elsewhere(ws: Ws, name: str) -> None:
    """A name that is no plain one below jobs/ is refused; nothing is looked for there."""
    ws.put("job.jnlp", jnlp("app.jar", name))
    ws.pass_time(limits.QUIET)
    assert ws.told("job.jnlp").startswith("state: refused\nrefused: jnlp-form: ")
    ws.put("app.jar", main_jar(jnlp("app.jar", name)))
    ws.pass_time(limits.QUIET)
    assert ws.told("app.jar").startswith("state: refused\nrefused: descriptor: ")
    assert ws.jobs() == []


def test_a_folder_that_is_a_link_has_no_files(ws: Ws, tmp_path: Path) -> None:
    """What lies behind it is not there."""
    made = make_set("libs/lib.jar")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "lib.jar").write_bytes(made.files["libs/lib.jar"])
    (ws.folder / "libs").symlink_to(tmp_path / "other")
    ws.put("job.jnlp", made.xml)
    ws.put("app.jar", made.files["app.jar"])
    assert "not there yet: 'libs/lib.jar'" in ws.told("job.jnlp")
    assert ws.jobs() == []


def test_names_that_differ_by_case(ws: Ws) -> None:
    """They could not lie side by side on every platform."""
    ws.put("job.jnlp", jnlp("app.jar", "lib.jar", "Lib.jar"))
    ws.pass_time(limits.QUIET)
    assert ws.told("job.jnlp").startswith("state: refused\nrefused: jnlp-form: ")


def test_ten_thousand_names(ws: Ws) -> None:
    """Refused by its size before any is looked for; and as many files with fewer names each are held back."""
    ws.put("many.jnlp", jnlp("app.jar", *(f"l{number}.jar" for number in range(10_000))))
    ws.put("more.jnlp", jnlp("app.jar", *(f"l{number}.jar" for number in range(200))))
    ws.pass_time(limits.QUIET)
    assert ws.told("many.jnlp").startswith("state: refused\nrefused: too-large: ")
    assert ws.told("more.jnlp").startswith("state: refused\nrefused: jnlp-form: ")


def test_too_many_named_by_one_account_wait(ws: Ws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap they are told to wait, and have their turn when others are gone."""
    monkeypatch.setattr(limits, "SET_FILES", 6)
    monkeypatch.setattr(limits, "JNLP_READ", 2 * limits.JNLP_LEAST)
    sets = {f"{number}": jnlp(f"app{number}.jar", f"lib{number}.jar") for number in range(4)}
    for number, xml in sets.items():
        (ws.folder / f"{number}.jnlp").write_bytes(xml)
    ws.look()
    told = {number: ws.told(f"{number}.jnlp") for number in sets}
    crowded = [number for number, text in told.items() if "the .jnlp files there name more than" in text]
    assert len(crowded) == 2 and all(text.startswith("state: waiting\n") for text in told.values())
    for number in sets.keys() - set(crowded):
        (ws.folder / f"{number}.jnlp").unlink()
    ws.look()
    for number in crowded:
        assert f"not there yet: 'app{number}.jar'" in ws.told(f"{number}.jnlp")


def test_no_jar_is_a_job_before_all_jnlps_are_read(ws: Ws, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that could be a job by itself is none, however many .jnlp files are read before its own."""
    monkeypatch.setattr(limits, "JNLP_READ", 1)
    xml = jnlp("app.jar", "tool.jar")
    for number in range(4):
        (ws.folder / f"{number}.jnlp").write_bytes(jnlp(f"absent{number}.jar"))
    (ws.folder / "job.jnlp").write_bytes(xml)
    (ws.folder / "tool.jar").write_bytes(signed_jar(ADA, {"Tool.class": b""}, {"Main-Class": "Tool"}))
    for _ in range(3):
        ws.look()
    assert ws.jobs() == []
    assert ws.told("tool.jar").startswith("state: part\nof: job.jnlp\n")


def test_two_that_share_a_library(ws: Ws) -> None:
    """Both become jobs, and the library's status names both."""
    shared = library()
    for name in ("a", "b"):
        xml = jnlp(f"{name}.jar", "lib.jar")
        (ws.folder / f"{name}.jnlp").write_bytes(xml)
        (ws.folder / f"{name}.jar").write_bytes(main_jar(xml))
    ws.put("lib.jar", shared)
    assert len(ws.jobs()) == 2
    assert all(ws.stored(state).endswith(shared) for state in ws.jobs())
    assert ws.told("lib.jar").startswith("state: part\nof: a.jnlp, b.jnlp\n")


@pytest.mark.parametrize("at_once", [False, True])
def test_two_main_jars_that_name_each_other(ws: Ws, at_once: bool) -> None:
    """Neither waits for the other for ever: each is a job with the other in it, or told to be part of that job."""
    first = main_jar(jnlp("a.jar", "b.jar"))
    second = main_jar(jnlp("b.jar", "a.jar"))
    (ws.folder / "a.jar").write_bytes(first)
    if not at_once:
        ws.look()
    ws.put("b.jar", second)
    stored = [ws.stored(state) for state in ws.jobs()]
    assert first + second in stored and set(stored) <= {first + second, second + first}
    for name in ("a.jar", "b.jar"):
        assert "job: " in ws.told(name) or ws.told(name).startswith("state: part\n")


def test_a_new_version_of_one_file_is_judged_anew(ws: Ws) -> None:
    """A main JAR signed again makes another job; another library under the same main JAR is refused by name."""
    made = make_set("lib.jar")
    ws.put("job.jnlp", made.xml)
    for name, data in made.files.items():
        ws.put(name, data)
    ws.put("app.jar", main_jar(made.xml))
    assert len(ws.jobs()) == 2
    ws.put("lib.jar", library())
    ws.pass_time(limits.QUIET)
    assert ws.told("job.jnlp").startswith("state: refused\nrefused: already-accepted: ")
    assert len(ws.jobs()) == 2


def test_a_file_that_changes_while_it_is_copied(ws: Ws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is thrown away, and what is there afterwards is judged."""
    made = make_set("lib.jar")
    copy_in = Bundles.copy_in
    changed: list[int] = []

    def change(self: Bundles, sources: object) -> object:
        incoming = copy_in(self, sources)  # type: ignore[arg-type]  # handed on as it came
        if not changed:
            changed.append((ws.folder / "lib.jar").write_bytes(made.files["lib.jar"]))
        return incoming

    monkeypatch.setattr(Bundles, "copy_in", change)
    (ws.folder / "job.jnlp").write_bytes(made.xml)
    for name, data in made.files.items():
        (ws.folder / name).write_bytes(data if name == "app.jar" else b"older")
    ws.look()
    assert changed and ws.leftovers() == []
    ws.pass_time(limits.QUIET)
    check_job(ws, made, ws.jobs()[0])


def test_too_much_together(ws: Ws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap is on all files of a job, sparse ones too, before they are copied."""
    made = make_set("lib.jar")
    ws.put("job.jnlp", made.xml)
    ws.put("app.jar", made.files["app.jar"])
    with (ws.folder / "lib.jar").open("wb") as file:
        os.truncate(file.fileno(), limits.BUNDLE)
    monkeypatch.setattr(Bundles, "copy_in", pytest.fail)
    ws.look()
    assert ws.told("job.jnlp").startswith("state: refused\nrefused: too-large: ")


def test_a_restart_forgets_nothing_and_doubles_nothing(ws: Ws, tmp_path: Path) -> None:
    """Before the last file came, and after the job was accepted, with a .jnlp and without."""
    made, other = make_set("lib.jar"), make_set("lib.jar")
    ws.put("job.jnlp", made.xml)
    ws.put("app.jar", made.files["app.jar"])
    ws.put("other.jar", main_jar(jnlp("other.jar", "lib.jar")))
    ws.stop()
    ws = Ws(tmp_path)
    assert ws.jobs() == [] and "'lib.jar'" in ws.told("job.jnlp") and "'lib.jar'" in ws.told("other.jar")
    ws.put("lib.jar", other.files["lib.jar"])
    accepted = {state.job.id for state in ws.jobs()}
    assert len(accepted) == 2
    for _ in range(2):
        ws.stop()
        ws = Ws(tmp_path)
        assert {state.job.id for state in ws.jobs()} == accepted
        assert ws.told("job.jnlp").startswith("state: waiting\njob: ")
        assert ws.told("other.jar").startswith("state: waiting\njob: ")


def test_a_jnlp_that_cannot_be_read_now_is_read_again(ws: Ws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many open files say nothing about it: it is not refused, and its names are known at the next look."""
    made = make_set("lib.jar")
    for name, data in made.files.items():
        (ws.folder / name).write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(Homes, "read", lambda *_: (_ for _ in ()).throw(OSError(24, "Too many open files")))
        ws.put("job.jnlp", made.xml)
    ws.pass_time(limits.LATER)
    assert made.whole in [ws.stored(state) for state in ws.jobs()] and len(ws.jobs()) == 1
    assert ws.jobs()[0].job.id in ws.told("job.jnlp")


def test_a_main_jar_that_came_before_its_jnlp_keeps_its_status(ws: Ws, tmp_path: Path) -> None:
    """It is the job's own, after a restart too; that of the .jnlp leads to it."""
    made = make_set("lib.jar")
    for name, data in made.files.items():
        ws.put(name, data)
    ws.put("job.jnlp", made.xml)
    (state,) = ws.jobs()
    ws.stop()
    for each in (ws, Ws(tmp_path)):
        assert each.told("app.jar").startswith(f"state: waiting\njob: {state.job.id}\n")
        assert each.told("job.jnlp").startswith(f"state: accepted\njob: {state.job.id}\n")
        assert "app.jar.status.txt" in each.told("job.jnlp")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "step", ["open_file", "copy_in", "is_unchanged", "admit", "keep", "perform", "record_upload"]
)
def test_killed_at_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, after: bool) -> None:
    """The process that dies at this step leaves a folder from which the next one makes the job, once."""
    made, first = make_set("lib.jar"), Ws(tmp_path)
    (first.folder / "job.jnlp").write_bytes(made.xml)
    for name, data in made.files.items():
        (first.folder / name).write_bytes(data)
    first.stop()
    where = {
        "open_file": Homes, "copy_in": Bundles, "is_unchanged": JobSets, "admit": intake, "keep": Bundles,
        "perform": Shell, "record_upload": store,
    }[step]  # fmt: skip
    whole = getattr(where, step)

    def die(*arguments: object, **named: object) -> None:
        if after:
            whole(*arguments, **named)
        os._exit(9)

    child = os.fork()
    if not child:
        try:
            monkeypatch.setattr(where, step, die)
            Ws(tmp_path)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    again = Ws(tmp_path)
    (state,) = again.jobs()
    check_job(again, made, state)
    assert again.told("job.jnlp").startswith(f"state: waiting\njob: {state.job.id}\n")
