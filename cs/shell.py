"""The shell: performs the task machine's instructions and answers it with events. No rule lives here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.logger import Logger

from cs import attempt as steps
from cs import limits
from cs.checkpoints import CheckpointDesk
from cs.control_channel import JobDesk, JobLink
from cs.instructions import (
    AwaitCheckpoint,
    CleanUp,
    Collect,
    Describe,
    Forget,
    ForgetCheckpoint,
    Instruction,
    Kill,
    Offer,
    OfferCheckpoint,
    OfferLater,
    Prepare,
    ReplyRefused,
    ReplyStarted,
    Report,
    Save,
    Spawn,
    Vacate,
)
from cs.network_proxy import JobNetwork
from cs.network_proxy_desk import NetworkDesk
from cs.prepared import Prepared
from cs.quiet import Quiet
from cs.refusals import Refusals
from cs.spawner.client import Spawner
from cs.spawner.errors import NotStartedError, SpawnerDiedError
from cs.spawner.messages import Ended
from cs.spool import Spool
from cs.task_machine import Slot, TaskMachine
from cs.trust import NotAllowedError
from cs.workplace import Workplace
from rjs.attempts import AttemptId
from rjs.background import Tasks, Timers, Workers, sleep
from rjs.crash_points import crash_point
from rjs.disk import is_of_disk
from rjs.errors import RefusedError
from rjs.leases import holder_until
from rjs.limits import CS_LEASE
from rjs.wire import messages as m
from rjs.wire.session import Session, SessionLostError

_log = Logger("cs.shell")


@attrs.define(eq=False)
class Shell:
    """The machine with the things that it moves. ``describe`` makes our state message, ``new_spawner`` one in
    place of one that died (a job of this release may kill it)."""

    machine: TaskMachine
    owner: steps.Owner
    preparation: steps.Preparation
    spool: Spool
    work: Path
    spawner: Spawner
    new_spawner: Callable[[], Spawner]
    workers: Workers
    timers: Timers
    tasks: Tasks
    describe: Callable[[], m.CsState]
    refusals: Refusals = attrs.field(factory=Refusals)
    jobs: JobDesk | None = None
    """What running jobs ask of us; without one, nobody hears them."""
    checkpoints: CheckpointDesk | None = None
    """Without one, none are taken or given."""
    grace: float = limits.GRACE
    """Seconds that a task has to end when it has to leave."""
    networks: NetworkDesk | None = None
    """What confined tasks reach granted places by; without one, they reach none."""
    session: Session | None = None
    served: Callable[[], object] = lambda: None
    may_work: Callable[[], bool] = lambda: True
    """Whether our certificate is good: with one that has expired a LUS carries its renewal, no more."""
    lease_until: float = 0.0
    _folder: DeferredLock = attrs.field(factory=DeferredLock)
    """Held while an attempt's files are removed: the next one may be of the same bundle, whose folder it is."""
    _closing: bool = False
    _quiet: Quiet = attrs.field(default=attrs.Factory(lambda own: Quiet(own.timers), takes_self=True))
    _later: set[AttemptId] = attrs.field(factory=set)
    _replies: dict[AttemptId, Deferred[None]] = attrs.field(factory=dict)
    _prepared: dict[AttemptId, Prepared] = attrs.field(factory=dict)
    _ended: dict[AttemptId, tuple[Ended, dt.datetime]] = attrs.field(factory=dict)

    # --- events from the LUS ------------------------------------------------------------------------

    def session_opened(self, session: Session) -> None:
        """A LUS is there."""
        self.session = session
        self.lease_until = holder_until(self.timers.seconds(), CS_LEASE)
        self.perform(self.machine.session_opened())
        self.served()

    @property
    def work_session(self) -> Session | None:
        """The session on which the LUS may hear of work."""
        return self.session if self.may_work() else None

    @property
    def served_now(self) -> bool:
        """Whether a LUS is there that answers our heartbeats: after a lease without, another may have us."""
        return self.session is not None and self.timers.seconds() < self.lease_until

    def session_closed(self, session: Session) -> None:
        """It is gone; what runs goes on."""
        if self.session is session:
            self.session = None

    def heartbeat_answered(self, sent: float) -> None:
        """Our heartbeat of time ``sent`` renewed our lease."""
        self.lease_until = max(self.lease_until, holder_until(sent, CS_LEASE))

    async def start(
        self, job: m.JobBrief, attempt: AttemptId, checkpoint: m.CheckpointRef | None = None
    ) -> None:
        """Returns when the process runs; raises RefusedError when it does not."""
        crash_point("cs.start.received")
        reply: Deferred[None] = Deferred()
        if attempt in self._replies:
            raise RefusedError("busy", "this attempt is being started already")
        self._replies[attempt] = reply
        self.perform(self.machine.start(job, attempt, checkpoint))
        try:
            await reply
        finally:
            self._replies.pop(attempt, None)

    def offer_changed(self) -> None:
        """There is more or less for a task here than before."""
        self.perform(self.machine.changed())

    def trust_changed(self) -> None:
        """The owner changed the trust store."""
        self.offer_changed()
        self.judge_again()

    def judge_again(self) -> None:
        """What may not run any more is given back: with its checkpoint where the owner's trust is another, killed at
        once where something was revoked."""
        prepared = self._prepared.get(self.machine.attempt) if self.machine.attempt is not None else None
        if prepared is not None:
            try:
                self.preparation.check_may_run(prepared.bundle, prepared.descriptor.permissions)
            except RefusedError as error:
                _log.info("task {task} of {job} is given back: {error}", task=prepared.attempt.task,
                          job=prepared.attempt.job[:16], error=error)  # fmt: skip
                at_once = not isinstance(error, NotAllowedError)
                self.perform(self.machine.taken_back(f"{error.code}: {error.sentence}", at_once=at_once))

    def stop(self, attempt: AttemptId, sentence: str) -> None:
        """The LUS wants the attempt no more."""
        _log.info("attempt at task {task} of {job} stopped: {why}", task=attempt.task, job=attempt.job[:16],
                  why=sentence)  # fmt: skip
        self.perform(self.machine.stop(attempt, sentence))
        if self.machine.slot is Slot.PREPARING and self.machine.attempt == attempt:
            self.preparation.bundles.stop_fetching()

    # --- instructions -------------------------------------------------------------------------------

    def perform(self, instructions: Iterable[Instruction]) -> None:
        """Carry out, in order."""
        for each in instructions:
            self._perform(each)
        self._quiet.look()

    def _perform(self, instruction: Instruction) -> None:  # noqa: C901 - one case an instruction
        match instruction:
            case Prepare(attempt, job, checkpoint):
                self._begin("preparation", self._prepare(attempt, job, checkpoint))
            case Spawn(attempt):
                self._begin("task", self._run(attempt))
            case Kill():
                self.spawner.stop()
            case Vacate():
                self.spawner.stop(self.grace)
            case Save(attempt):
                self._begin("checkpoint", self._save(attempt))
            case OfferCheckpoint() | AwaitCheckpoint() | ForgetCheckpoint():
                if self.checkpoints is not None:
                    self.checkpoints.do(instruction)
            case Collect(attempt):
                self._begin("collection", self._collect(attempt))
            case CleanUp(attempt):
                self._clean_up(attempt)
            case ReplyStarted(attempt):
                self._reply(attempt, None)
            case ReplyRefused(attempt, code, sentence):
                self._reply(attempt, RefusedError(code, sentence))
            case Offer(attempt):
                self._begin("offer", self._offer(attempt))
            case OfferLater(attempt):
                self._begin("offer", self._offer_later(attempt))
            case Report():
                self._begin("report", self._report(instruction))
            case Forget(attempt):
                self.spool.forget(attempt)
                if self.checkpoints is not None:
                    self.checkpoints.answered(attempt)
                crash_point("cs.verdict.forgotten")
            case Describe():
                if self.work_session is not None:
                    self.work_session.tell(self.describe())

    def _begin(self, what: str, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.spawn(what, coroutine)

    def _reply(self, attempt: AttemptId, error: RefusedError | None) -> None:
        reply = self._replies.pop(attempt, None)
        if reply is None or reply.called:
            return
        if error is None:
            reply.callback(None)
        else:
            reply.errback(error)

    # --- steps --------------------------------------------------------------------------------------

    async def _prepare(self, attempt: AttemptId, job: m.JobBrief, checkpoint: m.CheckpointRef | None) -> None:
        workplace = Workplace(self.work, attempt)
        try:
            await self._folder.run(lambda: None)
            if self.session is None:
                raise RefusedError("stopped", "the LUS went away")
            session = self.session
            prepared = await self.preparation.prepare(attempt, job, session, workplace)
            if self.checkpoints is not None:
                await self.checkpoints.give(prepared, checkpoint, session)
            self.preparation.check_fresh()
            self.preparation.check_may_run(prepared.bundle, prepared.descriptor.permissions)
        except RefusedError as error:
            self._refused(attempt, job, error)
            self.perform(self.machine.not_prepared(attempt, error.code, error.sentence))
        except SessionLostError as error:
            self.perform(self.machine.not_prepared(attempt, "stopped", str(error)))
        except CancelledError:
            self.perform(self.machine.not_prepared(attempt, "stopped", "it is not wanted any more"))
        except Exception as error:
            _log.failure("cannot prepare")
            self.perform(
                self.machine.not_prepared(attempt, "cannot-start", f"this machine cannot run it: {error}")
            )
        else:
            crash_point("cs.start.prepared")
            self._prepared[attempt] = prepared
            may_start = self.timers.seconds() < self.lease_until
            self.perform(self.machine.prepared(attempt, may_start))

    def _refused(self, attempt: AttemptId, job: m.JobBrief, error: RefusedError) -> None:
        """Tell the owner, unless it was only that the LUS left."""
        if error.code != "stopped":
            noted = self.refusals.note(job, error, self.preparation.wall())
            _log.info("refused task {task} of {job}: {code}: {sentence}", task=attempt.task,
                      job=attempt.job[:16], code=noted.code, sentence=noted.sentence)  # fmt: skip

    async def _run(self, attempt: AttemptId) -> None:
        prepared = self._prepared[attempt]
        started = self.preparation.wall()
        if not self.spawner.alive:
            self.spawner = self.new_spawner()
        try:
            link = None if self.jobs is None else self.jobs.begin(prepared, self.spawner)
        except OSError as error:
            self._not_run(attempt, f"this machine can make no door for it: {error}")
            return
        if link is not None:
            self.spawner.heard, prepared = link.heard, link.prepared
        network = self._network(prepared)
        running = _run_linked(self.spawner.run(steps.request_of(prepared)), link, network)
        done: Deferred[Ended] = Deferred.fromCoroutine(running)
        if not done.called:
            crash_point("cs.task.spawned")
            self.perform(self.machine.spawned(attempt))
        try:
            ended = await done
        except NotStartedError as error:
            self._not_run(attempt, str(error))
        except SpawnerDiedError as error:
            if not self._closing:
                self.spawner = self.new_spawner()
            self._not_run(attempt, str(error))
        else:
            crash_point("cs.task.ended")
            self._ended[attempt] = ended, started
            self.perform(
                self.machine.process_ended(
                    attempt, steps.failure_of(prepared, ended), steps.tail_of(prepared)
                )
            )

    def _network(self, prepared: Prepared) -> JobNetwork | None:
        """What a confined task that asks for places reaches them by; an unconfined one needs nobody."""
        if self.networks is None or prepared.walls is None or not prepared.descriptor.permissions.network:
            return None
        network = self.networks.begin(prepared)
        self.spawner.listened = network.listened
        return network

    def _not_run(self, attempt: AttemptId, sentence: str) -> None:
        if self.machine.slot is Slot.STARTING:
            self.perform(self.machine.not_spawned(attempt, sentence))
        else:
            self.perform(self.machine.process_ended(attempt, sentence, ""))

    async def _save(self, attempt: AttemptId) -> None:
        desk, sequence = self.checkpoints, None
        if desk is not None:
            sequence = await desk.save(self._prepared[attempt])
        self.perform(self.machine.saved(attempt, sequence))

    async def _collect(self, attempt: AttemptId) -> None:
        prepared, (ended, started) = self._prepared[attempt], self._ended[attempt]
        sign = partial(steps.sign_answer, prepared, ended, started, self.owner)
        try:
            await self.workers.run(partial(self.spool.keep, attempt, sign))
        except (RefusedError, OSError) as error:
            ours = isinstance(error, OSError) and is_of_disk(error)
            why = steps.not_an_answer(prepared, error)
            self.perform(self.machine.not_collected(attempt, why, ours=ours))
        except CancelledError:
            raise
        except Exception as error:  # whatever a task left there must not keep the slot
            _log.failure("cannot collect")
            self.perform(self.machine.not_collected(attempt, steps.not_an_answer(prepared, error)))
        else:
            crash_point("cs.answer.spooled")
            self.perform(self.machine.collected(attempt))

    def _clean_up(self, attempt: AttemptId) -> None:
        self._ended.pop(attempt, None)
        self._prepared.pop(attempt, None)
        self.preparation.wheels.release(attempt)
        workplace = Workplace(self.work, attempt)
        self._begin("cleaning up", self._emptied(workplace))

    async def _emptied(self, workplace: Workplace) -> None:
        await self._folder.run(self.workers.run, workplace.empty)

    # --- words --------------------------------------------------------------------------------------

    async def _offer(self, attempt: AttemptId) -> None:
        session = self.work_session
        if session is None or attempt not in self.machine.holding:
            return  # offered when a LUS is there again
        try:
            spooled = await self.workers.run(partial(self.spool.load, attempt))
            offer = m.AnswerOffer(
                attempt=attempt, cs=self.owner.id, size=spooled.size, sha256=spooled.sha256, data=spooled.data
            )
            crash_point("cs.answer.offered")
            verdict = await session.request(offer, m.AnswerVerdict)
            name, sha256 = spooled.path.name, spooled.sha256
            _log.debug("{verdict}: {name} {sha256}", verdict=verdict.verdict, name=name, sha256=sha256)
            crash_point("cs.verdict.received")
        except SessionLostError:
            return
        except RefusedError as error:
            _log.info("an answer was not taken ({error}); it is offered again", error=error)
            self.perform(self.machine.verdict(attempt, final=False))
            return
        except OSError as error:
            _log.error("an answer is lost: {error}", error=error)
            self.perform(self.machine.answer_lost(attempt, f"the answer could not be read back: {error}"))
            return
        if verdict.verdict == "refused":
            _log.error("the answer of task {task} of {job} was refused: {code}: {sentence}", task=attempt.task,
                       job=attempt.job[:16], code=verdict.code, sentence=verdict.sentence)  # fmt: skip
        self.perform(self.machine.verdict(attempt, final=verdict.verdict != "retry"))

    async def _offer_later(self, attempt: AttemptId) -> None:
        if attempt in self._later:
            return
        self._later.add(attempt)
        await sleep(self.timers, limits.OFFER_AGAIN)
        self._later.discard(attempt)
        await self._offer(attempt)

    async def _report(self, report: Report) -> None:
        session = self.work_session
        if session is None:
            return
        ended = m.AttemptEnded(
            attempt=report.attempt,
            cs=self.owner.id,
            kind=report.kind,
            detail=report.detail[:1024],
            tail=report.tail,
        )
        try:
            await session.request(ended, m.Done)
            crash_point("cs.end.reported")
        except SessionLostError:
            return
        except RefusedError as error:
            _log.info("the end of an attempt changes nothing: {error}", error=error)
        self.perform(self.machine.reported(report.attempt))

    async def close(self) -> None:
        """Give the running task back with its checkpoint, end its processes, close the spawner."""
        self._closing = True
        self.perform(self.machine.closing())
        await self._quiet.until(self._left, self.grace + limits.SAVING)
        if self.work_session is not None:
            await self._quiet.until(
                lambda: not self.machine.reports and not self.machine.awaited, limits.TELLING
            )
        await self.spawner.close()
        await self._folder.run(lambda: None)

    def _left(self) -> bool:
        """Nothing runs any more that may be worth a checkpoint."""
        return self.machine.slot not in (Slot.RUNNING, Slot.SAVING)


async def _run_linked(
    running: Coroutine[Any, Any, Ended], link: JobLink | None, network: JobNetwork | None
) -> Ended:
    """How the process ended, once nothing more is done for it."""
    try:
        return await running
    finally:
        if network is not None:
            network.end()
        if link is not None:
            await link.end()
