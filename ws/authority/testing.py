"""The authority's rules without its process: an ``Issuer`` for tests of what asks for certificates."""

from __future__ import annotations

from rjs.identity.authority import TokenAuthority
from rjs.identity.enrolment import EnrolmentRequest
from rjs.identity.names import RjsName
from rjs.identity.renewal import RenewalRequest
from rjs.wall_time import Wall, utc_now
from ws.authority.limits import LONGEST_LIFETIME
from ws.authority.log import IssuedToken
from ws.authority.messages import Enrol, Own, Renew
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
        self.authority = Authority(tokens, own, "web server of tests", lifetime, {}, Rates(0.0))
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

    def decide(self, question: Own | Enrol | Renew) -> tuple[bytes, ...]:
        """The chain. Raises RefusedError."""
        now = self._wall()
        grant = self.authority.decide(question, now, now.timestamp())
        if grant.line is not None:
            self.log.append(grant.line)
        return grant.chain
