"""The steps of one attempt, each a plain function or coroutine of its own: prepare, run, collect.

The task machine decides the order; nothing here decides anything but whether its own step may go on.
"""

from __future__ import annotations

import datetime as dt
import math
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec
from twisted.logger import Logger

from cs import ledger
from cs.allowance import hit_words, limits_of, without_the_bundle
from cs.bundles import Bundles
from cs.confinement import sandbox_of, script_of, view_of
from cs.java import Java
from cs.opened_job import OpenedJob
from cs.prepared import Prepared
from cs.runtimes import command_of
from cs.sandbox_choice import Walls
from cs.spawner.folder import Count, FolderGauge
from cs.spawner.messages import Ended, LimitHit, Limits, Run
from cs.trust import Allowed, NotAllowedError, TrustStore
from cs.wheels import JobWheels, Wheels
from cs.workplace import Workplace
from rjs.answers.answer_jar import SEALED_NAME, Exited, Receipt, Signalled, write_answer
from rjs.answers.sealed_outputs import recipients_of, seal_outputs
from rjs.attempts import AttemptId
from rjs.background import Workers
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.policy import check_job_conditions, job_not_after
from rjs.bundle.verify import OpenedBundle, Signer
from rjs.crash_points import crash_point
from rjs.descriptor.model import Permissions
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.ids import BundleId, ClusterId, ServerId
from rjs.needs import Offer, lack
from rjs.storage import Storage
from rjs.wall_time import Wall, utc_now
from rjs.wire.messages import JobBrief
from rjs.wire.session import Session

_log = Logger("cs.attempt")


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
    wheels: Wheels
    java: Java | None = None
    """This machine's; the offer states its version."""
    check_signer: Callable[[Signer], object] = lambda signer: None
    """Refuses a signer that is revoked."""
    check_fresh: Callable[[], object] = lambda: None
    """Refuses to start anything while it is not known what was revoked lately."""
    wall: Wall = utc_now
    library: Path | None = None
    """Where Python jobs find ``rjs``."""
    walls: Walls | None = None
    """How jobs are confined here."""

    async def prepare(
        self, attempt: AttemptId, job: JobBrief, session: Session, workplace: Workplace
    ) -> Prepared:
        """1. The bundle is there and our verifier accepts it. 2. It may be a job here and now, and the owner
        trusts its signer. 3. The owner grants what its descriptor asks for, and it can be carried out here. 4. It
        was not begun here before. 5. It is unpacked. Raises RefusedError, or OSError when this machine cannot
        hold it.

        A LUS decides how long step 1 takes, so what it asked of the owner's trust, to save the fetch, is judged
        again after it, and ``check_may_run`` judges once more right before the process starts. What the cache spoiled
        shows at the latest in step 5, and then comes anew.
        """
        self.check_fresh()
        prepared, opened = await self._judged(attempt, job, session, workplace)  # 1, 2, 3
        until = job_not_after(prepared.bundle).timestamp()
        await self.storage.write(partial(ledger.record, attempt=attempt, not_after=until))  # 4
        crash_point("cs.start.recorded")
        try:
            return await self._unpack(prepared, opened)  # 5
        except BundleRefusedError as refused:
            _log.warn("job {job} is fetched again: {why}", job=job.job[:16], why=refused)
        await self.workers.run(workplace.remove)
        return await self._unpack(*await self._judged(attempt, job, session, workplace))

    async def _judged(
        self, attempt: AttemptId, job: JobBrief, session: Session, workplace: Workplace
    ) -> tuple[Prepared, OpenedJob]:
        """The first three steps of ``prepare``."""
        may_run = partial(self.check_may_run, asked=Permissions())
        opened = await self.bundles.opened(job, session, may_run)
        for bundle in (opened.bundle, *(jar.bundle for jar in opened.jars)):
            may_run(bundle)
        prepared = self._prepared(opened, attempt, workplace)
        command_of(prepared)
        if prepared.descriptor.lock:
            await self.workers.run(_wheels_of, opened, self.wheels)
        return prepared, opened

    async def _unpack(self, prepared: Prepared, opened: OpenedJob) -> Prepared:
        """The last step; what turns out to be spoiled leaves the cache."""
        try:
            return await self.workers.run(_unpacked, prepared, opened, self.wheels)
        except BundleRefusedError:
            self.bundles.drop(prepared.attempt.job)
            raise

    def check_may_run(self, bundle: OpenedBundle, asked: Permissions) -> None:
        """May this bundle run here at this moment, with the permissions ``asked``: its dates, its cluster, the
        owner's word. Raises RefusedError."""
        now = self.wall()
        check_job_conditions(bundle, at=now, cluster=self.owner.cluster)
        self.check_signer(bundle.signer)
        decision = self.trust().allows(bundle.signer, asked, now)
        if not isinstance(decision, Allowed):
            raise NotAllowedError(decision, bundle.signer)

    def _prepared(self, opened: OpenedJob, attempt: AttemptId, workplace: Workplace) -> Prepared:
        bundle, descriptor, offer = opened.bundle, opened.descriptor, self.offer()
        self.check_may_run(bundle, descriptor.permissions)
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
            java=self.java,
            library=self.library,
            walls=self.walls,
            offer=offer,
        )


def _wheels_of(opened: OpenedJob, wheels: Wheels) -> JobWheels:
    lock = opened.descriptor.lock
    return wheels.chosen(opened.bundle, lock, opened.unneeded) if lock else JobWheels()


def _unpacked(prepared: Prepared, opened: OpenedJob, wheels: Wheels) -> Prepared:
    """Every file of the job that this task is to see, read and checked."""
    place, descriptor = prepared.workplace, prepared.descriptor
    arguments = tuple(opened.tasks.arguments(prepared.attempt.task))
    place.create()
    packages = _wheels_of(opened, wheels)
    jars = opened.unpack(place.job, place.jars, without=packages.files)
    paths = wheels.folders(prepared.attempt, opened.bundle, packages)
    place.add_answer_folders(java=descriptor.runtime == "java")
    gauge = FolderGauge(str(place.task), sys.maxsize)
    gauge.look(math.inf)
    unpacked = Count(gauge.bytes, gauge.files)
    return attrs.evolve(prepared, arguments=arguments, jars=jars, paths=paths, unpacked=unpacked)


def request_of(prepared: Prepared) -> Run:
    """What the spawner is to do: the job's program in its folder, a complete environment, the limits, the walls."""
    place, command, allowed = prepared.workplace, command_of(prepared), _limits(prepared)
    return Run(
        command.argv,
        str(view_of(prepared).path(place.job)),
        dict(command.environment),
        str(place.stdout),
        str(place.stderr),
        allowed,
        sandbox=sandbox_of(prepared, allowed.memory),
        script=script_of(prepared),
        sweep=str(place.task),
    )


def _limits(prepared: Prepared) -> Limits:
    return limits_of(prepared.descriptor.needs, prepared.offer, prepared.unpacked)


def hit_of(prepared: Prepared, ended: Ended) -> LimitHit | None:
    """The limit that ended the task, as its descriptor counts; None when none did."""
    return None if ended.limit is None else without_the_bundle(ended.limit, prepared.unpacked)


def failure_of(prepared: Prepared, ended: Ended) -> str:
    """What went wrong, in words; empty when the task did what it should."""
    hit = hit_of(prepared, ended)
    if hit is not None:
        return hit_words(hit, ended.wall_seconds)
    if ended.signal is not None:
        return f"ended by signal {ended.signal}"
    return f"exit status {ended.exit_status}" if ended.exit_status else ""


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
        limits=msgspec.structs.asdict(_limits(prepared)),
        limit_hit=None,
        exit=Exited(ended.exit_status or 0) if ended.signal is None else Signalled(ended.signal),
        started=started,
        ended=started + dt.timedelta(seconds=ended.wall_seconds),
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
