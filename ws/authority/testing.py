"""The authority's rules without its process: an ``Issuer`` for tests of what asks for certificates."""

from __future__ import annotations

from rjs.identity.authority import TokenAuthority
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.job_tokens import JobTokenRequest
from rjs.identity.names import RjsName
from rjs.identity.presenting import PresentationRequest
from rjs.identity.renewal import RenewalRequest
from rjs.wall_time import Wall, utc_now
from ws.authority.limits import LONGEST_LIFETIME
from ws.authority.log import History, IssuedToken
from ws.authority.messages import Certified, Enrol, JobToken, Own, Present, Renew
from ws.authority.rates import Rates
from ws.authority.rules import Authority


class RulesIssuer:
    """Decides at once, at the time that ``wall`` says; ``log`` keeps what was issued."""

    def __init__(
        self,
        tokens: TokenAuthority,
        own: RjsName,
        lifetime: int = LONGEST_LIFETIME,
        wall: Wall = utc_now,
    ) -> None:
        self.authority = Authority(tokens, own, "web server of tests", lifetime, History(), Rates(0.0))
        self.log: list[IssuedToken] = []
        self._wall = wall

    async def own(self, token_request: bytes) -> tuple[bytes, ...]:
        """See Issuer."""
        return self.decide(Own(1, token_request))

    async def enrol(self, request: EnrolmentRequest, chain: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """See Issuer."""
        return self.decide(Enrol(1, request, chain))

    async def renew(self, request: RenewalRequest) -> tuple[bytes, ...]:
        """See Issuer."""
        return self.decide(Renew(1, request))

    async def present(self, request: PresentationRequest) -> tuple[bytes, ...]:
        """See Issuer."""
        return self.decide(Present(1, request))

    async def certify_job(self, request: JobTokenRequest) -> tuple[bytes, ...]:
        """See Issuer."""
        return self.decide(JobToken(1, request))

    def decide(self, question: Certified | Present) -> tuple[bytes, ...]:
        """The chain. Raises RefusedError."""
        now = self._wall()
        grant = self.authority.decide(question, now, now.timestamp())
        if grant.line is not None:
            self.log.append(grant.line)
        return grant.chain
