"""Jobs' files that come in parts: what this platform needs, checked like any bundle, and whole again when spoiled."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cs import ledger
from cs.attempt import Owner, Preparation
from cs.bundles import Bundles
from cs.java import Java
from cs.prepared import Prepared
from cs.trust import Grant, TrustStore
from cs.wheels import Wheels
from cs.workplace import Workplace
from rjs.attempts import AttemptId, Fence
from rjs.background import ImmediateWorkers
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import Party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.ids import ClusterId
from rjs.limits import BLOB_CHUNK, GIB, MIB
from rjs.needs import Needs, Offer, Platform
from rjs.storage import ImmediateStorage, open_database
from rjs.wire.messages import BlobData, BlobRead, JarPart, JobBrief
from rjs.wire.session import Session

LINUX, MAC = Platform("linux", "x86_64"), Platform("macos", "aarch64")
SIGNER, OTHER = make_signer(), make_signer("Eve Signer")
DAY = timedelta(days=1)
DICE = random.Random(3)
LEDGERS = itertools.count()

TOML = b"""name = "parts"
runtime = "python"
entry = "main.py"
tasks = "tasks.txt"
[[resources]]
os = "linux"
files = ["linux/*"]
[[resources]]
os = "macos"
files = ["macos/*"]
"""
FILES = {
    "job.toml": TOML,
    "main.py": b"pass\n",
    "tasks.txt": b"one\ntwo\n",
    "linux/big.bin": DICE.randbytes(2 * MIB),
    "macos/big.bin": DICE.randbytes(3 * MIB),
    "linux/small.bin": DICE.randbytes(1000),
}
JNLP = b"""<jnlp><information><title>parts</title></information>
<resources><jar href="main.jar" main="true"/><jar href="lib.jar"/></resources>
<resources os="Linux"><nativelib href="linux.jar"/></resources>
<resources os="Mac OS X"><nativelib href="macos.jar"/></resources>
<application-desc main-class="Main"/></jnlp>
"""
JARS = {
    "lib.jar": {"Lib.class": b"lib", "META-INF/versions/9/Lib.class": b"lib 9"},
    "linux.jar": {"libx.so": DICE.randbytes(2 * MIB)},
    "macos.jar": {"libx.dylib": DICE.randbytes(3 * MIB)},
}


def signed(
    files: Mapping[str, bytes], signer: Party = SIGNER, nonce: int = 0, more: Mapping[str, str] = {}
) -> bytes:
    now = datetime.now(UTC)
    attributes = {**job_attributes("parts", bytes([nonce]) * 16, now - DAY, now + DAY), **more}
    return signed_jar(signer, files, attributes)


class Job:
    """A job's file, and what is said of it."""

    def __init__(self, main: bytes, jars: Mapping[str, bytes] = {}) -> None:
        self.content = main + b"".join(jars.values())
        with open_bundle(io.BytesIO(main), at=datetime.now(UTC)) as opened:
            self.signer = opened.signer.spki
            self.brief = JobBrief(
                job=opened.bundle_id,
                name="parts",
                signer=self.signer,
                tasks=2,
                size=len(self.content),
                sha256=hashlib.sha256(self.content).hexdigest(),
                needs=Needs(),
                jars=tuple(JarPart(name, len(jar)) for name, jar in jars.items()),
            )


PYTHON = Job(signed(FILES))
MAIN = signed({"JNLP-INF/APPLICATION.JNLP": JNLP, "Main.class": b"main"}, more={"Main-Class": "Main"})
LIBRARIES = {
    name: signed(files, nonce=number, more={"Multi-Release": "true"} if name == "lib.jar" else {})
    for number, (name, files) in enumerate(JARS.items())
}
JAVA = Job(MAIN, LIBRARIES)


class Lus:
    """A lookup server's session, which answers at once; ``change`` makes it a hostile one."""

    def __init__(self, job: Job) -> None:
        self.content = job.content
        self.asked: list[range] = []
        self.change: Callable[[BlobRead, bytes], bytes] = lambda _, data: data

    async def request(self, read: BlobRead, kind: object) -> BlobData:
        self.asked.append(range(read.offset, read.offset + read.length))
        data = self.content[read.offset : read.offset + read.length]
        return BlobData(data=self.change(read, data))

    @property
    def fetched(self) -> int:
        return sum(map(len, self.asked))


class Desktop:
    """A compute server of one platform, as far as preparing tasks goes."""

    def __init__(self, folder: Path, job: Job, platform: Platform = LINUX) -> None:
        self.folder, self.job = folder, job
        self.lus = Lus(job)
        self.trusted = TrustStore((Grant(job.signer, "ada", "signer", datetime.now(UTC)),))
        self.cache = folder / "cache"
        self.cache.mkdir(exist_ok=True)
        connection = open_database(
            folder / "private" / f"{next(LEDGERS)}.sqlite",
            ledger.MIGRATIONS,
            application_id=ledger.APPLICATION_ID,
        )
        self.storage = ImmediateStorage(connection)
        self.wheels = Wheels(folder / "wheels")
        self.bundles = Bundles(self.cache, ImmediateWorkers(), Clock(), platform)
        offer = Offer(memory=GIB, cores=1, disk=GIB, python="3.11.7", java="17", platform=platform)
        self.preparation = Preparation(
            cast(Owner, SimpleNamespace(cluster=ClusterId("0" * 16))),
            self.bundles,
            self.storage,
            ImmediateWorkers(),
            lambda: self.trusted,
            lambda: offer,
            self.wheels,
            Java(Path("/usr/bin/java"), 17),
        )
        self.fences = iter(range(1, 100))

    @property
    def path(self) -> Path:
        return self.cache / f"{self.job.brief.job}.jar"

    def prepare(self, brief: JobBrief | None = None) -> Prepared:
        """The next attempt; raises what its preparation does."""
        attempt = AttemptId(self.job.brief.job, 0, Fence(1, 1, next(self.fences)))
        place = self.place(attempt)
        ended: list[Prepared | Failure] = []
        preparing = self.preparation.prepare(attempt, brief or self.job.brief, cast(Session, self.lus), place)
        ensureDeferred(preparing).addBoth(ended.append)
        if isinstance(ended[0], Failure):
            ended[0].raiseException()
        assert isinstance(ended[0], Prepared)
        return ended[0]

    def place(self, attempt: AttemptId) -> Workplace:
        """Where it is unpacked."""
        (self.folder / "work").mkdir(exist_ok=True)
        return Workplace(self.folder / "work", attempt)

    def refusal(self, brief: JobBrief | None = None) -> str:
        with pytest.raises(RefusedError) as refused:
            self.prepare(brief)
        return refused.value.code

    def close(self) -> None:
        self.bundles.close()
        self.storage.close()


@pytest.fixture
def desktops(tmp_path: Path) -> Iterator[Callable[..., Desktop]]:
    """Makes desktops of one folder, closed at the end."""
    made: list[Desktop] = []

    def make(job: Job = PYTHON, platform: Platform = LINUX) -> Desktop:
        made.append(Desktop(tmp_path, job, platform))
        return made[-1]

    yield make
    for desktop in made:
        desktop.close()


Desktops = Callable[..., Desktop]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- what comes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("platform", "elsewhere"), [(LINUX, "macos"), (MAC, "linux")], ids=str)
def test_only_what_the_platform_needs_comes(desktops: Desktops, platform: Platform, elsewhere: str) -> None:
    """The files of other platforms neither come nor are unpacked; what is unpacked is what was signed."""
    desktop = desktops(PYTHON, platform)
    prepared = desktop.prepare()
    needed = {name: content for name, content in FILES.items() if not name.startswith(elsewhere)}
    assert files_below(prepared.workplace.job) == needed
    assert desktop.lus.fetched < sum(map(len, needed.values())) + 100_000
    assert desktop.path.stat().st_size == len(PYTHON.content)
    assert prepared.arguments == ("one",)


def test_each_byte_comes_once(desktops: Desktops) -> None:
    """No range is asked for twice, in few requests."""
    desktop = desktops()
    desktop.prepare()
    ends = sorted((each.start, each.stop) for each in desktop.lus.asked)
    assert all(stop <= start for (_, stop), (start, _) in itertools.pairwise(ends))
    assert len(ends) < 8 + len(PYTHON.content) // BLOB_CHUNK


def test_a_descriptor_that_lists_its_tasks_in_a_large_file(desktops: Desktops) -> None:
    """A file that the descriptor names is had before the bulk, wherever it lies."""
    tasks = b"".join(b"%d\n" % number for number in range(60_000))
    files = {**FILES, "job.toml": TOML.replace(b"tasks.txt", b"a/tasks.txt"), "a/tasks.txt": tasks}
    desktop = desktops(Job(signed(files)))
    assert desktop.prepare().arguments == ("0",)


def test_a_signer_without_trust_costs_the_skeleton_alone(desktops: Desktops) -> None:
    """Who is not trusted sends no bulk, and nothing stays of it."""
    desktop = desktops()
    desktop.trusted = TrustStore()
    assert desktop.refusal() == "not-trusted"
    assert desktop.lus.fetched < 100_000
    assert list(desktop.cache.iterdir()) == []


def test_an_open_job_is_not_fetched_again(desktops: Desktops) -> None:
    """The next task of a job costs no byte, also after a restart."""
    desktop = desktops()
    desktop.prepare()
    once = desktop.lus.fetched
    desktop.prepare()
    restarted = desktops()
    assert files_below(restarted.prepare().workplace.job)["linux/big.bin"] == FILES["linux/big.bin"]
    assert (desktop.lus.fetched, restarted.lus.fetched) == (once, 0)


# --- further JARs ----------------------------------------------------------------------------------------


def test_further_jars_are_unpacked_apart(desktops: Desktops) -> None:
    """Each JAR that the platform needs has a folder of its own, in the descriptor's order; others do not come."""
    desktop = desktops(JAVA)
    prepared = desktop.prepare()
    library, native = prepared.jars
    assert files_below(library.path) == {
        "Lib.class": b"lib",
        "META-INF/versions/9/Lib.class": b"lib 9",
    }
    assert files_below(native.path) == JARS["linux.jar"]
    assert (library.native, library.multi_release) == (False, True)
    assert (native.native, native.multi_release) == (True, False)
    assert "Main.class" in files_below(prepared.workplace.job)
    assert desktop.lus.fetched < len(JAVA.content) - 3 * MIB + 100_000


def test_a_jar_of_another_signer_is_refused(desktops: Desktops) -> None:
    """Every JAR has the signer of the bundle, whoever else the owner trusts."""
    jars = {**LIBRARIES, "lib.jar": signed(JARS["lib.jar"], OTHER)}
    desktop = desktops(Job(MAIN, jars))
    other = Grant(Job(jars["lib.jar"]).signer, "eve", "signer", datetime.now(UTC))
    desktop.trusted = TrustStore((*desktop.trusted.grants, other))
    assert desktop.refusal() == "jar-signer"
    assert list(desktop.cache.iterdir()) == []


def test_a_jar_that_is_invalid_is_refused(desktops: Desktops) -> None:
    """A further JAR is judged as strictly as a bundle, and each of its files as it is unpacked."""
    for spoil, code in (
        (lambda jar: jar[:-1] + b"x", "zip-end"),
        (lambda jar: jar.replace(b"SHA-256-Digest", b"SHA-257-Digest", 1), "zip-data"),
        (lambda jar: jar.replace(b"lib 9", b"evil!"), "zip-data"),
    ):
        desktop = desktops(Job(MAIN, {**LIBRARIES, "lib.jar": spoil(LIBRARIES["lib.jar"])}))
        assert desktop.refusal() == code
        assert not list(desktop.folder.glob("work/*/task/jars/*")) and list(desktop.cache.iterdir()) == []


def test_the_jars_are_those_that_the_descriptor_names(desktops: Desktops) -> None:
    """A JAR more, a JAR less, another name or one name twice is refused before any JAR comes."""
    parts = JAVA.brief.jars
    for names in (
        ["lib.jar", "linux.jar"],
        ["lib.jar", "linux.jar", "macos.jar", "evil.jar"],
        ["lib.jar", "linux.jar", "evil.jar"],
        ["lib.jar", "lib.jar", "macos.jar"],
    ):
        sizes = [part.size for part in parts] + [len(LIBRARIES["lib.jar"])]
        jars = {f"{number}": bytes(size) for number, size in zip(range(len(names)), sizes, strict=False)}
        desktop = desktops(Job(MAIN, jars))
        brief = msgspec.structs.replace(
            desktop.job.brief,
            jars=tuple(JarPart(name, len(jar)) for name, jar in zip(names, jars.values(), strict=True)),
        )
        assert desktop.refusal(brief) == "jar-names"
        assert desktop.lus.fetched <= len(MAIN)


def test_sizes_that_do_not_fit_are_refused(desktops: Desktops) -> None:
    """JARs as large as the whole file, or larger, leave no bundle: nothing is asked for."""
    for size in (len(JAVA.content), 2**40):
        desktop = desktops(JAVA)
        brief = msgspec.structs.replace(JAVA.brief, jars=(JarPart("lib.jar", size),))
        assert desktop.refusal(brief) == "job-size"
        assert desktop.lus.asked == []


def test_swapped_jars_of_one_size_are_judged_as_what_they_are(desktops: Desktops) -> None:
    """Where one JAR ends and the next begins is a claim: a wrong one is refused."""
    first, *others = JAVA.brief.jars
    brief = msgspec.structs.replace(JAVA.brief, jars=(JarPart(first.name, first.size + 1), *others))
    assert desktops(JAVA).refusal(brief) != "accepted"


# --- a spoiled cache -------------------------------------------------------------------------------------


def flip_content(path: Path) -> None:
    """Where the file itself says nothing of it: its stamp stays."""
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(FILES["linux/big.bin"][:100]) + 1_000_000)
        file.write(b"spoiled")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def punch_a_hole(path: Path) -> None:
    found = path.stat()
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(FILES["linux/big.bin"][:100]))
        file.write(bytes(len(FILES["linux/big.bin"])))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_the_manifest(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.read_bytes().index(b"SHA-256-Digest"))
        file.write(b"MD5")


def replace_by_another(path: Path) -> None:
    other = signed({"job.toml": TOML, **FILES}, OTHER, nonce=9)
    path.with_name("other").write_bytes(other.ljust(1))
    path.with_name("other").replace(path)


SPOILS = [flip_content, punch_a_hole, cut, flip_the_manifest, replace_by_another, Path.unlink]


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("restart", [False, True], ids=["open", "restarted"])
def test_what_was_spoiled_comes_anew(
    desktops: Desktops, spoil: Callable[[Path], object], restart: bool
) -> None:
    """Whatever became of the file between two tasks, the second has what was signed, at the cost of a fetch."""
    desktop = desktops()
    desktop.prepare()
    if restart:
        desktop.bundles.close()
        desktop = desktops()
    desktop.lus.asked.clear()
    spoil(desktop.path)
    prepared = desktop.prepare()
    assert files_below(prepared.workplace.job)["linux/big.bin"] == FILES["linux/big.bin"]
    assert 2 * MIB < desktop.lus.fetched < 2.2 * MIB


def test_another_platform_takes_what_it_lacks(desktops: Desktops) -> None:
    """A cache of another platform's parts, such as of a disk that moved, is holes: they are no content."""
    desktops(PYTHON, LINUX).prepare()
    moved = desktops(PYTHON, MAC)
    assert files_below(moved.prepare().workplace.job)["macos/big.bin"] == FILES["macos/big.bin"]
    assert moved.lus.fetched > 3 * MIB


# --- a hostile LUS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda _, data: data[:-1], "blob-differs"),
        (lambda _, data: data + b"x", "blob-differs"),
        (lambda _, data: bytes(len(data)), "zip-end"),
        (lambda read, data: data if read.length < 100_000 else bytes(len(data)), "zip-data"),
        (lambda read, data: data if read.length < 100_000 else data[::-1], "zip-data"),
    ],
    ids=["short", "long", "zeros", "zeros for the bulk", "other bytes for the bulk"],
)
def test_what_was_not_signed_is_refused(
    desktops: Desktops, change: Callable[[BlobRead, bytes], bytes], code: str
) -> None:
    """Other bytes than those signed are refused after one more try, and leave nothing unpacked and nothing cached."""
    desktop = desktops()
    desktop.lus.change = change
    assert desktop.refusal() == code
    assert not list(desktop.folder.glob("work/*/task/job")) and list(desktop.cache.iterdir()) == []
    assert desktop.lus.fetched <= 2 * len(PYTHON.content)


def test_a_whole_other_job_is_refused(desktops: Desktops) -> None:
    """A valid bundle of a trusted signer, sent for another one, costs its skeleton."""
    desktop = desktops()
    desktop.lus.content = signed(FILES, nonce=7)
    brief = msgspec.structs.replace(
        desktop.job.brief, size=len(desktop.lus.content)
    )  # as an ECDSA signature varies
    assert desktop.refusal(brief) == "wrong-bundle"
    assert desktop.lus.fetched < 100_000


def test_a_stopped_fetch_leaves_nothing(desktops: Desktops) -> None:
    """A fetch by parts that is not wanted any more ends at once."""
    desktop = desktops()
    stalled: list[Deferred[BlobData]] = []

    async def request(read: BlobRead, kind: object) -> BlobData:
        stalled.append(Deferred())
        return await stalled[-1]

    desktop.lus.request = request  # type: ignore[method-assign]  # this one stalls
    ended: list[Any] = []
    attempt = AttemptId(PYTHON.brief.job, 0, Fence(1, 1, 1))
    preparing = desktop.preparation.prepare(
        attempt, PYTHON.brief, cast(Session, desktop.lus), desktop.place(attempt)
    )
    ensureDeferred(preparing).addBoth(ended.append)
    assert stalled and not ended
    desktop.bundles.stop_fetching()
    assert len(ended) == 1 and list(desktop.cache.iterdir()) == []
