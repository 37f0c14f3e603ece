"""A broken-into LUS that has a task started while the owner trusts its signer, and withholds the bundle."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cs import ledger
from cs.attempt import Owner, Preparation
from cs.bundles import Bundles
from cs.trust import Grant, TrustStore
from cs.wheels import Wheels
from cs.workplace import Workplace
from rjs.background import ImmediateWorkers
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.descriptor.model import Permissions
from rjs.errors import RefusedError
from rjs.ids import ClusterId
from rjs.limits import GIB, MAX_ARCHIVE_BYTES
from rjs.needs import Needs, Offer
from rjs.storage import ImmediateStorage, open_database
from rjs.wire.messages import AttemptId, BlobData, BlobRead, Fence, JobBrief
from rjs.wire.session import Session

SIGNER = make_signer()
OFFER = Offer(memory=GIB, cores=1, disk=GIB, python="3.11.7")
DESCRIPTOR = b'name = "test"\nruntime = "python"\nentry = "main.py"\n'


def bundle() -> tuple[JobBrief, bytes]:
    now = datetime.now(UTC)
    dates = job_attributes("test", bytes(16), now - timedelta(days=1), now + timedelta(days=1))
    content = signed_jar(SIGNER, {"main.py": b"pass\n", "job.toml": DESCRIPTOR}, dates)
    with open_bundle(io.BytesIO(content), at=now) as opened:
        job, signer = opened.bundle_id, opened.signer.spki
    sha256 = hashlib.sha256(content).hexdigest()
    return JobBrief(
        job=job,
        name="test",
        signer=signer,
        tasks=1,
        size=len(content),
        sha256=sha256,
        needs=Needs(),
    ), content


class Withholder:
    """The LUS's session: sends the bundle when it likes."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[BlobRead, Deferred[BlobData]]] = []

    async def request(self, read: BlobRead, kind: object) -> BlobData:
        self.asked.append((read, Deferred()))
        return await self.asked[-1][1]

    def serve(self) -> None:
        while self.asked:
            read, waiting = self.asked.pop(0)
            waiting.callback(BlobData(data=self.content[read.offset : read.offset + read.length]))


class Desktop:
    """A compute server's preparation, with an owner who changes their mind."""

    def __init__(self, folder: Path) -> None:
        self.brief, content = bundle()
        self.lus = Withholder(content)
        self.trusted = TrustStore((Grant(self.brief.signer, "ada", "signer", datetime.now(UTC)),))  # type: ignore[arg-type]  # a digest
        self.bundles = Bundles(folder, ImmediateWorkers(), Clock(), OFFER.platform)
        connection = open_database(
            folder / "private" / "ledger.sqlite", ledger.MIGRATIONS, application_id=ledger.APPLICATION_ID
        )
        self.storage = ImmediateStorage(connection)
        owner = cast(Owner, SimpleNamespace(cluster=ClusterId("0" * 16)))
        self.preparation = Preparation(
            owner,
            self.bundles,
            self.storage,
            ImmediateWorkers(),
            lambda: self.trusted,
            lambda: OFFER,
            Wheels(folder / "private" / "wheels"),
        )
        self.attempt = AttemptId(self.brief.job, 0, Fence(1, 1, 1))
        self.place = Workplace(folder, self.attempt)
        self.outcome: list[Any] = []

    def begin(self, brief: JobBrief | None = None) -> None:
        preparing = self.preparation.prepare(
            self.attempt, brief or self.brief, cast(Session, self.lus), self.place
        )
        Deferred.fromCoroutine(preparing).addBoth(self.outcome.append)

    def refusal(self) -> str:
        assert isinstance(self.outcome[0], Failure)
        error = self.outcome[0].value
        assert isinstance(error, RefusedError), error
        return error.code


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Desktop]:
    found = Desktop(tmp_path)
    yield found
    found.bundles.close()
    found.storage.close()


def test_an_honest_lus_has_its_task_prepared(desktop: Desktop) -> None:
    """The control: with trust unchanged the bundle is unpacked."""
    desktop.begin()
    desktop.lus.serve()
    assert not isinstance(desktop.outcome[0], Failure), desktop.outcome
    assert desktop.place.job.exists()


def test_trust_withdrawn_while_the_bundle_is_withheld(desktop: Desktop) -> None:
    """What counts is the owner's trust when the bundle is there, not when the LUS asked; nothing is unpacked."""
    desktop.begin()
    desktop.trusted = TrustStore()
    desktop.lus.serve()
    assert desktop.refusal() == "not-trusted"
    assert not desktop.place.path.exists()


def test_trust_withdrawn_after_unpacking(desktop: Desktop) -> None:
    """The last look before the process starts sees it too."""
    desktop.begin()
    desktop.lus.serve()
    desktop.trusted = TrustStore()
    with pytest.raises(RefusedError, match="not-trusted"):
        desktop.preparation.check_may_run(desktop.outcome[0].bundle, Permissions())


def test_a_brief_that_lies_about_the_size(desktop: Desktop) -> None:
    """A size beyond what any bundle may have is refused before a byte is asked for."""
    desktop.begin(msgspec.structs.replace(desktop.brief, size=MAX_ARCHIVE_BYTES + 1))
    assert desktop.refusal() == "too-large"
    assert not desktop.lus.asked


def test_a_stopped_task_fetches_no_further(desktop: Desktop, tmp_path: Path) -> None:
    """When the attempt is not wanted any more its fetch ends, and leaves no part of a file."""
    desktop.begin()
    desktop.bundles.stop_fetching()
    assert isinstance(desktop.outcome[0], Failure)
    assert desktop.outcome[0].check(CancelledError)
    assert not list(tmp_path.glob(".*.part"))


def test_what_a_killed_server_had_fetched_is_swept(desktop: Desktop, tmp_path: Path) -> None:
    """A part of a bundle does not outlive the next start."""
    (tmp_path / f".{desktop.brief.job}.jar.part").write_bytes(b"x")
    desktop.bundles.sweep()
    assert not list(tmp_path.glob(".*.part"))
