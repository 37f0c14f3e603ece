"""Members: turns invitations into token certificates, and knows the accounts and the enrolled answer keys.

The invitation is recorded as used, durably, before a certificate is issued; the same key asking again (its
reply was lost) gets a certificate again, another key is refused.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from functools import partial

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.logger import Logger

from rjs.background import Workers
from rjs.errors import RefusedError
from rjs.identity.authority import TokenAuthority
from rjs.identity.enrolment import CheckedEnrolment, EnrolmentRequest, check_enrolment
from rjs.identity.keys import spki_digest
from rjs.identity.names import Role
from rjs.identity.peers import PeerIdentity
from rjs.storage import Connection, Storage
from ws import store
from ws.homes import Homes

_log = Logger("ws.members")


@attrs.define
class Members:
    """Everyone who ever joined. ``accounts`` and ``answer_keys`` mirror the database; ``new_home`` hears of each."""

    storage: Storage
    workers: Workers
    homes: Homes
    authority: TokenAuthority
    root: x509.Certificate
    accounts: dict[str, frozenset[str]] = attrs.field(factory=dict)
    answer_keys: dict[str, str] = attrs.field(factory=dict)
    new_home: Callable[[], object] = lambda: None

    async def load(self) -> None:
        """Read what is recorded; homes that a killed process did not make are made."""
        self.accounts, self.answer_keys = await self.storage.read(_mirror)
        for account in self.accounts:
            await self.workers.run(partial(self.homes.create, account))

    def signers(self, account: str) -> frozenset[str]:
        """The signing keys that the account lists; none for an unknown account."""
        return self.accounts.get(account, frozenset())

    async def enrol(self, peer: PeerIdentity, request: EnrolmentRequest) -> tuple[bytes, ...]:
        """The new member's token chain, DER, leaf first. Raises RefusedError."""
        now = dt.datetime.now(dt.UTC)
        checked = check_enrolment(request, peer.chain, self.root, now)
        recorded = await self.storage.write(
            partial(store.record_member, joining=_joining(checked), wall=time.time())
        )
        if not recorded:
            raise RefusedError(
                "invitation-used",
                "this invitation was used already; ask the operator for another: rjs ca invite",
            )
        self.accounts, self.answer_keys = await self.storage.read(_mirror)
        if checked.name.role is Role.USER:
            await self.workers.run(partial(self.homes.create, checked.name.id))
            self.new_home()
        chain = self.authority.issue(checked.token_public_key, checked.name, checked.common_name, now)
        _log.info("{name} ({common}) joined", name=checked.name.uri(), common=checked.common_name)
        return tuple(each.public_bytes(Encoding.DER) for each in chain)


def _mirror(db: Connection) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    return store.accounts(db), store.answer_keys(db)


def _joining(checked: CheckedEnrolment) -> store.Joining:
    return store.Joining(
        serial=checked.serial,
        role=checked.name.role.value,
        id=checked.name.id,
        common_name=checked.common_name,
        token_spki=spki_digest(checked.token_public_key),
        answer_spki=checked.answer_spki,
        signing_spki=checked.signing_spki,
    )
