"""What the token authority certifies: the rules, without keys on disk, sockets or clocks.

It believes nothing that the web server says. Who gets a certificate has proved to the authority itself who it is: by
an invitation's one-time key, or by the key of the certificate that is renewed. Only for its own name does the web
server need no proof. What is certified is a token of at most 48 hours; the key could sign nothing else that counts.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict

import attrs

from rjs.errors import RefusedError
from rjs.identity.accepted_cas import Acceptance
from rjs.identity.authority import TokenAuthority
from rjs.identity.ca import cluster_of
from rjs.identity.enrolment import check_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import serial_of
from rjs.identity.job_tokens import check_job_token, job_name
from rjs.identity.keys import PublicKey, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import chain_der, read_chain
from rjs.identity.presenting import (
    AccountTakenError,
    PresentAgainError,
    PresentationRequest,
    check_presentation,
)
from rjs.identity.renewal import check_renewal
from rjs.identity.requests import read_request
from rjs.identity.revocation import Revocations, RevokedError
from rjs.identity.succession import ended
from rjs.limits import JOB_TOKEN_LIFETIME
from ws.authority import limits
from ws.authority.log import History, IssuedToken
from ws.authority.messages import Certified, Enrol, JobToken, Own, Present, Renew
from ws.authority.rates import JOBS, Rates

_REPEATED = frozenset({"renewal", "job", "presentation"})
"""Kinds of request that get the same certificate again when they are repeated."""


@attrs.frozen
class Grant:
    """A certificate that was made: it may leave once ``line`` is durable; None: it left before, and is repeated."""

    chain: tuple[bytes, ...]
    line: IssuedToken | None


@attrs.frozen
class _Order:
    """What was proved: who shall be certified for which key, by what, and whose asking it counts as. An enrolment is
    the invitation's: a lookup server that repeats it uses up none of the member's renewals."""

    public_key: PublicKey
    name: RjsName
    common_name: str
    kind: str
    evidence: str
    asker: str
    until: dt.datetime | None = None
    """What the certificate must not outlive."""


@attrs.define(eq=False)
class Authority:
    """The rules with what they remember: ``history``, and which other CAs the operator accepts.

    Lifetimes are in seconds: no job token lives longer than a member's certificate. Job tokens are counted apart, so
    that they keep no member from renewing.
    """

    tokens: TokenAuthority
    own: RjsName
    common_name: str
    lifetime: int
    history: History
    rates: Rates
    revocations: Revocations | None = None
    acceptance: Acceptance | None = None
    job_lifetime: int = JOB_TOKEN_LIFETIME
    job_rates: Rates = attrs.field(factory=lambda: Rates(0.0, JOBS))
    _repeats: OrderedDict[str, Grant] = attrs.field(factory=OrderedDict)

    def __attrs_post_init__(self) -> None:
        if not limits.SHORTEST_LIFETIME <= self.lifetime <= limits.LONGEST_LIFETIME:
            raise IdentityError(
                "lifetime",
                f"token certificates live for {limits.SHORTEST_LIFETIME} to {limits.LONGEST_LIFETIME} seconds, "
                f"not {self.lifetime}",
            )
        if not limits.SHORTEST_JOB_LIFETIME <= self.job_lifetime <= JOB_TOKEN_LIFETIME:
            raise IdentityError(
                "lifetime",
                f"job tokens live for {limits.SHORTEST_JOB_LIFETIME} to {JOB_TOKEN_LIFETIME} seconds, "
                f"not {self.job_lifetime}",
            )
        self.job_lifetime = min(self.job_lifetime, self.lifetime)
        if self.own.role is not Role.WS:
            raise IdentityError("name", f"{self.own.uri()} is no web server")

    def decide(self, question: Certified | Present, now: dt.datetime, steady: float) -> Grant:
        """The certificate that was asked for. ``steady`` is the time by which rates are counted.

        1. The evidence holds: see ``check_enrolment``, ``check_renewal``, ``check_presentation``,
           ``check_job_token``.
        2. The same request again gets the same certificate again.
        3. An invitation certifies one key, however often it is shown.
        4. Neither who asks nor all together were certified too often.

        What it shows as evidence must not be revoked (1).

        Raises RefusedError.
        """
        order = self._proved(question, now)  # 1
        repeated = self._repeats.get(order.evidence) if order.kind in _REPEATED else None  # 2
        if repeated is not None:
            return attrs.evolve(repeated, line=None)
        if order.kind == "enrolment":  # 3
            self._use(order)
        rates = self.job_rates if order.kind == "job" else self.rates
        rates.take(order.asker, steady)  # 4
        return self._issue(order, now)

    def _proved(self, question: Certified | Present, now: dt.datetime) -> _Order:
        root = self.tokens.root
        match question:
            case Own(_, token_request):
                key, uri = read_request(token_request)
                if uri != self.own.uri():
                    raise IdentityError("other_name", f"this web server is {self.own.uri()}, not {uri!r}")
                return _Order(key, self.own, self.common_name, "own", "", self.own.uri())
            case Enrol(_, request, encoded):
                joiner = check_enrolment(request, read_chain(encoded), root, now)
                self._check_not_revoked(encoded, joiner.name)
                return _Order(
                    joiner.token_public_key,
                    joiner.name,
                    joiner.common_name,
                    "enrolment",
                    joiner.serial,
                    f"invitation {joiner.serial}",
                )
            case Renew(_, renewal):
                member = check_renewal(renewal, root, now)
                self._check_not_revoked(renewal.chain, member.name)
                if member.name.role is Role.WS:
                    raise IdentityError("role", "a web server has its certificates made, and renews none")
                if serial_of(read_chain(renewal.chain)[0]) in self.history.presented:
                    raise PresentAgainError(member.name)
                return _Order(
                    member.public_key,
                    member.name,
                    member.common_name,
                    "renewal",
                    member.digest.hex(),
                    member.name.uri(),
                )
            case Present(_, presentation):
                return self._presented(presentation, now)
            case JobToken(_, asked):
                job = check_job_token(asked, root, now)
                self._check_not_revoked(asked.chain, job.cs)
                label = f"task {job.attempt.task} of {job.attempt.job[:16]}"
                return _Order(
                    job.public_key, job_name(job.attempt), label, "job", job.digest.hex(), job.cs.uri()
                )

    def _presented(self, request: PresentationRequest, now: dt.datetime) -> _Order:
        """A certificate of another CA never takes over who joined by an invitation, unless the operator listed it,
        and never brings back who was revoked."""
        checked = check_presentation(request, self.acceptance, cluster_of(self.tokens.root), now)
        name, revoked = checked.meant.name, self.revocations
        if name.uri() in self.history.invited and not checked.meant.listed:
            raise AccountTakenError(name.id)
        entry = revoked and (revoked.member(name) or revoked.certificates(checked.meant.path))
        if entry:
            raise RevokedError(entry)
        key, evidence = checked.token_public_key, checked.evidence
        return _Order(key, name, name.id, "presentation", evidence, name.uri(), checked.until)

    def _check_not_revoked(self, encoded: tuple[bytes, ...], name: RjsName) -> None:
        entry = self.revocations and self.revocations.caller(read_chain(encoded), name)
        if entry:
            raise RevokedError(entry)

    def _use(self, order: _Order) -> None:
        digest = spki_digest(order.public_key)
        if self.history.used.setdefault(order.evidence, digest) != digest:
            raise RefusedError(
                "invitation-used",
                "this invitation was used already; ask the operator for another: rjs ca invite",
            )

    def _issue(self, order: _Order, now: dt.datetime) -> Grant:
        if now >= self.tokens.not_after:
            raise ended("token intermediate", self.tokens.not_after)
        lifetime: float = self.job_lifetime if order.kind == "job" else self.lifetime
        if order.until is not None:
            lifetime = min(lifetime, (order.until - now).total_seconds())
        chain = self.tokens.issue(order.public_key, order.name, order.common_name, now, lifetime)
        line = IssuedToken(
            when=now,
            kind=order.kind,
            name=order.name.uri(),
            serial=serial_of(chain[0]),
            spki=spki_digest(order.public_key),
            until=chain[0].not_valid_after_utc,
            evidence=order.evidence,
        )
        self.history.add(line)
        grant = Grant(chain_der(chain), line)
        if order.kind in _REPEATED:
            self._repeats[order.evidence] = grant
            if len(self._repeats) > limits.REPEATS:
                self._repeats.popitem(last=False)
        return grant
