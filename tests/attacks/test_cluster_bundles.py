"""Bundles that should not run, put into ``jobs/`` of a running cluster: refused by name, and nothing was unpacked."""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster import Cluster, Person, running_cluster, wait_for
from jobs import write_job
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import make_party, signed_jar
from rjs.identity.keys import load_private
from ws.limits import QUIET

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
HELLO = "print('hello from a job')\n"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two CSs that trust ada, and bob, whom nobody trusts."""
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        made.add_user("bob")
        yield made


@pytest.fixture
def bob(cluster: Cluster) -> Person:
    return cluster.people["bob"]


@pytest.fixture
def good(cluster: Cluster, tmp_path: Path) -> Path:
    """A bundle of ada's that would run; each attack changes one thing."""
    return cluster.ada.pack(write_job(tmp_path / "hello", HELLO))


class Unpacked(FileSystemEventHandler):
    """Notes every name that appears in a CS's ``work/``, however briefly."""

    def __init__(self, cluster: Cluster) -> None:
        self.names: list[str] = []
        self.observer = Observer()
        for server in cluster.compute_servers:
            self.observer.schedule(self, str(next(server.folder.glob("clusters/*/work"))))
        self.observer.start()

    def on_created(self, event: FileSystemEvent) -> None:
        """Watchdog's thread."""
        self.names.append(Path(os.fsdecode(event.src_path)).name)

    def jobs(self) -> set[str]:
        """The jobs, by the first digits of their ids, that were unpacked so far."""
        return {name[:16] for name in self.names}


@pytest.fixture(scope="module", autouse=True)
def honest(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[set[str]]:
    """Jobs that may run. At the end: nothing else, but a last honest job, was ever unpacked or kept anywhere."""
    jobs: set[str] = set()
    watch = Unpacked(cluster)
    yield jobs
    last = cluster.ada.place(cluster.ada.pack(write_job(tmp_path_factory.mktemp("jobs") / "last", HELLO)))
    cluster.ada.answers(last, tasks=1)
    wanted = {job[:16] for job in (*jobs, last)}
    wait_for(lambda: wanted <= watch.jobs())
    watch.observer.stop()
    watch.observer.join()
    assert watch.jobs() == wanted
    assert kept_bundles(cluster) <= {job["job"] for each in cluster.people.values() for job in jobs_of(each)}


def jobs_of(person: Person) -> list[dict[str, str]]:
    """What `rjs status --json` lists."""
    listed: list[dict[str, str]] = json.loads(person.rjs("status", "--json").stdout)
    return listed


def kept_bundles(cluster: Cluster) -> set[str]:
    """The jobs whose bundle some server keeps; fails when the WS keeps an unjudged upload."""
    places = [*cluster.folder.glob("ws/clusters/*/bundles"), *cluster.folder.glob("*/clusters/*/cache")]
    files = [path for place in places for path in place.iterdir()]
    assert not [path for path in files if path.name.startswith(".incoming")]
    return {path.stem for path in files}


# --- what was changed -----------------------------------------------------------------------------------


def test_a_changed_byte(cluster: Cluster, good: Path) -> None:
    """One byte of one file is other than what was signed."""
    jar = good.read_bytes()
    assert jar.count(b"hello from a job") == 1
    good.write_bytes(jar.replace(b"hello from a job", b"hullo from a job"))
    cluster.ada.drop(good, "changed.jar")
    assert cluster.ada.refused("changed.jar").startswith("zip-data: ")


def test_an_added_file(cluster: Cluster, good: Path) -> None:
    """A file that nobody signed lies beside those that somebody did."""
    with zipfile.ZipFile(good, "a") as archive:
        archive.writestr("sitecustomize.py", "raise SystemExit(66)")
    cluster.ada.drop(good, "added.jar")
    told = cluster.ada.refused("added.jar")
    assert told.startswith(("files-differ: ", "zip-")), told


def test_no_signature(cluster: Cluster, tmp_path: Path) -> None:
    """An unsigned bundle is nobody's."""
    bundle = cluster.ada.pack(write_job(tmp_path / "hello", HELLO), "--unsigned")
    cluster.ada.drop(bundle, "unsigned.jar")
    assert cluster.ada.refused("unsigned.jar").startswith("unsigned: ")


def test_no_bundle_at_all(cluster: Cluster, tmp_path: Path) -> None:
    """Any other file with the name of a bundle."""
    (tmp_path / "noise").write_bytes(os.urandom(10_000))
    cluster.ada.drop(tmp_path / "noise", "noise.jar")
    assert cluster.ada.refused("noise.jar").startswith("zip-")


# --- who signed -----------------------------------------------------------------------------------------


def test_a_signer_whom_the_account_does_not_list(cluster: Cluster, bob: Person, tmp_path: Path) -> None:
    """What bob signed is no job of ada's, though bob is a member: with what he signs only he may submit."""
    bundle = bob.pack(write_job(tmp_path / "of-bob", HELLO))
    cluster.ada.drop(bundle, "of-bob.jar")
    assert cluster.ada.refused("of-bob.jar").startswith("signer-not-listed: account ada does not list")
    done = cluster.ada.rjs("submit", bundle, status=1)
    assert done.stderr.startswith("refused: signer-not-listed: ")


def test_a_signer_whom_the_owner_trusts_no_more(cluster: Cluster, bob: Person, tmp_path: Path) -> None:
    """Trust that was taken back while the CS runs is gone for the next job."""
    cluster.trust("cs1", bob)
    cs1 = cluster["cs1"]
    grants = json.loads(cluster.rjs("trust", "list", "--cs", cs1.folder, "--json").stdout)
    key = next(grant["spki"] for grant in grants if "bob" in grant["label"])
    cluster.rjs("trust", "remove", key, "--cs", cs1.folder)
    bundle = bob.pack(write_job(tmp_path / "no-more", HELLO))
    job = bob.place(bundle)
    wait_for(lambda: "not-trusted: " in bob.told(bundle.name), story=cluster.story)
    bob.rjs("cancel", job)
    bob.wait_until(job, "cancelled")


def test_a_signer_whom_no_owner_trusts(
    cluster: Cluster, bob: Person, tmp_path: Path, honest: set[str]
) -> None:
    """The WS admits bob's job and every CS refuses it: the reason is in status and status.txt; once an owner
    trusts bob, that machine runs it without anybody's doing."""
    bundle = bob.pack(write_job(tmp_path / "untrusted", HELLO))
    job = bob.place(bundle)
    wait_for(lambda: "not-trusted: " in bob.told(bundle.name), story=cluster.story)
    shown = bob.status(job)["job"]
    assert (shown["state"], shown["waiting"]) == ("waiting", 1)
    assert "not-trusted: " in shown["reason"]
    assert bob.delivered(job) == {}
    cluster.trust("cs2", bob)
    honest.add(job)
    answers = bob.answers(job, tasks=1)
    assert answers[0].receipt.cs_name == "cs2"
    assert answers[0].files["stdout.txt"] == b"hello from a job\n"


def test_an_expired_certificate(cluster: Cluster, tmp_path: Path) -> None:
    """A key that the account lists, certified until yesterday: signs nothing today."""
    now = datetime.now(UTC)
    key = load_private(cluster.ada.identity / "signing.key")
    period = (now - 30 * DAY, now - DAY)
    signer = make_party("ada", make_party("Root", ca=True), key=key, usages=[CODE_SIGNING], period=period)
    job = write_job(tmp_path / "expired", HELLO)
    files = {path.name: path.read_bytes() for path in job.iterdir()}
    stated = job_attributes("expired", os.urandom(16), now - 2 * DAY, now + DAY)
    (tmp_path / "expired.jar").write_bytes(signed_jar(signer, files, stated))
    cluster.ada.drop(tmp_path / "expired.jar", "expired.jar")
    assert cluster.ada.refused("expired.jar").startswith("certificate-expired: ")


def test_another_clusters_job(cluster: Cluster, tmp_path: Path) -> None:
    """A bundle that its signer meant for another cluster."""
    bundle = cluster.ada.pack(write_job(tmp_path / "other", HELLO), "--cluster", "0123456789abcdef")
    cluster.ada.drop(bundle, "other.jar")
    assert cluster.ada.refused("other.jar").startswith("job-cluster: ")


# --- what became of it on the way -------------------------------------------------------------------------


def change_at_the_web_server(cluster: Cluster, bundle: Path) -> tuple[str, Path]:
    """Somebody changes an accepted bundle at the WS before a LUS fetches it: the job, and the changed file."""
    cluster["lus"].stop()
    job = cluster.ada.place(bundle)
    kept = next(cluster.folder.glob(f"ws/clusters/*/bundles/{job}.jar"))
    kept.write_bytes(bundle.read_bytes().replace(b"hello from a job", b"hullo from a job"))
    cluster["lus"].start()
    wait_for(lambda: "bundle-damaged: " in cluster.ada.told(bundle.name), story=cluster.story)
    return job, kept


def test_a_bundle_changed_at_the_web_server(cluster: Cluster, good: Path) -> None:
    """No CS runs it, and status says why."""
    job, _ = change_at_the_web_server(cluster, good)
    cluster.ada.rjs("cancel", job)
    assert cluster.ada.delivered(job) == {}


@pytest.mark.long
def test_a_bundle_repaired_at_the_web_server(cluster: Cluster, good: Path, honest: set[str]) -> None:
    """Once the WS has the true bundle again, the job runs by itself."""
    job, kept = change_at_the_web_server(cluster, good)
    kept.write_bytes(good.read_bytes())
    honest.add(job)
    assert cluster.ada.answers(job, tasks=1)[0].files["stdout.txt"] == b"hello from a job\n"


# --- how it came ----------------------------------------------------------------------------------------


def test_the_same_bundle_again(cluster: Cluster, good: Path, honest: set[str]) -> None:
    """A bundle is one job, once: a second upload is told so, by file as over a session, and nothing runs twice."""
    job = cluster.ada.place(good)
    honest.add(job)
    answer = cluster.ada.answers(job, tasks=1)[0]
    cluster.ada.drop(good, "again.jar")
    sentence = f"already-accepted: already accepted as job {job[:16]} ({good.name}); sign again to run again"
    assert cluster.ada.refused("again.jar") == sentence
    again = good.with_name("again-too.jar")
    again.write_bytes(good.read_bytes())
    sent = cluster.ada.rjs("submit", again)
    assert (sent.stdout, "known already, and done" in sent.stderr) == (f"{job}\n", True)
    cluster.ada.drop(good, good.name)  # the same file once more: it is the same job, and stays it
    assert cluster.ada.accepted(good.name) == job
    assert cluster.ada.answers(job, tasks=1)[0] == answer


def test_a_file_touched_while_it_is_judged(cluster: Cluster, good: Path, honest: set[str]) -> None:
    """scp sets modes and times after the last byte: judged several times at once, it is one job all the same."""
    target = cluster.ada.jobs / "touched.jar"
    target.write_bytes(good.read_bytes())
    for number in range(200):
        with target.open("ab"):  # closing it is an event
            os.utime(target, ns=(number, number))
        time.sleep(0.002)
    job = cluster.ada.accepted("touched.jar")
    honest.add(job)
    cluster.ada.answers(job, tasks=1)
    cluster.ada.wait_until(job, "done")


def test_an_upload_in_pieces(cluster: Cluster, good: Path, honest: set[str]) -> None:
    """A bundle that arrives slowly under its own name is never refused while it arrives, and accepted once whole."""
    jar, target = good.read_bytes(), cluster.ada.jobs / "slow.jar"
    size = -(-len(jar) // 16)
    with target.open("xb", buffering=0) as file:
        for at in range(0, len(jar), size):
            assert cluster.ada.told("slow.jar") == ""
            file.write(jar[at : at + size])
            time.sleep(QUIET / 6)
    job = cluster.ada.accepted("slow.jar")
    honest.add(job)
    cluster.ada.answers(job, tasks=1)


def test_an_upload_that_stalls(cluster: Cluster, good: Path, honest: set[str]) -> None:
    """A bundle of which only half came is refused after a quiet while, and accepted when the rest has come."""
    jar, target = good.read_bytes(), cluster.ada.jobs / "stalled.jar"
    target.write_bytes(jar[: len(jar) // 2])
    assert cluster.ada.refused("stalled.jar").startswith("zip-")
    with target.open("ab") as file:
        file.write(jar[len(jar) // 2 :])
    wait_for(lambda: "job: " in cluster.ada.told("stalled.jar"), story=cluster.story)
    job = cluster.ada.accepted("stalled.jar")
    honest.add(job)
    cluster.ada.answers(job, tasks=1)


def test_a_link(cluster: Cluster, good: Path) -> None:
    """A link in jobs/ is not followed, wherever it leads: not even to a bundle that would run."""
    (cluster.ada.jobs / "link.jar").symlink_to(good)
    assert cluster.ada.refused("link.jar").startswith("file.kind: ")
    (cluster.ada.jobs / "passwd.jar").symlink_to("/etc/passwd")
    assert cluster.ada.refused("passwd.jar").startswith("file.kind: ")


def test_neither_a_pipe_nor_a_folder_stops_the_ws(cluster: Cluster) -> None:
    """A pipe that nobody writes to, and a folder, are refused like a link."""
    os.mkfifo(cluster.ada.jobs / "pipe.jar")
    (cluster.ada.jobs / "folder.jar").mkdir()
    assert cluster.ada.refused("pipe.jar").startswith("file.kind: ")
    assert cluster.ada.refused("folder.jar").startswith("file.kind: ")


def test_a_name_with_a_line_break(cluster: Cluster, good: Path) -> None:
    """A name that we would not write beside is refused in a file of our own, in which it can do no harm."""
    hostile = cluster.ada.jobs / "x\nstate: done\n.jar"
    hostile.write_bytes(good.read_bytes())
    told = cluster.ada.refused("refused-names")
    assert told.startswith("file-name: ")
    assert "\\nstate: done\\n" in told
    assert "\n" not in told
    hostile.unlink()
