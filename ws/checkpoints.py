"""Checkpoints at the web server: from an offer to a durable file and its row, and out again for the next attempt.

The file is durable first, then its row, then the reply; what a crash leaves in between is removed at the next start.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
from cryptography import x509
from twisted.logger import Logger

from rjs.background import Workers
from rjs.bundle.verify import Signer
from rjs.checkpoints.checkpoint_jar import open_checkpoint
from rjs.crash_points import crash_point
from rjs.disk import is_of_disk
from rjs.errors import OverloadedError, RefusedError
from rjs.files import sync_folder, write_atomically
from rjs.ids import BundleId
from rjs.limits import BLOB_READS
from rjs.wire.blobs import chunk_of, read_blob_to_file
from rjs.wire.messages import (
    BlobData,
    BlobRead,
    CheckpointOffer,
    CheckpointRef,
    CheckpointRejected,
    CheckpointVerdict,
)
from rjs.wire.session import Session
from ws import limits
from ws.answers import blob_key
from ws.instructions import AttemptLogged, CheckpointKept, Instruction, JobChanged
from ws.job import Kept
from ws.job_tokens import check_current
from ws.shell import Shell
from ws.verdicts import Verdict

_log = Logger("ws.checkpoints")


@attrs.define(eq=False)
class CheckpointDesk:
    """Judges offered checkpoints and hands them out. ``answer_keys``: the enrolled answer key of each CS, with which
    checkpoints are signed too. ``check_signer`` refuses a CS or a key that is revoked."""

    shell: Shell
    workers: Workers
    folder: Path
    root: x509.Certificate
    answer_keys: Callable[[], dict[str, str]]
    check_signer: Callable[[str, Signer | None], object]
    _pulls: dict[str, str] = attrs.field(factory=dict, init=False)
    """The LUS through which a checkpoint is being fetched, by CS."""

    async def recover(self) -> None:
        """At start: forget what has no file any more, and remove the files of what was not kept."""
        book, names = self.shell.queue.checkpoints, set[str]()
        for job, kept in book.all():
            if await self.workers.run(_has_size, self.folder / kept.file, kept.ref.size):
                names.add(kept.file)
                continue
            _log.warn("the checkpoint of task {task} of {job} is gone: its next attempt begins from zero",
                      task=kept.ref.task, job=job[:16])  # fmt: skip
            await self.shell.perform(book.lose(job, kept.ref.task))
        for path in self.folder.iterdir():
            if path.name not in names:
                path.unlink()

    def drop(self, name: str) -> None:
        """The checkpoint in this file is kept no more."""
        (self.folder / name).unlink(missing_ok=True)

    async def offered(self, session: Session, offer: CheckpointOffer) -> CheckpointVerdict:
        """The reply to an offer: final, or ``retry`` when nobody can say yet."""
        try:
            verdict = await self._judged(session, offer)
        except OverloadedError as error:
            verdict = Verdict("retry", error.code, error.sentence)
        except OSError as error:
            if not is_of_disk(error):
                raise
            sentence = f"the web server's disk takes nothing now: {error.strerror}"
            verdict = Verdict("retry", "disk", sentence)
        except RefusedError as error:
            verdict = Verdict("refused", error.code, error.sentence)
        if verdict.verdict == "refused":
            _log.info("refused a checkpoint of {cs}: {code}: {sentence}", cs=offer.cs, code=verdict.code,
                      sentence=verdict.sentence)  # fmt: skip
        return CheckpointVerdict(
            verdict=verdict.verdict, code=verdict.code[:64], sentence=verdict.sentence[:1024]
        )

    async def _judged(self, session: Session, offer: CheckpointOffer) -> Verdict:
        ref = CheckpointRef(offer.attempt.task, offer.attempt.fence, offer.sequence, offer.size, offer.sha256)
        self.check_signer(offer.cs, None)
        book = self.shell.queue.checkpoints
        verdict = book.judge(offer.attempt, offer.cs, ref)
        if verdict is not None:
            await self.shell.perform([])  # what it rests on may still be on its way to the disk
            return verdict
        name = f"{secrets.token_hex(16)}.jar"
        path = self.folder / name
        keeps = False
        try:
            unfetched = await self._fetch(session, offer, path)
            if unfetched is not None:
                return unfetched
            await self.workers.run(partial(self._verify, offer, path))
            await self.workers.run(sync_folder, self.folder)
            crash_point("ws.checkpoint.staged")
            self.check_signer(offer.cs, None)  # it may have been revoked meanwhile
            verdict = book.judge(offer.attempt, offer.cs, ref)
            if verdict is not None:
                return verdict
            keeps = True
            await self.shell.perform(book.keep(CheckpointKept(BundleId(offer.attempt.job), Kept(ref, name))))
            crash_point("ws.checkpoint.journalled")
        finally:
            if not keeps:
                await self.workers.run(partial(path.unlink, missing_ok=True))
        return Verdict("kept")

    async def _fetch(self, session: Session, offer: CheckpointOffer, path: Path) -> Verdict | None:
        """Have the bytes in ``path``, durably; or why that cannot be now."""
        if offer.data:
            await self.workers.run(write_atomically, path, offer.data)
            return None
        lus = session.peer.name.id
        if offer.cs in self._pulls or list(self._pulls.values()).count(lus) >= limits.CHECKPOINT_PULLS:
            return Verdict("retry", "fetching-others", "others are being fetched; offer this one again later")
        self._pulls[offer.cs] = lus
        window = max(1, BLOB_READS // limits.CHECKPOINT_PULLS)
        try:
            await read_blob_to_file(
                session, "checkpoint", blob_key(offer), offer.size, offer.sha256, path, self.workers,
                self.shell.timers, window,
            )  # fmt: skip
        except RefusedError as error:  # its CS is out of reach for the moment, or has a newer one by now
            return Verdict("retry", error.code, error.sentence)
        finally:
            del self._pulls[offer.cs]
        return None

    def _verify(self, offer: CheckpointOffer, path: Path) -> None:
        """Digest, signature by the enrolled key of that CS, and a statement of this very checkpoint."""
        with path.open("rb") as file:
            if offer.data and (
                len(offer.data) != offer.size
                or hashlib.file_digest(file, "sha256").hexdigest() != offer.sha256
            ):
                raise RefusedError("checkpoint-digest", "its bytes are not those that its offer states")
            opened = open_checkpoint(file, roots=[self.root], at=self.shell.wall())
            if self.answer_keys().get(offer.cs) != opened.signer.spki:
                raise RefusedError("answer-key", "its key is not the one enrolled for this compute server")
            self.check_signer(offer.cs, opened.signer)
            stated = opened.statement
            if (stated.attempt, stated.sequence, stated.cs) != (offer.attempt, offer.sequence, offer.cs):
                raise RefusedError("checkpoint-statement", "its statement speaks of another checkpoint")
            for _, chunks in opened.files():
                for _ in chunks:
                    pass

    async def read(self, lus: str, read: BlobRead) -> BlobData:
        """Bytes of a checkpoint for the LUS that holds its task's lease. Raises RefusedError."""
        job, _, rest = read.key.partition(".")
        task, _, digest = rest.partition(".")
        lease = self.shell.queue.lease_of(BundleId(job), int(task)) if _is_number(task) else None
        kept = self.shell.queue.checkpoints.kept(job, int(task)) if lease is not None else None
        if lease is None or lease.lus != lus or kept is None or kept.ref.sha256 != digest:
            raise RefusedError("no-blob", f"{read.kind} {read.key[:16]} is not here")
        return await self.workers.run(chunk_of, self.folder / kept.file, read)

    async def rejected(self, lus: str, message: CheckpointRejected) -> None:
        """The CS of a current attempt could not use what was kept: the next attempt is not to be given it again, and
        the task's story says why. Raises RefusedError."""
        queue, attempt = self.shell.queue, message.attempt
        check_current(queue, lus, attempt, message.cs)
        kept = queue.checkpoints.kept(attempt.job, attempt.task)
        if kept is None or kept.ref.sha256 != message.sha256:
            return
        job, cs_name = BundleId(attempt.job), queue.cs_name(attempt)
        detail = f"its checkpoint was refused ({message.code}: {message.sentence}); it began from zero"
        _log.warn(
            "task {task} of {job} on {cs}: {detail}",
            task=attempt.task,
            job=job[:16],
            cs=cs_name,
            detail=detail,
        )
        queue.jobs[job].note(attempt.task, "", message.cs, cs_name, detail)
        told: list[Instruction] = [AttemptLogged(job, attempt.task, "", message.cs, cs_name, detail)]
        await self.shell.perform([*told, *queue.checkpoints.lose(job, attempt.task), JobChanged(job)])


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.lstat().st_size == size
    except FileNotFoundError:
        return False


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
