"""The web server's end of its token authority: starts the process, asks it, and starts it again when it dies.

    authority = AuthorityChild(reactor, begin)
    await authority.start()
    chain = await authority.renew(request)

A question outlives the authority: all are answered the same however often they are asked, so what was not answered is
asked again of the next process, for as long as a caller's patience.
"""

from __future__ import annotations

import datetime as dt
import itertools
import os
from typing import Any, Protocol

import attrs
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger
from twisted.python.failure import Failure

from rjs.authority_separation import Separation, authority_separation
from rjs.errors import ConfigError, RefusedError
from rjs.identity.accepted_cas import SignedAcceptance
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.folder import IdentityFolder
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import RenewalRequest
from rjs.identity.revocation import Revoked, SignedRevocations
from rjs.identity.succession import SuccessionRequest
from ws.authority import limits
from ws.authority.errors import CannotIssueError
from ws.authority.messages import (
    Accept,
    Accepted,
    Answer,
    Asked,
    Begin,
    Enrol,
    Issued,
    JobToken,
    Listed,
    Own,
    Prepare,
    Prepared,
    Present,
    Ready,
    Refused,
    Relist,
    Renew,
    Revoke,
    TakeOver,
    TookOver,
)
from ws.authority.process import AuthorityProcess
from ws.config import WsSettings

_log = Logger("ws.authority")

Chain = tuple[bytes, ...]


class Issuer(Protocol):
    """Who certifies, for those who ask: chains are DER, leaf first."""

    async def own(self, token_request: bytes) -> Chain:
        """The web server's own certificate."""
        ...

    async def enrol(self, request: EnrolmentRequest, chain: Chain) -> Chain:
        """A joiner's, by its invitation."""
        ...

    async def renew(self, request: RenewalRequest) -> Chain:
        """A member's next."""
        ...

    async def certify_job(self, request: JobTokenRequest) -> Chain:
        """A job's, by what its compute server signed."""
        ...

    async def present(self, request: PresentationRequest) -> Chain:
        """Of somebody who has a certificate of another CA."""
        ...


class Empowered(Protocol):
    """Who goes by what the operator stated and certified."""

    async def accept(self, signed: SignedAcceptance) -> None:
        """These other CAs count from now on. Raises RefusedError."""
        ...

    async def prepare(self) -> SuccessionRequest:
        """The request for the next certificates. Raises RefusedError."""
        ...

    async def take_over(self, certificates: Chain) -> None:
        """Issue with what the operator made of it, DER. Raises RefusedError."""
        ...


class Registrar(Protocol):
    """Who keeps the list of what is revoked."""

    async def revoke(self, entry: Revoked) -> SignedRevocations:
        """The list with this entry, which may be repeated. Raises RefusedError."""
        ...

    async def relist(self, known: SignedRevocations | None) -> SignedRevocations:
        """The next list, with what stands in ``known``. Raises RefusedError."""
        ...


@attrs.frozen
class _Waiting:
    question: Asked
    answer: Deferred[Any]


def begin_of(identity: IdentityFolder, settings: WsSettings) -> Begin:
    """How the authority of the web server with this folder and these settings begins."""
    member = identity.member()
    return Begin(
        folder=str(identity.authority),
        user=settings.authority_user,
        name=member.name.uri(),
        common_name=member.common_name,
        lifetime=settings.token_lifetime,
        job_lifetime=settings.job_token_lifetime,
    )


class AuthorityChild:
    """One token authority, whichever process it is just now. ``trouble`` says why it cannot issue, or is empty."""

    def __init__(self, reactor: PosixReactorBase, begin: Begin) -> None:
        self._reactor = reactor
        self._begin = begin
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Waiting] = {}
        self._process: AuthorityProcess | None = None
        self._restart: DelayedCall | None = None
        self._pause = limits.RESTART_FIRST
        self._first: Deferred[None] | None = Deferred()
        self._closed: Deferred[None] | None = None
        self.trouble = "it was not started yet"
        self.ready: Ready | None = None
        """What the process said of itself when it began; None while there is none."""
        self.restarts = 0

    @property
    def not_after(self) -> dt.datetime | None:
        """When its own certificate ends, and with it all issuing; None while it is not known."""
        return None if self.ready is None else dt.datetime.fromtimestamp(self.ready.not_after, dt.UTC)

    @property
    def record_not_after(self) -> dt.datetime | None:
        """When its record key's certificate ends, and with it all lists; None while it is not known."""
        return None if self.ready is None else dt.datetime.fromtimestamp(self.ready.record_not_after, dt.UTC)

    @property
    def separation(self) -> Separation | None:
        """Whether its keys are out of this process's reach; None while there is none."""
        if self.ready is None:
            return None
        return authority_separation(
            ws_is_root=os.geteuid() == 0, authority_user=self.ready.user, apart=self.ready.apart
        )

    @property
    def pid(self) -> int | None:
        """The process number; None while there is none."""
        return None if self._process is None else self._process.pid

    def document(self) -> dict[str, Any]:
        """What the web server's status says of it."""
        until = self.not_after
        return {
            "issues": self.ready is not None,
            "trouble": self.trouble,
            "user": None if self.ready is None else self.ready.user,
            "own_account": self.ready is not None and self.ready.apart,
            "until": None if until is None else until.isoformat(timespec="seconds"),
            "restarts": self.restarts,
            "separate": self.separation is not None and self.separation.holds,
            "separation": "" if self.separation is None else self.separation.sentence,
        }

    async def start(self) -> None:
        """Start the process and wait until it can issue. Raises ConfigError with its reason when it cannot."""
        first = self._first
        assert first is not None
        self._begin_process()
        first.addTimeout(limits.READY, self._reactor)
        try:
            await first
        except TimeoutError:
            raise ConfigError(f"the token authority was not ready within {limits.READY:.0f} s") from None
        finally:
            self._first = None

    async def close(self) -> None:
        """End the process; returns when it is gone. Whoever waits is refused."""
        self._closed = self._closed or Deferred()
        if self._restart is not None and self._restart.active():
            self._restart.cancel()
        for asked in list(self._asked.values()):
            asked.answer.errback(CannotIssueError("it stops"))
        if self._process is not None:
            self._process.end(limits.FAREWELL)
            await self._closed

    async def own(self, token_request: bytes) -> Chain:
        """See Issuer."""
        chain: Chain = await self._ask(Own(next(self._numbers), token_request))
        return chain

    async def enrol(self, request: EnrolmentRequest, chain: Chain) -> Chain:
        """See Issuer."""
        issued: Chain = await self._ask(Enrol(next(self._numbers), request, chain))
        return issued

    async def renew(self, request: RenewalRequest) -> Chain:
        """See Issuer."""
        chain: Chain = await self._ask(Renew(next(self._numbers), request))
        return chain

    async def present(self, request: PresentationRequest) -> Chain:
        """See Issuer."""
        chain: Chain = await self._ask(Present(next(self._numbers), request))
        return chain

    async def accept(self, signed: SignedAcceptance) -> None:
        """See Empowered."""
        await self._ask(Accept(next(self._numbers), signed))

    async def prepare(self) -> SuccessionRequest:
        """See Empowered."""
        request: SuccessionRequest = await self._ask(Prepare(next(self._numbers)))
        return request

    async def take_over(self, certificates: Chain) -> None:
        """See Empowered."""
        self.ready = await self._ask(TakeOver(next(self._numbers), certificates))

    async def certify_job(self, request: JobTokenRequest) -> Chain:
        """See Issuer."""
        chain: Chain = await self._ask(JobToken(next(self._numbers), request))
        return chain

    async def revoke(self, entry: Revoked) -> SignedRevocations:
        """See Registrar."""
        newest: SignedRevocations = await self._ask(Revoke(next(self._numbers), entry))
        return newest

    async def relist(self, known: SignedRevocations | None) -> SignedRevocations:
        """See Registrar."""
        newest: SignedRevocations = await self._ask(Relist(next(self._numbers), known))
        return newest

    async def _ask(self, question: Asked) -> Any:
        """What the authority answers. Raises RefusedError: the rules' own, or CannotIssueError."""
        if self._closed is not None:
            raise CannotIssueError("it stops")
        if len(self._asked) >= limits.WAITING:
            raise CannotIssueError(f"{limits.WAITING} requests wait already")
        answer: Deferred[Any] = Deferred()
        self._asked[question.id] = _Waiting(question, answer)
        answer.addTimeout(limits.PATIENCE, self._reactor)
        if self.ready is not None and self._process is not None:
            self._process.send(question)
        try:
            return await answer
        except TimeoutError:
            raise CannotIssueError(self.trouble or "it does not answer") from None
        finally:
            del self._asked[question.id]

    # --- the process ------------------------------------------------------------------------------------

    def _begin_process(self) -> None:
        try:
            self._process = AuthorityProcess(self._reactor, self._received, self._gone)
        except OSError as error:
            self._ended(f"it cannot be started: {error}")
            return
        self._process.send(self._begin)

    def _received(self, answer: Answer) -> None:
        match answer:
            case Ready():
                self._serves(answer)
            case Refused(0, _, sentence):
                self.trouble = sentence
                if self._first is not None and not self._first.called:
                    self._first.errback(ConfigError(f"the token authority cannot begin: {sentence}"))
            case (
                Issued(number, outcome)
                | Listed(number, outcome)
                | Prepared(number, outcome)
                | TookOver(number, outcome)
            ):
                self._settle(number, outcome)
            case Accepted(number):
                self._settle(number, None)
            case Refused(number, code, sentence):
                self._settle(number, Failure(RefusedError(code, sentence)))

    def _serves(self, ready: Ready) -> None:
        self.ready, self.trouble = ready, ""
        _log.info("the token authority is process {pid}", pid=self.pid)
        if self.separation is not None and not self.separation.holds:
            _log.warn("{separation}", separation=self.separation.sentence)
        for asked in list(self._asked.values()):
            assert self._process is not None
            self._process.send(asked.question)
        if self._first is not None and not self._first.called:
            self._first.callback(None)

    def _settle(self, number: int, outcome: object) -> None:
        asked = self._asked.get(number)
        if asked is not None and not asked.answer.called:
            asked.answer.callback(outcome)

    def _gone(self, lived: float, why: str) -> None:
        self._process = None
        was_ready, self.ready = self.ready is not None, None
        if self._closed is not None:
            self._closed.callback(None)
            return
        if lived >= limits.RESTART_MOST:
            self._pause = limits.RESTART_FIRST
        self._ended(why if was_ready or not self.trouble else self.trouble)

    def _ended(self, why: str) -> None:
        self.trouble = f"the token authority ended: {why}"
        self.restarts += 1
        _log.error("no certificates can be issued: {why}; it is started again in {pause:.1f} s", why=self.trouble,
                   pause=self._pause)  # fmt: skip
        self._restart = self._reactor.callLater(self._pause, self._begin_process)
        self._pause = min(limits.RESTART_MOST, 2 * self._pause)
