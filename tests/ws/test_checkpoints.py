"""Checkpoints at the WS: which are kept, durably, for how long, and to whom they are given."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from samples import A, attempt, brief, job
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs.attempts import AttemptId
from rjs.background import ImmediateWorkers
from rjs.bundle.testing import NOW
from rjs.bundle.verify import spki_of
from rjs.checkpoints.checkpoint_jar import Statement, write_checkpoint
from rjs.errors import RefusedError
from rjs.identity.certificates import sole_uri
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId
from rjs.storage import ImmediateStorage, open_database
from rjs.wire import messages as m
from rjs.wire.session import Session
from ws import limits, store
from ws.checkpoints import CheckpointDesk
from ws.instructions import SendGrant
from ws.job import Job
from ws.shell import Shell

ORGANISATION = Organisation(NOW)
MAKER, OTHER = (ORGANISATION.answer(ORGANISATION.invitation(Role.CS)) for _ in range(2))
CS = sole_uri(MAKER.chain[0]).rpartition("/")[2]
LUS, BOOT = "e" * 32, "b" * 32
FIRST = attempt(1)


class Site:
    """A WS with job A, whose task 0 is leased to LUS and placed on CS; ``restart`` reads what is on its disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"
        self.folder.mkdir()
        self.base = folder / "ws.sqlite"
        self.grants: list[SendGrant] = []
        self.open()

    def open(self) -> None:
        connection = open_database(self.base, store.MIGRATIONS, application_id=store.APPLICATION_ID)
        queue = store.load_queue(connection, 0.0)
        self.storage = ImmediateStorage(connection)
        self.shell = Shell(queue, self.storage, cast(Any, Clock()), pytest.fail, lambda: NOW)
        self.shell.to_lus = lambda word: self.grants.append(cast(SendGrant, word))
        self.desk = CheckpointDesk(
            self.shell, ImmediateWorkers(), self.folder, ORGANISATION.root, lambda: {CS: spki_of(MAKER.chain[0])},
            self._check,
        )  # fmt: skip
        self.shell.drop_file = self.desk.drop
        self.revoked = False

    def _check(self, cs: str, signer: object) -> None:
        if self.revoked:
            raise RefusedError("revoked", "it was revoked")

    def begin(self, accepted: Job | None = None) -> None:
        """The job comes, and the LUS has a lease of its first task, and places it."""
        self.shell.perform(self.shell.queue.add_job(accepted or job(A), 0.0))
        self.shell.perform(self.shell.queue.lus_opened(LUS, BOOT, 0.0))
        self.want()
        self.place(FIRST)

    def want(self) -> None:
        self.shell.perform(self.shell.queue.want(LUS, 1, 1, 0.0))

    def place(self, placed: AttemptId) -> None:
        self.shell.perform(self.shell.queue.placed(LUS, placed, CS, "desk", 0.0))

    def restart(self) -> None:
        """The process dies and comes again."""
        self.storage.close()
        self.open()
        Deferred.fromCoroutine(self.desk.recover())

    def offer(self, made_by: AttemptId = FIRST, sequence: int = 1, **changes: Any) -> str:
        """Offer an honest checkpoint, or one with ``changes``; the verdict and its code."""
        data = changes.pop("data", None) or jar(made_by, sequence)
        fields = {
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "data": data,
            "cs": CS,
            **changes,
        }
        offered = m.CheckpointOffer(attempt=made_by, sequence=sequence, **fields)
        verdicts: list[Any] = []
        lus = SimpleNamespace(peer=SimpleNamespace(name=SimpleNamespace(id=LUS)))
        Deferred.fromCoroutine(self.desk.offered(cast(Session, lus), offered)).addBoth(verdicts.append)
        assert isinstance(verdicts[0], m.CheckpointVerdict), verdicts[0]
        return f"{verdicts[0].verdict} {verdicts[0].code}".rstrip()

    def read(self, key: str, lus: str = LUS) -> bytes:
        """What the LUS reads under this key."""
        found: list[Any] = []
        asked = m.BlobRead(kind="checkpoint", key=key, offset=0, length=262_144)
        Deferred.fromCoroutine(self.desk.read(lus, asked)).addBoth(found.append)
        if not isinstance(found[0], m.BlobData):
            found[0].raiseException()
        return cast(m.BlobData, found[0]).data

    @property
    def files(self) -> int:
        """How many lie in the folder."""
        return len(list(self.folder.iterdir()))

    @property
    def kept(self) -> list[int]:
        """The sequences of what is kept, by the book."""
        return [each.ref.sequence for _, each in self.shell.queue.checkpoints.all()]


@functools.cache
def jar(made_by: AttemptId = FIRST, sequence: int = 1, by: Any = MAKER, cs: str = CS) -> bytes:
    out = io.BytesIO()
    stated = Statement(
        bundle_id=BundleId(made_by.job),
        task=made_by.task,
        fence=made_by.fence,
        sequence=sequence,
        cs=ServerId(cs),
    )
    write_checkpoint(
        out, statement=stated, files=[("state", b"step %d" % sequence)], key=by.key, chain=by.chain
    )
    return out.getvalue()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    made.begin()
    yield made
    made.storage.close()


def test_the_newest_is_kept(site: Site) -> None:
    """One of each task, also over a restart; an older one is refused, the same one again is kept."""
    assert [site.offer(sequence=each) for each in (1, 3, 2, 3)] == [
        "kept",
        "kept",
        "refused older-checkpoint",
        "kept",
    ]
    assert (site.kept, site.files) == ([3], 1)
    site.restart()
    assert (site.kept, site.files) == ([3], 1)


def test_the_next_lease_tells_of_it(site: Site) -> None:
    """Whoever holds the lease reads it, and nobody else; no other key opens anything."""
    site.offer()
    site.shell.perform(site.shell.queue.attempt_ended(LUS, FIRST, CS, "returned", "", 0.0))
    site.want()
    data = jar(FIRST, 1)
    (ref,) = site.grants[-1].checkpoints
    assert (ref.task, ref.fence, ref.sequence) == (0, FIRST.fence, 1)
    key = f"{A}.0.{ref.sha256}"
    assert len(site.read(key)) == ref.size == len(data)
    for wrong in (
        f"{A}.1.{ref.sha256}",
        f"{A}.0.{'0' * 64}",
        f"{A}.x.{ref.sha256}",
        "",
        A,
        f"{A}.9999999999.x",
    ):
        with pytest.raises(RefusedError, match="no-blob"):
            site.read(wrong)
    with pytest.raises(RefusedError, match="no-blob"):
        site.read(key, "f" * 32)


def test_a_later_attempt_shuts_out_earlier_ones(site: Site) -> None:
    """While its lease waits nothing is kept, for it was told what there is; then only what itself offers."""
    site.shell.perform(site.shell.queue.want(LUS, 0, 1, 0.0))
    site.shell.perform(site.shell.queue.attempt_ended(LUS, FIRST, CS, "vanished", "", 0.0))
    assert site.offer(sequence=2) == "kept"
    site.want()
    assert site.offer(sequence=3) == "retry leased"
    later = attempt(2)
    site.place(later)
    assert site.offer(sequence=4) == "refused stale-fence"
    assert site.offer(later) == "kept"
    assert [each.ref.fence for _, each in site.shell.queue.checkpoints.all()] == [later.fence]


REFUSED: dict[str, dict[str, Any]] = {
    "refused not-placed": {"cs": "f" * 32},
    "refused answer-key": {"data": jar(by=OTHER, cs=sole_uri(OTHER.chain[0]).rpartition("/")[2])},
    "refused checkpoint-statement": {"data": jar(sequence=7)},
    "refused checkpoint-digest": {"sha256": "0" * 64},
    "refused checkpoint-size": {"size": 2**40},
    "refused unknown-task": {"made_by": attempt(1, task=9)},
}


@pytest.mark.parametrize("outcome", REFUSED)
def test_what_is_not_sound_is_not_kept(site: Site, outcome: str) -> None:
    """It is refused by name, and nothing of it stays."""
    assert site.offer(**REFUSED[outcome]) == outcome
    assert (site.kept, site.files) == ([], 0)


def test_a_revoked_maker(site: Site) -> None:
    """It has nothing kept."""
    site.revoked = True
    assert site.offer() == "refused revoked"


def test_nothing_outlives_its_task(site: Site) -> None:
    """When the task has failed for good, or the job is cancelled, file and row are gone, and no more is taken."""
    site.offer()
    site.shell.perform(site.shell.queue.cancel(A, "cancelled by ada", 0.0))
    assert (site.kept, site.files) == ([], 0)
    assert site.offer(sequence=2) == "refused task-cancelled"
    site.restart()
    assert (site.kept, site.files) == ([], 0)


def test_a_sealed_jobs_checkpoint(tmp_path: Path) -> None:
    """A WS that is in order takes none, whoever sends one."""
    site = Site(tmp_path)
    sealed = Job(msgspec.structs.replace(brief(A), sealed=True), "ada", "a.jar", 1.0, 1e9, 3)
    site.begin(sealed)
    assert site.offer() == "refused checkpoint-sealed"
    site.storage.close()


@pytest.mark.parametrize("cap", ["CHECKPOINTS_JOB", "CHECKPOINTS_ACCOUNT"])
def test_a_full_shelf_refuses_by_name(site: Site, cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there counts; the next one of the same task takes its place."""
    size = len(jar(FIRST, 1))
    monkeypatch.setattr(limits, cap, size + 10)
    assert site.offer() == "kept"
    site.shell.perform(site.shell.queue.want(LUS, 2, 1, 0.0))
    other = attempt(2, task=1)
    site.place(other)
    assert site.offer(other) == "refused checkpoints-full"
    assert site.offer(sequence=2) == "kept"


def test_what_a_crash_left(site: Site) -> None:
    """A file that no row names goes; a row whose file is gone goes too, and the next attempt begins from zero."""
    site.offer()
    (site.folder / "stray.jar").write_bytes(b"x")
    (site.folder / ".half.jar.part").write_bytes(b"x")
    site.restart()
    assert (site.kept, site.files) == ([1], 1)
    next(site.folder.iterdir()).unlink()
    site.restart()
    assert site.kept == []
    site.restart()
    assert site.kept == []


def test_a_rejected_checkpoint_is_given_to_nobody_else(site: Site) -> None:
    """The CS of the current attempt says why it began from zero; nobody else has anything thrown away."""
    site.offer()
    (_, kept), *_ = site.shell.queue.checkpoints.all()
    site.shell.perform(site.shell.queue.attempt_ended(LUS, FIRST, CS, "returned", "", 0.0))
    site.want()
    site.place(attempt(2))

    def reject(by: AttemptId, cs: str = CS) -> list[Any]:
        outcome: list[Any] = []
        said = m.CheckpointRejected(
            attempt=by, cs=cs, sha256=kept.ref.sha256, code="checkpoint-task", sentence="no"
        )
        Deferred.fromCoroutine(site.desk.rejected(LUS, said)).addBoth(outcome.append)
        return outcome

    for wrong in (reject(FIRST), reject(attempt(2), "f" * 32)):
        assert isinstance(wrong[0].value, RefusedError)
    assert site.kept == [1]
    assert reject(attempt(2)) == [None]
    assert (site.kept, site.files) == ([], 0)
    assert "it began from zero" in site.shell.queue.jobs[A].stories[0].detail
