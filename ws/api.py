"""The WS's door: what LUSs, people, admins and invitations may say on its one port, and what it does.

Who may call what is declared beside each message and enforced by the session; here is only whose job it is.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import attrs
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from rjs.background import Workers
from rjs.crash_points import crash_point
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.ids import BundleId
from rjs.jobs import TaskState
from rjs.limits import WHY_REASONS
from rjs.wire import messages as m
from rjs.wire.blobs import read_blob_to_file
from rjs.wire.session import Routes, Session
from ws import limits, store
from ws.admission import Upload
from ws.answers import AnswerDesk
from ws.checkpoints import CheckpointDesk
from ws.homes import check_bundle_name
from ws.instructions import SendGrant, SendLeaseEnded
from ws.intake import Intake
from ws.job import Blocked, JobState
from ws.job_tokens import JobTokenDesk, Progress, ProgressBook, check_current
from ws.members import Members
from ws.shell import Shell
from ws.why import line
from ws.why_desk import WhyDesk

_log = Logger("ws.api")


@attrs.define(eq=False)
class WsDoor:
    """Implements ``rjs.wire.session.Door`` for the WS."""

    shell: Shell
    intake: Intake
    answers: AnswerDesk
    members: Members
    workers: Workers
    progress: ProgressBook = attrs.field(
        default=attrs.Factory(lambda own: ProgressBook(own.shell), takes_self=True)
    )
    checkpoints: CheckpointDesk | None = None
    """Without one, none are kept."""
    luses: dict[str, Session] = attrs.field(factory=dict)
    whys: WhyDesk = attrs.field(
        default=attrs.Factory(lambda own: WhyDesk(own.shell, own.progress, own.luses), takes_self=True)
    )
    _uploading: Counter[str] = attrs.field(factory=Counter)
    welcome: frozenset[Role] = frozenset(
        {Role.LUS, Role.USER, Role.ADMIN, Role.INVITATION, Role.EXPIRED, Role.GUEST}
    )

    def __attrs_post_init__(self) -> None:
        self.shell.to_lus = self._to_lus

    routes: Routes = attrs.field(init=False)

    @routes.default
    def _all_routes(self) -> Routes:
        return {
            m.MemberEnrol: self._enrol,
            m.MemberRenew: self._renew_member,
            m.MemberPresent: self._present,
            m.AccountSigner: self._list_signer,
            m.JobSubmit: self._submit,
            m.JobList: self._list,
            m.JobShow: self._show,
            m.JobCancel: self._cancel,
            m.JobWhy: self._why,
            m.TaskWant: self._want,
            m.LeaseRenew: self._renew,
            m.TaskReturn: self._returned,
            m.TaskPlaced: self._placed,
            m.TaskAdopt: self._adopt,
            m.AttemptEnded: self._attempt_ended,
            m.AttemptProgress: self._progressed,
            m.JobToken: self._job_token,
            m.AnswerOffer: self._offered,
            m.CheckpointOffer: self._checkpoint_offered,
            m.CheckpointRejected: self._checkpoint_rejected,
            m.BlobRead: self._blob,
        }

    # --- sessions -----------------------------------------------------------------------------------

    def opened(self, session: Session) -> None:
        """A LUS is registered, in place of an older session of its; others just call."""
        name = session.peer.name
        _log.info("{name} connected ({common})", name=name.uri(), common=session.peer.common_name)
        if name.role is not Role.LUS:
            return
        old = self.luses.get(name.id)
        if old is not None and _order(old) > _order(session):
            session.close("superseded", "a newer session of this LUS is open")
            return
        self.luses[name.id] = session
        if old is not None:
            old.give_way(session)
        self.shell.perform(self.shell.queue.lus_opened(name.id, session.peer_hello.boot, self.shell.now()))

    def heard(self, session: Session) -> None:
        """Heartbeats keep the session; LUS leases are renewed by name."""

    def answered(self, session: Session, sent: float) -> None:
        """The WS holds no lease."""

    def closed(self, session: Session, reason: str) -> None:
        """A lost connection ends no lease."""
        name = session.peer.name
        _log.info("{name} left: {reason}", name=name.uri(), reason=reason)
        if self.luses.get(name.id) is session:
            del self.luses[name.id]
            self.shell.perform(self.shell.queue.lus_closed(name.id, session.peer_hello.boot))

    def _to_lus(self, word: SendGrant | SendLeaseEnded) -> None:
        session = self.luses.get(word.lus)
        if session is None:
            return  # it learns on its next session: grants by what it does not list, ends by the reply
        match word:
            case SendGrant(_, generation, job, tasks, checkpoints):
                grant = m.TaskGrant(generation=generation, job=job, tasks=tasks, checkpoints=checkpoints)
                session.tell(grant)
            case SendLeaseEnded(_, leases, code, sentence):
                session.tell(m.LeaseEnded(leases=leases, code=code, sentence=sentence[:1024]))

    # --- joining and renewing -----------------------------------------------------------------------

    async def _enrol(self, session: Session, message: m.MemberEnrol) -> m.MemberEnrolled:
        chain = await self.members.enrol(session.peer, message.request, message.chain)
        return m.MemberEnrolled(chain=chain)

    async def _renew_member(self, session: Session, message: m.MemberRenew) -> m.MemberRenewed:
        return m.MemberRenewed(chain=await self.members.renew(session.peer, message.request))

    async def _present(self, session: Session, message: m.MemberPresent) -> m.MemberEnrolled:
        return m.MemberEnrolled(chain=await self.members.present(session.peer, message.request))

    async def _list_signer(self, session: Session, message: m.AccountSigner) -> None:
        await self.members.list_signer(session.peer.name.id, message.request)

    # --- people -------------------------------------------------------------------------------------

    async def _submit(self, session: Session, message: m.JobSubmit) -> m.JobAccepted:
        self.intake.check_room()
        check_bundle_name(message.name)
        if message.size > limits.BUNDLE:
            raise RefusedError("too-large", f"a bundle has at most {limits.BUNDLE} bytes here")
        account = session.peer.name.id
        if self._uploading[account] >= limits.UPLOADS:
            raise RefusedError(
                "too-many-uploads", f"{limits.UPLOADS} uploads of yours are under way; wait for one of them"
            )
        self._uploading[account] += 1
        try:
            return await self._upload(session, Upload(account, message.name, message.size, message.sha256))
        finally:
            self._uploading[account] -= 1

    async def _upload(self, session: Session, upload: Upload) -> m.JobAccepted:
        incoming = self.intake.bundles.incoming()
        digest = upload.sha256
        await read_blob_to_file(
            session, "upload", digest, upload.size, digest, incoming, self.workers, self.shell.timers
        )
        job = await self.intake.take_incoming(incoming, upload)
        return m.JobAccepted(job=job.id, tasks=job.brief.tasks)

    def _list(self, session: Session, message: m.JobList) -> m.JobLines:
        mine = [state for state in reversed(self.shell.queue.jobs.values()) if _may_see(session, state)]
        shown = mine[: limits.LIST_JOBS]
        return m.JobLines(
            jobs=tuple(line(self.shell.queue, state) for state in shown), more=len(mine) - len(shown)
        )

    async def _show(self, session: Session, message: m.JobShow) -> m.JobShown:
        state = self._find(session, message.job)
        ended = await self.shell.storage.read(
            partial(store.ended_tasks, job=state.job.id, first=message.first, count=limits.SHOW_TASKS)
        )
        last = min(len(state.states), message.first + limits.SHOW_TASKS)
        lines = (self._task_line(state, task, ended.get(task)) for task in range(message.first, last))
        return m.JobShown(job=line(self.shell.queue, state), tasks=tuple(lines))

    async def _cancel(self, session: Session, message: m.JobCancel) -> None:
        state = self._find(session, message.job)
        reason = f"cancelled by {session.peer.name.id}"
        await self.shell.perform(self.shell.queue.cancel(state.job.id, reason, self.shell.now()))
        crash_point("ws.cancel.journalled")

    async def _why(self, session: Session, message: m.JobWhy) -> m.JobReasons:
        account = session.peer.name.id
        if not message.file:
            return await self.whys.of_job(account, self._find(session, message.job), message.task)
        check_bundle_name(message.file)
        upload = await self.whys.of_upload(account, message.file)
        mine = (each for each in reversed(self.shell.queue.jobs.values()) if _may_see(session, each))
        state = next((each for each in mine if each.job.file_name == message.file), None)
        if state is None and upload is None:
            raise RefusedError("no-such-job", f"{message.file} is no job of yours, and not in your jobs/")
        if state is None:
            return m.JobReasons(reasons=(upload,) if upload is not None else ())
        reply = await self.whys.of_job(account, state, message.task)
        return reply if upload is None else replace(reply, reasons=(upload, *reply.reasons)[:WHY_REASONS])

    def _find(self, session: Session, prefix: str) -> JobState:
        jobs = self.shell.queue.jobs
        exact = jobs.get(BundleId(prefix))
        found = [exact] if exact else [state for job, state in jobs.items() if job.startswith(prefix)]
        mine = [state for state in found if _may_see(session, state)]
        if not prefix or not mine:
            raise RefusedError("no-such-job", f"you have no job {prefix!r}; rjs status lists yours")
        if len(mine) > 1:
            names = ", ".join(state.job.id[:16] for state in mine[:5])
            raise RefusedError(
                "ambiguous", f"{len(mine)} jobs start with {prefix!r}: {names}; give more digits"
            )
        return mine[0]

    def _task_line(self, state: JobState, task: int, ended: store.Ended | None) -> m.TaskLine:
        story = state.stories.get(task)
        attempts = len(story.failed) + len(story.vanished) if story else 0
        cs, detail = "", story.detail if story else ""
        stands = state.state(task)
        if ended is not None:
            cs, detail = ended.cs_name, ended.reason or detail
        elif stands in (TaskState.CANCELLED, TaskState.FAILED):
            detail = state.closed_reason
        lease = self.shell.queue.lease_of(state.job.id, task)
        if lease is not None:
            cs = lease.cs_name
        name = "placed" if lease is not None and lease.placed is not None else stands.name.lower()
        told = self.progress.of_task(state.job.id, task)
        return m.TaskLine(
            task=task, state=name, cs=cs, attempts=attempts, detail=detail[:4096],
            progress=None if told is None else told.fraction, said="" if told is None else told.text,
        )  # fmt: skip

    # --- LUSs ---------------------------------------------------------------------------------------

    # What a LUS just tells counts as under way until it is durable, like what it asks: the session holds the
    # LUS's calls when too much is, and so nobody fills the journal's queue.

    def _want(self, session: Session, message: m.TaskWant) -> Deferred[None]:
        want = self.shell.queue.want(
            _current(self, session), message.outstanding, message.epoch, self.shell.now()
        )
        return self.shell.perform(want)

    async def _renew(self, session: Session, message: m.LeaseRenew) -> m.LeaseRenewed:
        lus = _current(self, session)
        ended, instructions = self.shell.queue.renew(lus, message.leases, message.upto, self.shell.now())
        await self.shell.perform(instructions)
        return m.LeaseRenewed(ended=tuple(ended))

    def _returned(self, session: Session, message: m.TaskReturn) -> Deferred[None]:
        why = Blocked(message.epoch, message.code, message.sentence)
        job = BundleId(message.job)
        lus = _current(self, session)
        return self.shell.perform(self.shell.queue.returned(lus, job, message.leases, why, self.shell.now()))

    def _placed(self, session: Session, message: m.TaskPlaced) -> Deferred[None]:
        lus = _current(self, session)
        now = self.shell.now()
        crash_point("ws.placement.received")
        placed = self.shell.queue.placed(lus, message.attempt, message.cs, message.cs_name, now)
        return self.shell.perform(placed).addCallback(lambda _: crash_point("ws.placement.journalled"))

    async def _adopt(self, session: Session, message: m.TaskAdopt) -> m.TaskAdopted:
        reply, instructions = self.shell.queue.adopt(
            _current(self, session), message.cs, message.attempts, message.whole, self.shell.now()
        )
        await self.shell.perform(instructions)
        return reply

    async def _job_token(self, session: Session, message: m.JobToken) -> m.JobTokenIssued:
        lus = _current(self, session)
        return m.JobTokenIssued(
            chain=await JobTokenDesk(self.shell, self.members).certify(lus, message.request)
        )

    def _progressed(self, session: Session, message: m.AttemptProgress) -> None:
        check_current(self.shell.queue, _current(self, session), message.attempt, message.cs)
        self.progress.note(Progress(message.attempt, message.fraction, message.text))
        self.shell.changed(BundleId(message.attempt.job))

    async def _attempt_ended(self, session: Session, message: m.AttemptEnded) -> None:
        crash_point("ws.end.received")
        detail = f"{message.detail}\n{message.tail}".rstrip()
        instructions = self.shell.queue.attempt_ended(
            _current(self, session), message.attempt, message.cs, message.kind, detail, self.shell.now()
        )
        await self.shell.perform(instructions)
        crash_point("ws.end.journalled")

    async def _offered(self, session: Session, message: m.AnswerOffer) -> m.AnswerVerdict:
        return await self.answers.offered(session, message)

    async def _checkpoint_offered(self, session: Session, message: m.CheckpointOffer) -> m.CheckpointVerdict:
        _current(self, session)
        return await self._checkpoints().offered(session, message)

    async def _checkpoint_rejected(self, session: Session, message: m.CheckpointRejected) -> None:
        await self._checkpoints().rejected(_current(self, session), message)

    def _checkpoints(self) -> CheckpointDesk:
        if self.checkpoints is None:
            raise RefusedError("unsupported", "no checkpoints are kept here")
        return self.checkpoints

    async def _blob(self, session: Session, message: m.BlobRead) -> m.BlobData:
        if message.kind == "checkpoint":
            return await self._checkpoints().read(_current(self, session), message)
        if message.kind != "bundle" or BundleId(message.key) not in self.shell.queue.jobs:
            raise RefusedError("no-blob", f"{message.kind} {message.key[:16]} is not here")
        brief = self.shell.queue.jobs[BundleId(message.key)].job.brief
        return await self.workers.run(self.intake.bundles.chunk, brief, message)


def _current(door: WsDoor, session: Session) -> str:
    """The LUS of this session; what an older session of it still says is refused."""
    name = session.peer.name.id
    if door.luses.get(name) is not session:
        raise RefusedError("superseded", "a newer session of this LUS is open")
    return name


def _order(session: Session) -> tuple[int, int]:
    return session.peer_hello.boot_count, session.peer_hello.dial


def _may_see(session: Session, state: JobState) -> bool:
    return session.peer.name.role is Role.ADMIN or state.job.user == session.peer.name.id
