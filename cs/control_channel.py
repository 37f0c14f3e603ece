"""What a compute server does for a running job: hears its control channel, has its tokens made, opens its door.

A ``JobDesk`` serves every attempt in turn. For one that says nothing it costs a few objects; the door is
opened when the first token has come.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from cs import limits
from cs.control import CheckpointAsked, ControlLines, Fault, Progress, TokenAsked, TokenPace, answer_line
from cs.job_door import JobDoor
from cs.prepared import Prepared
from cs.workplace import keep_newest, remove_tree
from rjs.background import Tasks, Timer, Workers
from rjs.errors import RefusedError, RjsError, UnreachableError
from rjs.files import make_private_folder
from rjs.identity.certificates import Identity
from rjs.identity.job_tokens import ask_job_token, check_issued, check_job_request
from rjs.identity.names import Role
from rjs.identity.tls import ServerContext, server_context
from rjs.limits import PROGRESS_PAUSE
from rjs.newest import Newest
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.dial import Acceptor
from rjs.wire.session import Self, Session

_log = Logger("cs.control")

_NAME: Final = 4
_DOORS: Final = 1000
"""Digits of a bundle's id that name its doors' folder, and how many doors there are: a socket's path is short."""


def doors_folder(path: Path) -> Path:
    """The folder ``path``, made where it is not there, and empty: whatever a job planted keeps no server from
    starting. Raises OSError, ConfigError."""
    make_private_folder(path)
    for left in path.iterdir():
        remove_tree(left)
    return path


class Checkpoints(Protocol):
    """Who takes checkpoints."""

    async def take(self, prepared: Prepared) -> int:
        """Take one of this attempt; its sequence. Raises RefusedError, OSError."""
        ...


class Voice(Protocol):
    """The part of a spawner through which an attempt is spoken to."""

    def say(self, data: bytes) -> None:
        """Write to its control channel."""
        ...

    def hush(self) -> None:
        """Close that."""
        ...


@attrs.define(eq=False)
class JobDesk:
    """Everything that serving jobs needs. ``folder`` is where doors are, with a short path; ``session`` is that with
    the LUS, None while there is none."""

    reactor: ReactorBase
    tasks: Tasks
    workers: Workers
    me: Self
    cs: str
    folder: Path
    identity: Callable[[], Identity]
    session: Callable[[], Session | None] = lambda: None
    wall: Wall = utc_now
    checkpoints: Checkpoints | None = None
    """Without one, none are taken."""
    _numbers: itertools.count[int] = attrs.field(factory=itertools.count)
    contexts: set[ServerContext] = attrs.field(factory=set)
    """Those of open doors."""

    def renewed(self, identity: Identity) -> None:
        """The compute server has a new certificate: doors show it from the next connection on."""
        for context in self.contexts:
            context.renew(identity)

    def begin(self, prepared: Prepared, voice: Voice) -> JobLink:
        """Serve an attempt whose process is about to start. Raises OSError where no door can be made."""
        folder = self.folder / prepared.attempt.job[:_NAME]
        keep_newest(self.folder, folder, limits.KEPT_FOLDERS)
        folder.mkdir(mode=0o700, exist_ok=True)
        number = next(self._numbers) % _DOORS  # not the last one's, which may be closing still
        return JobLink(self, attrs.evolve(prepared, door=folder / str(number)), voice)

    async def certified(self, prepared: Prepared, request: bytes) -> tuple[tuple[bytes, ...], float]:
        """The chain for a job's PKCS#10 request, and the seconds until its end. Raises RefusedError,
        UnreachableError."""
        check_job_request(request, prepared.attempt)
        session = self.session()
        if session is None:
            raise UnreachableError("no lookup server is here to carry the request to the web server")
        asked = ask_job_token(self.identity(), prepared.attempt, request, self.wall())
        coming = Deferred.fromCoroutine(session.request(m.JobToken(request=asked), m.JobTokenIssued))
        coming.addTimeout(limits.TOKEN_PATIENCE, self.reactor)
        try:
            chain = (await coming).chain
        except TimeoutError:
            raise UnreachableError("the web server did not answer in time") from None
        now = self.wall()
        leaf = check_issued(chain, request, prepared.attempt, self.identity().root, now)
        return chain, (leaf.not_valid_after_utc - now).total_seconds()

    def tell_progress(self, prepared: Prepared, said: Progress) -> None:
        """Tell the WS, if there is a way to it now."""
        session = self.session()
        if session is not None:
            session.tell(
                m.AttemptProgress(
                    attempt=prepared.attempt, cs=self.cs, fraction=said.fraction, text=said.text
                )
            )


class JobLink:
    """One attempt that is served. ``prepared`` knows its door."""

    def __init__(self, desk: JobDesk, prepared: Prepared, voice: Voice) -> None:
        self.prepared = prepared
        self._desk = desk
        self._voice = voice
        self._lines = ControlLines(desk.reactor.seconds())
        self._progress: Newest[Progress] = Newest(
            desk.reactor, PROGRESS_PAUSE, lambda said: desk.tell_progress(prepared, said)
        )
        self._pace = TokenPace()
        self._asking = False
        self._saving = CheckpointTurns(desk, prepared, voice)
        self._over = False
        self._door: JobDoor | None = None
        self._acceptor: Acceptor | None = None
        self._context: ServerContext | None = None

    def heard(self, data: bytes) -> None:
        """What the job wrote to its control channel."""
        for asked in self._lines.heard(data, self._desk.reactor.seconds()):
            match asked:
                case Progress():
                    self._progress.offer(asked)
                case TokenAsked():
                    self._token_asked(asked)
                case CheckpointAsked():
                    self._saving.asked(asked)
                case Fault():
                    self._voice.say(asked.line())
                    if asked.last:
                        self._voice.hush()

    def _token_asked(self, asked: TokenAsked) -> None:
        if self._asking:
            busy = Fault("busy", "a token is being asked for already; wait for it", asked.id)
            self._voice.say(busy.line())
        elif wait := self._pace.take(self._desk.reactor.seconds()):
            self._voice.say(Fault("too-often", f"ask for the next token in {wait:.1f} s", asked.id).line())
        else:
            self._asking = True
            self._desk.tasks.spawn("job token", self._give_token(asked))

    async def end(self) -> None:
        """Its process has ended: the door is shut now, and nothing is written for it any more on return."""
        self._over = True
        self._lines.closed = True
        self._progress.close()
        if self._context is not None:
            self._desk.contexts.discard(self._context)
        if self._acceptor is not None:
            self._desk.tasks.spawn("closing of a door", self._acceptor.close("the attempt has ended"))
        await self._saving.end()
        if self._door is not None:
            await self._door.end()

    async def _give_token(self, asked: TokenAsked) -> None:
        try:
            chain, life = await self._desk.certified(self.prepared, asked.request)
            self._pace.issued(life)
            if not self._over:
                self._open_door()
                self._answer(asked, chain)
        except RjsError as error:
            if not self._over:
                self._voice.say(_fault_of(error, asked).line())
        finally:
            self._asking = False

    def _answer(self, asked: TokenAsked, chain: tuple[bytes, ...]) -> None:
        encoded = [base64.b64encode(each).decode("ascii") for each in chain]
        fields = {"chain": encoded, "cluster": self._desk.me.cluster, "cs": self._desk.cs}
        self._voice.say(answer_line(asked.id, fields))

    def _open_door(self) -> None:
        if self._acceptor is not None or self.prepared.door is None:
            return
        desk = self._desk
        self._door = JobDoor(self.prepared, desk.workers, self._progress.offer)
        context = server_context(desk.identity(), {Role.JOB}, desk.wall)
        acceptor = Acceptor(desk.reactor, desk.me, self._door, context, limits.DOOR_SESSIONS)
        acceptor.listen_at(self.prepared.door)
        desk.contexts.add(context)
        self._acceptor, self._context = acceptor, context
        _log.info("a door is open for task {task} of {job}", task=self.prepared.attempt.task,
                  job=self.prepared.attempt.job[:16])  # fmt: skip


class CheckpointTurns:
    """The checkpoints that one attempt asks for: one at a time, and not so often that the owner's disk does nothing
    else. Whoever asks waits for that."""

    def __init__(self, desk: JobDesk, prepared: Prepared, voice: Voice) -> None:
        self._desk = desk
        self._prepared = prepared
        self._voice = voice
        self._next = 0.0
        self._timer: Timer | None = None
        self._under_way: Deferred[None] | None = None

    def asked(self, asked: CheckpointAsked) -> None:
        """The job asked for one."""
        if self._desk.checkpoints is None:
            self._voice.say(Fault("unsupported", "no checkpoints are taken here", asked.id).line())
        elif self._timer is not None or self._under_way is not None:
            self._voice.say(
                Fault("busy", "a checkpoint is being taken already; wait for it", asked.id).line()
            )
        else:
            wait = max(0.0, self._next - self._desk.reactor.seconds())
            self._timer = self._desk.reactor.callLater(wait, self._begin, self._desk.checkpoints, asked)

    async def end(self) -> None:
        """The process has ended: none is begun any more, and none is under way on return."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._under_way is not None:
            await self._under_way

    def _begin(self, checkpoints: Checkpoints, asked: CheckpointAsked) -> None:
        self._timer, self._under_way = None, Deferred()
        self._desk.tasks.spawn("checkpoint", self._take(checkpoints, asked, self._under_way))

    async def _take(self, checkpoints: Checkpoints, asked: CheckpointAsked, done: Deferred[None]) -> None:
        began = self._desk.reactor.seconds()
        try:
            sequence = await checkpoints.take(self._prepared)
            self._voice.say(answer_line(asked.id, {"checkpoint": sequence}))
        except RefusedError as error:
            self._voice.say(Fault(error.code, error.sentence, asked.id).line())
        except OSError as error:
            self._voice.say(Fault("disk", f"this machine's disk says: {error.strerror}", asked.id).line())
        except Exception:  # whatever a job put there must not keep it waiting
            _log.failure("cannot take a checkpoint")
            self._voice.say(Fault("internal", "the compute server met a defect of its own", asked.id).line())
        finally:
            now = self._desk.reactor.seconds()
            self._next = now + max(limits.CHECKPOINT_PAUSE, limits.CHECKPOINT_SHARE * (now - began))
            self._under_way = None
            done.callback(None)


def _fault_of(error: RjsError, asked: TokenAsked) -> Fault:
    if isinstance(error, RefusedError):
        return Fault(error.code, error.sentence, asked.id)
    return Fault("unreachable", f"{error}; ask again later", asked.id)
