"""The web server's own token certificate: made by its authority, for keys that live in this process only."""

from __future__ import annotations

import attrs

from rjs.identity.certificates import Identity
from rjs.identity.folder import Member
from rjs.identity.keys import new_key
from rjs.identity.paths import read_chain
from rjs.identity.requests import make_request, request_der
from ws.authority.child import Issuer


@attrs.frozen
class OwnCertificate:
    """Whose certificate it is, and who issues it."""

    member: Member
    issuer: Issuer

    async def next(self) -> Identity:
        """A fresh key with a fresh certificate. Raises RefusedError."""
        key = new_key()
        request = make_request(key, self.member.name.uri(), self.member.common_name)
        return Identity(key, read_chain(await self.issuer.own(request_der(request))))
