"""Attack: somebody has a copy of every file of the web server, keys included, and plays it, and everyone that the
stolen key can certify, against a real compute server whose owner trusts ada alone.

What the thief can do is tried first, so that what fails afterwards fails for its own reason.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest
from cluster import LOOPBACK, PATIENCE, RJS, Cluster, running_cluster, wait_for
from jobs import write_job
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from wrong_certificates import identifier

from rjs.answers.answer_jar import open_answer, write_answer
from rjs.attempts import Fence
from rjs.bundle.sign import job_attributes, sign_jar
from rjs.bundle.testing import make_signer
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.identity.authority import TokenAuthority
from rjs.identity.certificates import Identity, Subject, sign_certificate
from rjs.identity.keys import load_chain, load_private, new_key
from rjs.identity.names import RjsName, Role, answer_uri, signer_uri
from rjs.identity.peers import identify
from rjs.identity.profiles import PROFILES, Kind
from rjs.identity.tls import client_context
from rjs.needs import Needs
from rjs.wire import messages as m
from rjs.wire.blobs import chunk_of
from rjs.wire.dial import dial
from rjs.wire.session import Self, Session, SessionLostError
from rjs.wire.testing import RecordingDoor

pytestmark = pytest.mark.integration

GOLDEN = Path(__file__).parents[1] / "rjs" / "wire" / "golden" / "0.1.json"
MARK = "import sys\nfrom pathlib import Path\nPath(sys.argv[1]).touch()\n"


@attrs.define
class Thief:
    """Who has the web server's files in ``loot``, and the cluster that they were copied from."""

    cluster: Cluster
    loot: Path
    honest: str
    tokens: TokenAuthority = attrs.field(init=False)
    intermediate: Identity = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        folder = next(self.loot.glob("clusters/*/identity/authority"))
        self.tokens = TokenAuthority.open(folder)
        self.intermediate = Identity(
            load_private(folder / "intermediate.key"), load_chain(folder / "intermediate.pem")
        )

    def member(self, role: Role) -> Identity:
        """A token certificate of a role, as good as a real one."""
        return self.tokens.own_identity(RjsName(role, identifier(role)), "nobody you know", datetime.now(UTC))

    def certified(self, kind: Kind, uri: str | None, issuer: Identity | None = None) -> Identity:
        """A certificate of any kind by the stolen key, or by one that it certified."""
        above, key = issuer or self.intermediate, new_key()
        subject = Subject(key.public_key(), "nobody you know", 3600.0, uri)
        leaf = sign_certificate(PROFILES[kind], subject, above.issuer, datetime.now(UTC))
        return Identity(key, (leaf, *above.chain))

    @property
    def answer(self) -> Path:
        """The one genuine answer, of the job ``honest``."""
        return self.loot / "home" / "ada" / "ans" / self.honest[:16] / "0.jar"


@pytest.fixture(scope="module")
def thief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thief]:
    """Of the cluster only the compute server runs on. At the end its owner's trust is what it was."""
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as cluster:
        job = cluster.ada.place(
            cluster.ada.pack(write_job(tmp_path_factory.mktemp("jobs") / "honest", "print(1)"))
        )
        cluster.ada.answers(job, tasks=1)
        cluster["ws"].stop()
        cluster["lus"].stop()
        loot = tmp_path_factory.mktemp("loot") / "ws"
        shutil.copytree(cluster["ws"].folder, loot)
        trust = trusted(cluster)
        yield Thief(cluster, loot, job)
        assert trusted(cluster) == trust


def trusted(cluster: Cluster) -> tuple[str, bytes]:
    """What the owner trusts: as the command lists it, and the very file."""
    folder = cluster["cs1"].folder
    [path] = folder.glob("clusters/*/trust.toml")
    return cluster.rjs("trust", "list", "--json", "--cs", folder).stdout, path.read_bytes()


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, which these tests turn by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    return reactor


def outcome(reactor: ReactorBase, work: Any) -> Any:
    """The result of a coroutine, or its error, within the time of a real process."""
    got: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(got.append)
    began = reactor.seconds()
    while not got:
        assert reactor.seconds() - began < PATIENCE, "it hangs"
        reactor.iterate(0.02)
    return getattr(got[0], "value", got[0])


class LookupServer:
    """The thief as a lookup server that serves the compute server any file under any name."""

    def __init__(self, reactor: ReactorBase, thief: Thief, role: Role = Role.LUS) -> None:
        self.reactor = reactor
        self.thief = thief
        self.identity = thief.member(role)
        self.files: dict[str, Path] = {}
        self.door = RecordingDoor(
            {Role.CS},
            {m.CsState: ignore, m.BlobRead: self._read, m.AttemptEnded: ignore, m.AnswerOffer: later},
        )

    def __enter__(self) -> Session:
        root = self.identity.root
        me = Self(identify(self.identity.chain, root).name.uri(), self.cluster_id, "0" * 32, 1, "0")
        port = self.thief.cluster["cs1"].document()["port"]
        context = client_context(self.identity, Role.CS)
        self.session = outcome(self.reactor, dial(self.reactor, LOOPBACK, port, me, self.door, context, 1))
        assert isinstance(self.session, Session), self.session
        return self.session

    def __exit__(self, *raised: object) -> None:
        gone = self.session.gone()
        self.session.close("done", "that is all")
        outcome(self.reactor, waited(gone))

    @property
    def cluster_id(self) -> str:
        """The cluster's id, from the folder's name."""
        return next(self.thief.loot.glob("clusters/*")).name

    def _read(self, session: Session, message: m.BlobRead) -> m.BlobData:
        return chunk_of(self.files[message.key], message)

    def start(self, brief: m.JobBrief, path: Path) -> Any:
        """Offer a task of the job as whose file ``path`` is served; what comes of it."""
        self.files[brief.job] = path
        message = m.TaskStart(job=brief, task=0, fence=Fence(1, 1, len(self.files)))
        return outcome(self.reactor, self.session.request(message, m.Done))


def ignore(session: Session, message: m.Message) -> None:
    """Done."""


def later(session: Session, message: m.AnswerOffer) -> m.AnswerVerdict:
    """No answer is wanted now."""
    return m.AnswerVerdict(verdict="retry")


def take(session: Session, message: m.AnswerOffer) -> m.AnswerVerdict:
    """An answer that is thrown away."""
    return m.AnswerVerdict(verdict="committed")


async def waited(deferred: Deferred[str]) -> str:
    return await deferred


def brief_of(path: Path) -> m.JobBrief:
    """What says truly what ``path`` is, as far as it is anything."""
    data = path.read_bytes()
    try:
        with path.open("rb") as file, open_bundle(file, at=datetime.now(UTC)) as bundle:
            job, signer = str(bundle.bundle_id), str(bundle.signer.spki)
    except RefusedError:
        job, signer = hashlib.sha256(data).hexdigest(), "c" * 64
    return m.JobBrief(
        job=job, name="hello", signer=signer, tasks=1, size=len(data), sha256=hashlib.sha256(data).hexdigest(),
        needs=Needs(),
    )  # fmt: skip


@attrs.frozen
class Job:
    """A job that leaves a mark where it runs: ada's, or signed by a key of the thief's."""

    folder: Path

    @property
    def mark(self) -> Path:
        """Exists once the job ran anywhere."""
        return self.folder / "it-ran"

    def source(self) -> Path:
        return write_job(self.folder / "job", MARK, args=[str(self.mark)])

    def of_ada(self, thief: Thief) -> Path:
        return thief.cluster.ada.pack(self.source())

    def signed(self, identity: Identity) -> Path:
        path, source, now = self.folder / "stolen.jar", self.source(), datetime.now(UTC)
        day = timedelta(days=1)
        files = [(each.name, each.read_bytes(), False) for each in sorted(source.iterdir())]
        with path.open("w+b") as out:
            attributes = job_attributes("job", bytes(16), now - day, now + day)
            sign_jar(out, files, key=identity.key, chain=identity.chain, attributes=attributes)
        return path


def test_the_thief_is_a_lookup_server_to_a_compute_server(
    reactor: ReactorBase, thief: Thief, tmp_path: Path
) -> None:
    """With the stolen key: let in, and heard. What ada signed, it may have run: that is what the owner trusts."""
    job = Job(tmp_path)
    path = job.of_ada(thief)
    lus = LookupServer(reactor, thief)
    with lus:
        assert isinstance(lus.start(brief_of(path), path), m.Done)
        wait_for(job.mark.exists)


def test_a_nonsense_verdict_costs_a_session_and_no_answer(
    reactor: ReactorBase, thief: Thief, tmp_path: Path
) -> None:
    """Told "done" where a verdict belongs, the compute server leaves that lookup server and keeps its answers."""
    path, cs = Job(tmp_path).of_ada(thief), thief.cluster["cs1"]
    kept = cs.document()["answers_waiting"] + 1
    lus = LookupServer(reactor, thief)
    with lus:
        assert isinstance(lus.start(brief_of(path), path), m.Done)
        wait_for(lambda: cs.document()["answers_waiting"] == kept)
    lus.door.routes = {**lus.door.routes, m.AnswerOffer: ignore}
    with lus as session:
        assert outcome(reactor, waited(session.gone())) == "protocol: done is no answer to answer.offer"
    assert cs.document()["answers_waiting"] == kept
    lus.door.routes = {**lus.door.routes, m.AnswerOffer: take}
    with lus:
        wait_for(lambda: turned(reactor) and cs.document()["answers_waiting"] == 0)


def turned(reactor: ReactorBase) -> bool:
    """Let the reactor do what is due."""
    reactor.iterate(0.02)
    return True


def as_ada(thief: Thief) -> Identity:
    """A signing certificate in ada's name by the stolen key."""
    return thief.certified(Kind.SIGNING, signer_uri("ada"))


def outsider(thief: Thief) -> Identity:
    """A good signing certificate of a CA that nobody knows."""
    party = make_signer()
    return Identity(party.key, party.chain)


def as_member(thief: Thief) -> Identity:
    """The token certificate of a member."""
    return thief.member(Role.ADMIN)


def stolen_bundle(make: Callable[[Thief], Identity]) -> Callable[[Thief, Job], tuple[m.JobBrief, Path]]:
    """A job signed by what the thief can make, told as what it is."""

    def offered(thief: Thief, job: Job) -> tuple[m.JobBrief, Path]:
        path = job.signed(make(thief))
        return brief_of(path), path

    return offered


def in_adas_name(thief: Thief, job: Job) -> tuple[m.JobBrief, Path]:
    """The thief's own, told as signed by the key that the owner trusts."""
    path = job.signed(outsider(thief))
    signer = brief_of(job.of_ada(thief)).signer
    return msgspec.structs.replace(brief_of(path), signer=signer), path


def under_adas_id(thief: Thief, job: Job) -> tuple[m.JobBrief, Path]:
    """The thief's own file in the place of ada's job."""
    path = job.signed(outsider(thief))
    honest, own = brief_of(job.of_ada(thief)), brief_of(path)
    return msgspec.structs.replace(own, job=honest.job, signer=honest.signer), path


def changed(thief: Thief, job: Job) -> tuple[m.JobBrief, Path]:
    """Ada's own job with another program in it."""
    genuine, path = job.of_ada(thief), job.folder / "changed.jar"
    with zipfile.ZipFile(genuine) as old, zipfile.ZipFile(path, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(
                info, data + b"# and more" if info.filename == "run.py" else data, zipfile.ZIP_STORED
            )
    honest, own = brief_of(genuine), brief_of(path)
    return msgspec.structs.replace(own, job=honest.job, signer=honest.signer), path


def genuine_answer(thief: Thief, job: Job) -> tuple[m.JobBrief, Path]:
    """An answer in the place of a job: the owner's own machine signed it."""
    return brief_of(thief.answer), thief.answer


OFFERS = {
    "signed in ada's name by the stolen key": (stolen_bundle(as_ada), "path"),
    "signed by a stranger": (stolen_bundle(outsider), "not-trusted"),
    "signed by a member's token": (stolen_bundle(as_member), "certificate"),
    "a stranger's, told as ada's": (in_adas_name, "not-trusted"),
    "a stranger's under the id of ada's": (under_adas_id, "wrong-bundle"),
    "ada's, changed": (changed, "file-changed"),
    "an answer": (genuine_answer, "certificate"),
}


@pytest.mark.parametrize("offer", OFFERS)
def test_no_code_runs_that_its_signer_did_not_sign(
    reactor: ReactorBase, thief: Thief, tmp_path: Path, offer: str
) -> None:
    """The compute server fetches it, refuses it by name, and nothing of it ran."""
    job, (make, code) = Job(tmp_path), OFFERS[offer]
    brief, path = make(thief, job)
    lus = LookupServer(reactor, thief)
    with lus:
        refused = lus.start(brief, path)
    assert isinstance(refused, RefusedError) and refused.code == code, refused
    assert not job.mark.exists()


def test_no_message_changes_what_the_owner_trusts(reactor: ReactorBase, thief: Thief) -> None:
    """Every message that there is, said by the thief as lookup server: refused, unknown or harmless."""
    trust = trusted(thief.cluster)
    lus = LookupServer(reactor, thief)
    for encoded in json.loads(GOLDEN.read_text()).values():
        message = m.decode(bytes.fromhex(encoded))
        with lus as session:
            session.tell(msgspec.structs.replace(message, re=0))
            heard = session.request(m.BlobRead(kind="answer", key="none", offset=0, length=1), m.BlobData)
            assert isinstance(outcome(reactor, heard), RefusedError | SessionLostError)
    assert trusted(thief.cluster) == trust
    assert thief.cluster["cs1"].serves()


# --- answers ----------------------------------------------------------------------------------------------


def by_the_intermediate(thief: Thief, cs: str) -> Identity:
    """An answer certificate by the stolen key."""
    return thief.certified(Kind.ANSWER, answer_uri(cs))


def by_an_invitation(thief: Thief, cs: str) -> Identity:
    """An answer certificate by an invitation that the stolen key made."""
    name = f"rjs://invitation/cs/{cs}?expires=4000000000"
    return thief.certified(Kind.ANSWER, answer_uri(cs), thief.certified(Kind.CS_INVITATION, name))


def by_a_token(thief: Thief, cs: str) -> Identity:
    """The token of that very compute server."""
    return thief.tokens.own_identity(RjsName(Role.CS, cs), "cs1", datetime.now(UTC))


FORGERS = {"intermediate": by_the_intermediate, "invitation": by_an_invitation, "token": by_a_token}


@pytest.mark.parametrize("forger", FORGERS)
def test_no_answer_is_forged(thief: Thief, tmp_path: Path, forger: str) -> None:
    """Whatever the stolen key certifies signs no answer, not even in the name of one that gave a genuine one."""
    with thief.answer.open("rb") as file:
        genuine = open_answer(file, roots=load_chain(thief.cluster.root), at=datetime.now(UTC))
    identity = FORGERS[forger](thief, genuine.receipt.cs)
    path = tmp_path / "0.jar"
    with path.open("wb") as out:
        write_answer(
            out,
            receipt=genuine.receipt,
            files=[("out/result", b"42")],
            key=identity.key,
            chain=identity.chain,
        )
    refusal = verified(thief, path, status=1)
    assert refusal.startswith("refused: ")


def test_the_genuine_answer_cannot_be_changed(thief: Thief, tmp_path: Path) -> None:
    """It passes as it is, and not with one byte of its output or of its receipt changed."""
    verified(thief, thief.answer, status=0)
    path = tmp_path / "0.jar"
    for changed in ("stdout.txt", "receipt.json"):
        with zipfile.ZipFile(thief.answer) as old, zipfile.ZipFile(path, "w") as new:
            for info in old.infolist():
                data = old.read(info)
                new.writestr(info, data.replace(b"1", b"2", 1) if info.filename == changed else data)
        assert verified(thief, path, status=1).startswith("refused: ")


def verified(thief: Thief, path: Path, status: int) -> str:
    """What `rjs verify --answer` says of it."""
    root = thief.cluster.root
    return thief.cluster.rjs("verify", path, "--answer", "--trust", root, status=status).stderr


# --- the thief as web server ------------------------------------------------------------------------------


def test_the_thief_runs_the_web_server(thief: Thief, tmp_path: Path) -> None:
    """The copy, started in the place of the original with the thief's signer in ada's account, serves the genuine
    lookup server, which believes it; the compute server refuses the job, and its status says so."""
    cluster, party = thief.cluster, make_signer()
    job = Job(tmp_path)
    path = job.signed(Identity(party.key, party.chain))
    [journal] = thief.loot.glob("clusters/*/ws.sqlite")
    with closing(sqlite3.connect(journal)) as db, db:
        db.execute("INSERT INTO signers VALUES ('ada', ?)", (brief_of(path).signer,))
    log = tmp_path / "thief.log"
    with log.open("wb") as out:
        process = cluster.popen("ws", [RJS, "ws", "run", thief.loot], stdout=out, stderr=out)
    try:
        jobs = thief.loot / "home" / "ada" / "jobs"
        cluster["lus"].start()
        cluster.registered("cs1")
        shutil.copyfile(path, jobs / "stolen.jar")
        status = jobs / "stolen.jar.status.txt"
        wait_for(lambda: status.exists() and "trust" in status.read_text(), story=log.read_text)
        assert "\nrefused: " not in status.read_text()
        assert not job.mark.exists()
    finally:
        cluster["lus"].stop()
        process.terminate()
        process.wait(PATIENCE)
