"""The steps of one attempt, each a plain function or coroutine of its own: prepare, run, collect.

The task machine decides the order; nothing here decides anything but whether its own step may go on.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import attrs

from cs import ledger
from cs.bundles import Bundles
from cs.java import Java
from cs.prepared import Prepared
from cs.runtimes import command_of
from cs.spawner.messages import Ended, Limits, Run
from cs.trust import NotTrusted, TrustStore
from cs.workplace import Workplace
from rjs.background import Workers
from rjs.bundle.answer import SEALED_NAME, Exited, Receipt, Signalled, write_answer
from rjs.bundle.policy import check_job_conditions, job_not_after
from rjs.bundle.seal_answer import recipients_of, seal_outputs
from rjs.bundle.verify import OpenedBundle
from rjs.descriptor import read_descriptor, task_arguments
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.ids import BundleId, ClusterId, ServerId
from rjs.needs import Offer, lack
from rjs.storage import Storage
from rjs.wire.messages import AttemptId, JobBrief
from rjs.wire.session import Session


@attrs.frozen
class Owner:
    """This compute server as its receipts and refusals name it."""

    id: ServerId
    name: str
    cluster: ClusterId
    mflops: float
    answer: Identity = attrs.field(repr=False)


@attrs.frozen
class Preparation:
    """Everything between a start and its process. Nothing is unpacked before all the checks."""

    owner: Owner
    bundles: Bundles
    storage: Storage
    workers: Workers
    trust: Callable[[], TrustStore]
    offer: Callable[[], Offer]
    java: Java | None = None
    """This machine's; the offer states its version."""

    async def prepare(
        self, attempt: AttemptId, job: JobBrief, session: Session, workplace: Workplace
    ) -> Prepared:
        """1. The bundle is there and our verifier accepts it. 2. It may be a job here and now, and the owner
        trusts its signer. 3. Its descriptor can be carried out here. 4. It was not begun here before. 5. It
        is unpacked. Raises RefusedError, or OSError when this machine cannot hold it.

        A LUS decides how long step 1 takes, so nothing is judged before it, and ``check_may_run`` judges again
        right before the process starts.
        """
        bundle = await self.bundles.opened(job, session)  # 1
        self.check_may_run(bundle)  # 2
        prepared = self._prepared(bundle, attempt, workplace)  # 3
        command_of(prepared)
        until = job_not_after(bundle).timestamp()
        await self.storage.write(partial(ledger.record, attempt=attempt, not_after=until))  # 4
        try:
            await self.workers.run(partial(_unpack, prepared))  # 5
        except RefusedError:
            self.bundles.drop(job.job)
            raise
        return prepared

    def check_may_run(self, bundle: OpenedBundle) -> None:
        """May this bundle run here at this moment: its dates, its cluster, the owner's trust. Raises RefusedError."""
        now = dt.datetime.now(dt.UTC)
        check_job_conditions(bundle, at=now, cluster=self.owner.cluster)
        decision = self.trust().allows(bundle.signer, now)
        if isinstance(decision, NotTrusted):
            raise RefusedError("not-trusted", decision.sentence)

    def _prepared(self, bundle: OpenedBundle, attempt: AttemptId, workplace: Workplace) -> Prepared:
        offer = self.offer()
        descriptor = read_descriptor(bundle).on(offer.platform)
        if attempt.task >= descriptor.tasks:
            raise RefusedError(
                "no-such-task", f"the job has {descriptor.tasks} tasks, not task {attempt.task}"
            )
        lacking = lack(descriptor.needs, offer)
        if lacking is not None:
            raise RefusedError(lacking.code, lacking.sentence)
        return Prepared(
            attempt=attempt,
            workplace=workplace,
            bundle=bundle,
            descriptor=descriptor,
            memory=descriptor.needs.memory,
            arguments=tuple(task_arguments(bundle, descriptor, attempt.task)),
            java=self.java,
        )


def _unpack(prepared: Prepared) -> None:
    place = prepared.workplace
    place.create()
    prepared.bundle.unpack(place.job)
    place.add_answer_folders(java=prepared.descriptor.runtime == "java")


def request_of(prepared: Prepared) -> Run:
    """What the spawner is to do: the job's program in its folder, a complete environment, the limits."""
    place, command = prepared.workplace, command_of(prepared)
    limits = Limits(memory=prepared.memory, wall_time=float(prepared.descriptor.needs.wall_time))
    return Run(
        command.argv, str(place.job), dict(command.environment), str(place.stdout), str(place.stderr), limits
    )


def failure_of(ended: Ended) -> str:
    """What went wrong, in words; empty when the task did what it should."""
    if ended.limit is not None:
        hit = ended.limit
        return f"limit {hit.name} hit: used {_amount(hit.name, hit.measured)} of {_amount(hit.name, hit.allowed)}"
    if ended.signal is not None:
        return f"ended by signal {ended.signal}"
    return f"exit status {ended.exit_status}" if ended.exit_status else ""


def _amount(limit: str, value: float) -> str:
    if limit in ("memory", "file_size", "output"):
        return f"{value / 2**20:.1f} MiB"
    return f"{value:.1f} s" if limit == "wall_time" else f"{value:.0f}"


def sign_answer(prepared: Prepared, ended: Ended, started: dt.datetime, owner: Owner, out: BinaryIO) -> None:
    """Write the answer of an attempt that ended well, its outputs sealed if the job's signed descriptor says so.

    Raises RefusedError for outputs that cannot travel, and OSError.
    """
    receipt = Receipt(
        bundle_id=BundleId(prepared.attempt.job),
        task=prepared.attempt.task,
        fence=prepared.attempt.fence,
        signer=prepared.bundle.signer.spki,
        cs=owner.id,
        cs_name=owner.name,
        mflops=owner.mflops,
        limits={"memory": prepared.memory, "wall_time": prepared.descriptor.needs.wall_time},
        limit_hit=None,
        exit=Exited(ended.exit_status or 0) if ended.signal is None else Signalled(ended.signal),
        started=started,
        ended=dt.datetime.now(dt.UTC),
        wall_seconds=ended.wall_seconds,
        cpu_seconds=ended.cpu_seconds,
        max_memory=ended.max_memory,
    )
    files: Sequence[tuple[str, Path | bytes]] = prepared.workplace.outputs(prepared.bundle.entries)
    recipients = recipients_of(prepared.descriptor.answer.recipients)
    if recipients:
        sealed = prepared.workplace.path / SEALED_NAME
        with sealed.open("xb") as file:  # follows no link that the task planted there
            seal_outputs(file, receipt=receipt, files=files, recipients=recipients)
        files = [(SEALED_NAME, sealed)]
    write_answer(out, receipt=receipt, files=files, key=owner.answer.key, chain=owner.answer.chain)


def tail_of(prepared: Prepared) -> str:
    """What may be told of a failed task's own words: the end of stderr, but nothing of a job with sealed answers."""
    if prepared.descriptor.answer.recipients:
        return "(what it wrote is not shown, because the job's answers are sealed)"
    return prepared.workplace.tail()


def not_an_answer(prepared: Prepared, error: Exception) -> str:
    """Why the outputs cannot become an answer, in words that name no file of a job with sealed answers."""
    detail = error.code if isinstance(error, RefusedError) else type(error).__name__
    shown = detail if prepared.descriptor.answer.recipients else str(error) or repr(error)
    return f"its outputs cannot become an answer: {shown}"
