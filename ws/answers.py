"""Answers: from an offer to a committed row, and from there into the user's ``ans/``.

Commit first, acknowledge, then deliver: what a crash leaves undelivered is delivered at the next start.
"""

from __future__ import annotations

import hashlib
import io
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import attrs
from cryptography import x509
from twisted.logger import Logger

from rjs.answers.answer_jar import open_answer
from rjs.attempts import AttemptId
from rjs.background import Tasks, Workers
from rjs.bundle.verify import Signer
from rjs.crash_points import crash_point
from rjs.disk import is_of_disk
from rjs.errors import OverloadedError, RefusedError
from rjs.files import sync_folder
from rjs.limits import BLOB_READS
from rjs.storage import Storage
from rjs.wire.blobs import read_blob_to_file
from rjs.wire.messages import AnswerOffer, AnswerVerdict, CheckpointOffer
from rjs.wire.session import Session
from ws import limits, store
from ws.homes import Homes
from ws.instructions import Answer
from ws.seals import Seals
from ws.shell import Shell
from ws.verdicts import Verdict

_log = Logger("ws.answers")


@attrs.define
class AnswerDesk:
    """Judges offered answers. ``answer_keys``: the enrolled answer key of each CS."""

    shell: Shell
    workers: Workers
    staging: Path
    root: x509.Certificate
    answer_keys: Callable[[], dict[str, str]]
    seals: Seals
    check_signer: Callable[[str, Signer | None], object] = attrs.field(
        default=lambda cs, signer: None, kw_only=True
    )
    """Refuses a CS that is revoked, and the answer key of a revoked certificate."""
    _pulls: set[tuple[str, str, AttemptId]] = attrs.field(factory=set, init=False)

    async def offered(self, session: Session, offer: AnswerOffer) -> AnswerVerdict:
        """The reply to an offer: final, or ``retry`` when nobody can say yet."""
        verdict = self.shell.queue.judge(offer.attempt, offer.cs, offer.sha256)
        if verdict is not None:
            await self.shell.perform([])  # what it rests on may still be on its way to the disk
        else:
            try:
                verdict = await self._commit(session, offer)
            except OverloadedError as error:
                verdict = Verdict("retry", error.code, error.sentence)
            except OSError as error:
                if not is_of_disk(error):
                    raise
                verdict = Verdict(
                    "retry", "disk", f"the web server's disk takes nothing now: {error.strerror}"
                )
            except RefusedError as error:
                verdict = Verdict("refused", error.code, error.sentence)
        if verdict.verdict == "refused":
            _log.warn("refused an answer of {cs}: {code}: {sentence}", cs=offer.cs, code=verdict.code,
                      sentence=verdict.sentence)  # fmt: skip
        return AnswerVerdict(
            verdict=verdict.verdict, code=verdict.code[:64], sentence=verdict.sentence[:1024]
        )

    async def _commit(self, session: Session, offer: AnswerOffer) -> Verdict:
        self.check_signer(offer.cs, None)
        if offer.size > limits.ANSWER:
            raise RefusedError("answer-too-large", f"an answer has at most {limits.ANSWER} bytes here")
        crash_point("ws.answer.received")
        staged: Path | None = None
        if not offer.data:
            staged = self.staging / f"{secrets.token_hex(16)}.jar"
            try:
                await self._pull(session, offer, staged)
                crash_point("ws.answer.staged")
            except RefusedError as error:
                if error.code == "blob-differs":
                    raise
                return Verdict("retry", error.code, error.sentence)  # its CS is out of reach for the moment
        try:
            await self.workers.run(partial(self._verify, offer, staged))
            if staged is not None:
                await self.workers.run(sync_folder, self.staging)
            cs_name = self.shell.queue.cs_name(offer.attempt)
            answer = Answer(
                offer.attempt,
                offer.cs,
                cs_name,
                offer.sha256,
                offer.size,
                offer.data,
                staged.name if staged else "",
            )
            crash_point("ws.answer.verified")
            self.check_signer(offer.cs, None)  # it may have been revoked meanwhile
            verdict, instructions = self.shell.queue.commit(answer, self.shell.now())
            if instructions:
                staged = None
            await self.shell.perform(instructions)
            crash_point("ws.answer.journalled")
        finally:
            if staged is not None:
                await self.workers.run(partial(staged.unlink, missing_ok=True))
        return verdict

    async def _pull(self, session: Session, offer: AnswerOffer, staged: Path) -> None:
        """Fetch the answer's bytes into ``staged``, if few enough others are being fetched."""
        pull = (session.peer.name.id, offer.cs, offer.attempt)
        if pull in self._pulls:
            raise RefusedError(
                "fetched-already", "this answer is being fetched already; offer it again later"
            )
        if (
            sum(lus == pull[0] for lus, _, _ in self._pulls) >= limits.PULLS
            or sum(cs == offer.cs for _, cs, _ in self._pulls) >= limits.PULLS_PER_CS
        ):
            raise RefusedError(
                "fetching-others", "other answers are being fetched; offer this one again later"
            )
        self._pulls.add(pull)
        key, window = blob_key(offer), max(1, BLOB_READS // limits.PULLS)
        try:
            await read_blob_to_file(
                session,
                "answer",
                key,
                offer.size,
                offer.sha256,
                staged,
                self.workers,
                self.shell.timers,
                window,
            )
        finally:
            self._pulls.discard(pull)

    def _verify(self, offer: AnswerOffer, staged: Path | None) -> None:
        """Digest, signature by the enrolled key of that CS, a receipt of this very attempt, and the seal."""
        if staged is None and (
            len(offer.data) != offer.size or hashlib.sha256(offer.data).hexdigest() != offer.sha256
        ):
            raise RefusedError("answer-digest", "the answer's bytes are not those that its offer states")
        source: BinaryIO = io.BytesIO(offer.data) if staged is None else staged.open("rb")
        with source:
            opened = open_answer(source, roots=[self.root], at=self.shell.wall())
            with opened.bundle:
                if self.answer_keys().get(offer.cs) != opened.signer.spki:
                    raise RefusedError(
                        "answer-key", "the answer key is not the one enrolled for this compute server"
                    )
                self.check_signer(offer.cs, opened.signer)
                receipt = opened.receipt
                stated = (receipt.bundle_id, receipt.task, receipt.fence, receipt.cs)
                if stated != (offer.attempt.job, offer.attempt.task, offer.attempt.fence, offer.cs):
                    raise RefusedError("answer-receipt", "the receipt speaks of another attempt")
                self.seals.check(self.shell.queue.jobs[receipt.bundle_id].job, opened)


def blob_key(offer: AnswerOffer | CheckpointOffer) -> str:
    """How ``blob.read`` names what is offered: by its job, task, fence and CS."""
    fence = offer.attempt.fence
    parts = (offer.attempt.job, offer.attempt.task, fence.generation, fence.lease, fence.sequence, offer.cs)
    return ".".join(map(str, parts))


@attrs.define
class Delivery:
    """Puts committed answers into ``ans/``, in the order of commits, many at a time."""

    storage: Storage
    homes: Homes
    workers: Workers
    tasks: Tasks
    staging: Path
    _running: bool = False
    _again: bool = False
    _broken: set[str] = attrs.field(factory=set)
    faults: dict[str, str] = attrs.field(factory=dict, init=False)
    """Why answers could not be delivered to these accounts the last time."""

    def retry(self) -> None:
        """Try the homes again that could not be written to."""
        self._broken.clear()
        self.wake()

    def wake(self) -> None:
        """There is something to deliver."""
        if self._running:
            self._again = True
            return
        self._running = True
        self.tasks.spawn("delivery of answers", self._run())

    async def _run(self) -> None:
        try:
            while await self._round() or self._again:
                self._again = False
        finally:
            self._running = False

    async def _round(self) -> bool:
        wanted = partial(store.undelivered, limit=limits.DELIVERIES, leave_out=frozenset(self._broken))
        batch = await self.storage.read(wanted)
        done = await self.workers.run(partial(self._deliver, batch))
        if done:
            crash_point("ws.answer.delivered")
        await self.storage.write(partial(store.delivered, answers=done))
        staged = [self.staging / each.staged for each in done if each.staged]
        await self.workers.run(partial(_unlink, staged))
        return bool(batch)

    def _deliver(self, batch: list[store.Undelivered]) -> list[store.Undelivered]:
        done = []
        for each in batch:
            crash_point("ws.answer.undelivered")
            data = each.data if each.data is not None else self.staging / each.staged
            try:
                if not self.homes.deliver(each.account, each.job, each.task, data):
                    _log.info("ans/{job}/{task}.jar of {account} is there already", job=each.job[:16],
                              task=each.task, account=each.account)  # fmt: skip
            except OSError as error:
                _log.error("cannot deliver task {task} of {job}: {error}; tried again later", task=each.task,
                           job=each.job[:16], error=error)  # fmt: skip
                self._broken.add(each.account)
                self.faults[each.account] = error.strerror or str(error)
            else:
                self.faults.pop(each.account, None)
                done.append(each)
        return done

    def sweep_staging(self, referenced: frozenset[str]) -> None:
        """At start: remove staged files that no committed answer names."""
        for path in self.staging.iterdir():
            if path.name not in referenced:
                path.unlink()


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
