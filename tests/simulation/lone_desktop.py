"""A compute server's preparation of one job, with a LUS and an owner that tests move. For tests of attacks."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from cs import ledger
from cs.attempt import Owner, Preparation
from cs.bundles import Bundles
from cs.trust import Grant, TrustStore
from cs.wheels import Wheels
from cs.workplace import Workplace
from rjs.attempts import AttemptId, Fence
from rjs.background import ImmediateWorkers
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.ids import ClusterId
from rjs.limits import GIB
from rjs.needs import Needs, Offer, Platform
from rjs.storage import ImmediateStorage, open_database
from rjs.wire.messages import BlobData, BlobRead, JobBrief
from rjs.wire.session import Session

SIGNER = make_signer()
OFFER = Offer(memory=GIB, cores=1, disk=GIB, platform=Platform("linux", "x86_64"), python="3.11.7")
DESCRIPTOR = b'name = "test"\nruntime = "python"\nentry = "main.py"\n'


def bundle(descriptor: bytes) -> tuple[JobBrief, bytes]:
    now = datetime.now(UTC)
    dates = job_attributes("test", bytes(16), now - timedelta(days=1), now + timedelta(days=1))
    content = signed_jar(SIGNER, {"main.py": b"pass\n", "job.toml": descriptor}, dates)
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

    def __init__(self, folder: Path, descriptor: bytes = DESCRIPTOR) -> None:
        self.brief, content = bundle(descriptor)
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
        (folder / "work").mkdir()
        self.place = Workplace(folder / "work", self.attempt)
        self.outcome: list[Any] = []

    def begin(self, brief: JobBrief | None = None) -> None:
        preparing = self.preparation.prepare(
            self.attempt, brief or self.brief, cast(Session, self.lus), self.place
        )
        Deferred.fromCoroutine(preparing).addBoth(self.outcome.append)

    def close(self) -> None:
        """Let go of files."""
        self.bundles.close()
        self.storage.close()

    def refusal(self) -> str:
        assert isinstance(self.outcome[0], Failure)
        error = self.outcome[0].value
        assert isinstance(error, RefusedError), error
        return error.code
