"""Members: turns invitations into token certificates, and knows the accounts and the enrolled answer keys.

The invitation is recorded as used, durably, before a certificate is issued; the same key asking again (its
reply was lost) gets a certificate again, another key is refused. Certificates are the token authority's, which
judges every request again by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import attrs
from cryptography import x509
from twisted.logger import Logger

from rjs.background import Workers
from rjs.errors import RefusedError
from rjs.identity.accepted_cas import Acceptance
from rjs.identity.ca import cluster_of
from rjs.identity.enrolment import CheckedEnrolment, EnrolmentRequest, check_enrolment
from rjs.identity.foreign import guest_name
from rjs.identity.keys import Chain, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import chain_der, read_chain
from rjs.identity.peers import PeerIdentity
from rjs.identity.presenting import AccountTakenError, PresentationRequest, check_presentation
from rjs.identity.renewal import RenewalRequest, check_renewal
from rjs.limits import FOREIGN_SIGNERS
from rjs.listing import ListingRequest, check_listing
from rjs.storage import Connection, Storage
from rjs.wall_time import Wall, utc_now
from ws import store
from ws.authority.child import Issuer
from ws.homes import Homes

_log = Logger("ws.members")

_CARRIED = frozenset({Role.CS, Role.USER, Role.ADMIN})
"""Whose renewals a LUS may bring; one of its own goes by its own connection."""


@attrs.define
class Members:
    """Everyone who ever joined. ``accounts``, ``answer_keys`` and ``joined`` mirror the database; ``new_home`` hears
    of each new account."""

    storage: Storage
    workers: Workers
    homes: Homes
    issuer: Issuer
    root: x509.Certificate
    accounts: dict[str, frozenset[str]] = attrs.field(factory=dict)
    answer_keys: dict[str, str] = attrs.field(factory=dict)
    joined: dict[str, float] = attrs.field(factory=dict)
    new_home: Callable[[], object] = lambda: None
    wall: Wall = utc_now
    accepted: Callable[[], Acceptance | None] = lambda: None
    """What the operator says of other CAs now."""
    check_caller: Callable[[Chain, RjsName], None] = lambda chain, name: None
    """Raises RevokedError for an invitation that is revoked, or whom it invites: whoever carried it is not."""

    async def load(self) -> None:
        """Read what is recorded; homes that a killed process did not make are made."""
        self.accounts, self.answer_keys, self.joined = await self.storage.read(_mirror)
        for account in self.accounts:
            await self.workers.run(partial(self.homes.create, account))

    def signers(self, account: str) -> frozenset[str]:
        """The signing keys that the account lists; none for an unknown account."""
        return self.accounts.get(account, frozenset())

    async def enrol(
        self, peer: PeerIdentity, request: EnrolmentRequest, carried: tuple[bytes, ...] = ()
    ) -> tuple[bytes, ...]:
        """The new member's token chain, DER, leaf first. Raises RefusedError.

        ``peer`` brought it: whoever joins, by the invitation; or a LUS, which says the invitation's chain in
        ``carried``. The proof in the request is that chain's: a LUS brings nothing that the joiner did not ask for.
        """
        now, invitation = self.wall(), _invitation(peer, carried)
        checked = check_enrolment(request, invitation, self.root, now)
        self.check_caller(invitation, checked.name)
        recorded = await self.storage.write(
            partial(store.record_member, joining=_joining(checked), wall=now.timestamp())
        )
        if not recorded:
            raise RefusedError(
                "invitation-used",
                "this invitation was used already; ask the operator for another: rjs ca invite",
            )
        self.accounts, self.answer_keys, self.joined = await self.storage.read(_mirror)
        if checked.name.role is Role.USER:
            await self.workers.run(partial(self.homes.create, checked.name.id))
            self.new_home()
        chain = await self.issuer.enrol(request, chain_der(invitation))
        _log.info("{name} ({common}) joined", name=checked.name.uri(), common=checked.common_name)
        return chain

    async def renew(self, peer: PeerIdentity, request: RenewalRequest) -> tuple[bytes, ...]:
        """The next token chain of the member that made ``request``, DER, leaf first. Raises RefusedError.

        ``peer`` brought it: the member itself, or a LUS for a compute server or a person.
        """
        name = check_renewal(request, self.root, self.wall()).name
        carried = peer.name.role is Role.LUS and name.role in _CARRIED
        if name != peer.certified and not carried:
            raise RefusedError("not-yours", f"{peer.name.uri()} cannot ask for a certificate of {name.uri()}")
        chain = await self.issuer.renew(request)
        _log.info("renewed the certificate of {name}", name=name.uri())
        return chain

    async def present(self, peer: PeerIdentity, request: PresentationRequest) -> tuple[bytes, ...]:
        """The token chain of whoever presents a certificate of another CA, DER, leaf first; the account is made where
        there is none, and lists its signing key. Raises RefusedError."""
        now = self.wall()
        checked = check_presentation(request, self.accepted(), cluster_of(self.root), now)
        if guest_name(checked.meant.path[0]) != peer.name:
            raise RefusedError("not-yours", f"{peer.name.uri()} shows another certificate than it presents")
        account, spki = checked.meant.account, checked.signing_spki
        if not checked.meant.listed and await self.storage.read(partial(store.is_invited, account=account)):
            raise AccountTakenError(account)
        chain = await self.issuer.present(request)
        recorded = await self.storage.write(
            partial(store.record_guest, account=account, signing_spki=spki, wall=now.timestamp())
        )
        if not recorded:
            raise _too_many_signers(account)
        self.accounts, self.answer_keys, self.joined = await self.storage.read(_mirror)
        await self.workers.run(partial(self.homes.create, account))
        self.new_home()
        _log.info("{name} presented {evidence}", name=checked.meant.name.uri(), evidence=checked.evidence)
        return chain

    async def list_signer(self, account: str, request: ListingRequest) -> None:
        """Have the account list the key that made ``request``. Raises RefusedError."""
        listed = check_listing(request, cluster_of(self.root), account, self.wall())
        recorded = await self.storage.write(partial(store.list_signer, account=account, spki=listed.spki))
        if not recorded:
            raise _too_many_signers(account)
        self.accounts, self.answer_keys, self.joined = await self.storage.read(_mirror)
        _log.info("{account} lists the signing key {spki} ({subject})", account=account, spki=listed.spki,
                  subject=listed.subject)  # fmt: skip


def _too_many_signers(account: str) -> RefusedError:
    return RefusedError(
        "too-many-signers",
        f"the account {account} lists {FOREIGN_SIGNERS} signing keys; use one of its folders",
    )


def _invitation(peer: PeerIdentity, carried: tuple[bytes, ...]) -> Chain:
    """The chain of the invitation with which a request came."""
    if peer.name.role is Role.LUS:
        return read_chain(carried)
    if carried:
        raise RefusedError("not-yours", f"{peer.name.uri()} carries nobody's enrolment but its own")
    return peer.chain


def _mirror(db: Connection) -> tuple[dict[str, frozenset[str]], dict[str, str], dict[str, float]]:
    return store.accounts(db), store.answer_keys(db), store.joined(db)


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
