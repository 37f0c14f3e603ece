"""Checkpoints at the compute server: taken, signed and offered; fetched, verified and given to the next attempt.

Of a job with sealed answers a checkpoint stays here, for attempts here: the WS never sees it. Whatever is given to a
task was verified in full at that moment, also what this machine signed itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import attrs
from twisted.logger import Logger

from cs import checkpoint_ledger, limits
from cs.attempt import Owner
from cs.checkpoint_files import fill, gather
from cs.checkpoint_store import CheckpointName, CheckpointStore
from cs.instructions import AwaitCheckpoint, ForgetCheckpoint, Instruction, OfferCheckpoint
from cs.prepared import Prepared
from cs.task_machine import TaskMachine
from cs.workplace import remove_tree
from rjs.attempts import AttemptId
from rjs.background import Tasks, Timers, Workers, sleep
from rjs.bundle.verify import Signer
from rjs.checkpoints.checkpoint_jar import OpenedCheckpoint, Statement, open_checkpoint, write_checkpoint
from rjs.checkpoints.limits import JAR
from rjs.crash_points import crash_point
from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.storage import Storage
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.blobs import chunk_of, read_blob_to_file
from rjs.wire.session import Session, SessionLostError

_log = Logger("cs.checkpoints")

_PASSING = frozenset({"ws-away", "blob-stalled"})
"""Why a checkpoint cannot be fetched now, but could be later: the attempt waits for that, it does not begin anew."""


@attrs.define(eq=False)
class CheckpointDesk:
    """``outgoing`` are those to be offered, ``own`` those that may not leave; ``staging`` is a folder of ours for
    what is being made or fetched. ``check_signer`` refuses a CS or an answer key that is revoked; ``machine`` hears,
    through ``perform``, what becomes of checkpoints; ``session`` is that with the LUS."""

    owner: Owner
    outgoing: CheckpointStore
    own: CheckpointStore
    staging: Path
    workers: Workers
    storage: Storage
    timers: Timers
    tasks: Tasks
    machine: TaskMachine
    perform: Callable[[Iterable[Instruction]], object]
    session: Callable[[], Session | None]
    check_signer: Callable[[str, Signer | None], object]
    wall: Wall = utc_now
    _newest: CheckpointName | None = None

    def recover(self) -> None:
        """At start: those that were not offered, or of whose verdict nobody heard, wait for a LUS."""
        left = self.outgoing.recover(self.wall().timestamp())
        self.perform(self.machine.recovered({each.attempt: each.sequence for each in left}))

    # --- from a task --------------------------------------------------------------------------------

    async def take(self, prepared: Prepared) -> int:
        """Take what is in the folder now: signed and durable on return. Its sequence.

        Raises RefusedError where that cannot be a checkpoint, and OSError.
        """
        name = self._next(prepared.attempt)
        await self.workers.run(self._make, prepared, name)
        crash_point("cs.checkpoint.spooled")
        if not _stays(prepared):
            self.perform(self.machine.checkpointed(name.attempt, name.sequence))
        return name.sequence

    async def save(self, prepared: Prepared) -> int | None:
        """The same of a task that had to leave, if there is anything in the folder: the sequence of what is to be
        offered. What cannot be taken is lost, and said in the log."""
        name = self._next(prepared.attempt)
        try:
            await self.workers.run(self._make, prepared, name)
        except RefusedError as error:
            if error.code != "checkpoint-empty":
                _log.warn("no checkpoint of {name}: {error}", name=_shown(name.attempt), error=error)
            return None
        except OSError as error:
            _log.error("no checkpoint of {name}: {error}", name=_shown(name.attempt), error=error)
            return None
        _log.info("took a checkpoint of {name}", name=_shown(name.attempt))
        return None if _stays(prepared) else name.sequence

    def _next(self, attempt: AttemptId) -> CheckpointName:
        before = self._newest
        sequence = before.sequence + 1 if before is not None and before.attempt == attempt else 1
        self._newest = CheckpointName(attempt, sequence)
        return self._newest

    def _make(self, prepared: Prepared, name: CheckpointName) -> None:
        staging = self.staging / "files"
        try:
            files = gather(prepared.workplace, staging)
            if not files:
                raise RefusedError("checkpoint-empty", "there is nothing in the checkpoint folder")
            store = self.own if _stays(prepared) else self.outgoing
            store.keep(name, partial(self._write, name, files), self.wall().timestamp())
        finally:
            remove_tree(staging)

    def _write(self, name: CheckpointName, files: list[tuple[str, Path]], out: BinaryIO) -> None:
        attempt, key = name.attempt, self.owner.answer
        statement = Statement(
            bundle_id=BundleId(attempt.job), task=attempt.task, fence=attempt.fence, sequence=name.sequence,
            cs=self.owner.id,
        )  # fmt: skip
        write_checkpoint(out, statement=statement, files=files, key=key.key, chain=key.chain)

    def answered(self, attempt: AttemptId) -> None:
        """The attempt has its answer: nobody continues from what stays here of its task."""
        self.own.forget_task(attempt.job, attempt.task)

    # --- to the WS ----------------------------------------------------------------------------------

    async def chunk(self, attempt: AttemptId, read: m.BlobRead) -> m.BlobData:
        """Bytes of the checkpoint of this attempt that is offered. Raises RefusedError."""
        sequence = self.machine.checkpoints.get(attempt)
        if sequence is None:
            raise RefusedError("no-blob", f"no checkpoint of {_shown(attempt)} is offered here")
        return await self.workers.run(chunk_of, self.outgoing.path(CheckpointName(attempt, sequence)), read)

    def do(self, instruction: OfferCheckpoint | ForgetCheckpoint | AwaitCheckpoint) -> None:
        """Carry it out."""
        match instruction:
            case OfferCheckpoint(attempt, sequence, later):
                name = CheckpointName(attempt, sequence)
                self.tasks.spawn("offer of a checkpoint", self._offer(name, later=later))
            case ForgetCheckpoint(attempt, sequence):
                self.outgoing.forget(CheckpointName(attempt, sequence))
            case AwaitCheckpoint(attempt):
                self.tasks.spawn("patience with a checkpoint", self._overdue(attempt))

    async def _overdue(self, attempt: AttemptId) -> None:
        await sleep(self.timers, limits.CHECKPOINT_PATIENCE)
        self.perform(self.machine.checkpoint_overdue(attempt))

    async def _offer(self, name: CheckpointName, *, later: bool) -> None:
        if later:
            await sleep(self.timers, limits.OFFER_AGAIN)
        session = self.session()
        if session is None or self.machine.checkpoints.get(name.attempt) != name.sequence:
            return  # offered when a LUS is there again, or there is a newer one
        try:
            spooled = await self.workers.run(self.outgoing.load, name)
            offer = m.CheckpointOffer(
                attempt=name.attempt, cs=self.owner.id, sequence=name.sequence, size=spooled.size,
                sha256=spooled.sha256, data=spooled.data,
            )  # fmt: skip
            verdict = await session.request(offer, m.CheckpointVerdict)
            final = verdict.verdict != "retry"
            if verdict.verdict == "kept":
                await self.storage.write(partial(checkpoint_ledger.note, name=name))
            elif final:
                _log.info("the checkpoint of {name} was not kept: {code}: {sentence}", name=_shown(name.attempt),
                          code=verdict.code, sentence=verdict.sentence)  # fmt: skip
        except SessionLostError:
            return
        except RefusedError as error:
            _log.info("a checkpoint was not taken: {error}", error=error)
            final = error.code == "unsupported"  # an older LUS or WS: tasks begin from zero there
        except OSError as error:
            _log.error("a checkpoint is lost: {error}", error=error)
            final = True
        self.perform(self.machine.checkpoint_settled(name.attempt, name.sequence, final=final))

    # --- to the next attempt ------------------------------------------------------------------------

    async def give(self, prepared: Prepared, ref: m.CheckpointRef | None, session: Session) -> None:
        """Fill the folder of an attempt that is about to start with what an earlier one reached, if that is known
        here or to the WS. What does not hold is refused, told, and the task begins from zero.

        Raises RefusedError while the WS cannot be reached, SessionLostError, and OSError.
        """
        local = self._local(prepared)
        if local is not None and (ref is None or local[1].order > (ref.fence, ref.sequence)):
            store, name = local
            try:
                await self.workers.run(self._continue, prepared, store.path(name), name)
                return
            except (RefusedError, FileNotFoundError) as error:
                _log.warn("a checkpoint of {name} that is kept here does not hold: {error}",
                          name=_shown(prepared.attempt), error=error)  # fmt: skip
                store.forget(name)
        if ref is None or _stays(prepared):
            return
        try:
            await self._give_fetched(prepared, ref, session)
        except RefusedError as error:
            if error.code in _PASSING:
                raise
            _log.warn("the checkpoint for {name} is refused, and the task begins from zero: {error}",
                      name=_shown(prepared.attempt), error=error)  # fmt: skip
            if error.code != "no-blob":
                self.tasks.spawn("rejection of a checkpoint", self._reject(prepared, ref, error, session))

    def _local(self, prepared: Prepared) -> tuple[CheckpointStore, CheckpointName] | None:
        """The newest that is here: of a job with sealed answers, or one that did not get to the WS."""
        attempt = prepared.attempt
        store = self.own if _stays(prepared) else self.outgoing
        name = store.newest(attempt.job, attempt.task)
        return None if name is None else (store, name)

    async def _give_fetched(self, prepared: Prepared, ref: m.CheckpointRef, session: Session) -> None:
        attempt = prepared.attempt
        if ref.size > JAR:
            raise RefusedError(
                "checkpoint-size", f"a checkpoint has at most {JAR} bytes, this one {ref.size}"
            )
        name = CheckpointName(AttemptId(attempt.job, attempt.task, ref.fence), ref.sequence)
        path = self.staging / "fetched.jar"
        key = f"{attempt.job}.{attempt.task}.{ref.sha256}"
        try:
            await read_blob_to_file(
                session, "checkpoint", key, ref.size, ref.sha256, path, timers=self.timers
            )
            await self.workers.run(self._judged, path, name, attempt)
            await self.storage.write(partial(checkpoint_ledger.note, name=name))
            await self.workers.run(self._continue, prepared, path, name)
        finally:
            await self.workers.run(partial(path.unlink, missing_ok=True))

    def _judged(self, path: Path, name: CheckpointName, attempt: AttemptId) -> None:
        with path.open("rb") as file:
            self._verified(file, name, attempt)

    def _continue(self, prepared: Prepared, path: Path, name: CheckpointName) -> None:
        with path.open("rb") as file:
            fill(prepared.workplace, self._verified(file, name, prepared.attempt))
        _log.info("{name} continues from checkpoint {sequence} of {fence}", name=_shown(prepared.attempt),
                  sequence=name.sequence, fence=name.attempt.fence)  # fmt: skip

    def _verified(self, file: BinaryIO, name: CheckpointName, attempt: AttemptId) -> OpenedCheckpoint:
        """1. It is a checkpoint, signed with the answer key of a CS of this organisation. 2. Neither is revoked.
        3. It is of this bundle and this task. 4. It is the one that was spoken of. 5. Its attempt was an earlier one.
        """
        opened = open_checkpoint(file, roots=[self.owner.answer.root], at=self.wall())  # 1
        stated = opened.statement
        self.check_signer(stated.cs, opened.signer)  # 2
        if (stated.bundle_id, stated.task) != (attempt.job, attempt.task):  # 3
            raise RefusedError(
                "checkpoint-task",
                f"it is of task {stated.task} of job {stated.bundle_id[:16]}, not of this one",
            )
        if (stated.fence, stated.sequence) != name.order:  # 4
            raise RefusedError("checkpoint-other", "it is another checkpoint of the task than was spoken of")
        if stated.fence >= attempt.fence:  # 5
            raise RefusedError("checkpoint-later", "it is of no earlier attempt than this one")
        return opened

    async def _reject(
        self, prepared: Prepared, ref: m.CheckpointRef, why: RefusedError, session: Session
    ) -> None:
        message = m.CheckpointRejected(
            attempt=prepared.attempt, cs=self.owner.id, sha256=ref.sha256, code=why.code[:64],
            sentence=why.sentence[:1024],
        )  # fmt: skip
        try:
            await session.request(message, m.Done)
        except (RefusedError, SessionLostError) as error:  # whoever gets it next refuses it too
            _log.info("that a checkpoint was refused could not be told: {error}", error=error)


def _stays(prepared: Prepared) -> bool:
    """Whether its job's answers are sealed: then what it reached is not for the WS either."""
    return bool(prepared.descriptor.answer.recipients)


def _shown(attempt: AttemptId) -> str:
    return f"task {attempt.task} of {attempt.job[:16]}"
