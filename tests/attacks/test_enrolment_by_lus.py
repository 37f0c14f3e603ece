"""Attack: a lookup server carries an enrolment. It swaps keys, repeats, carries for another invitation, invents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rjs.background import ImmediateWorkers
from rjs.identity.certificates import Identity
from rjs.identity.enrolment import EnrolmentRequest, signed_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder
from rjs.identity.invitation import Invitation
from rjs.identity.keys import Chain, new_key, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import read_chain
from rjs.identity.peers import identify
from rjs.identity.requests import make_request, request_der
from rjs.identity.revocation import Revoked, RevokedError, What
from rjs.identity.testing import Organisation
from rjs.storage import ImmediateStorage, open_database
from ws import store
from ws.authority.testing import RulesIssuer
from ws.homes import Homes
from ws.members import Members


class Cluster:
    """A web server's members with its authority's rules, a lookup server in the attacker's hands, and joiners."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        self.lus = self.organisation.member(Role.LUS)
        self.issuer = RulesIssuer(self.organisation.tokens, RjsName(Role.WS, "a" * 32))
        database = open_database(folder / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID)
        self.storage = ImmediateStorage(database)
        (folder / "home").mkdir()
        homes = Homes(folder / "home")
        self.members = Members(self.storage, ImmediateWorkers(), homes, self.issuer, self.organisation.root)

    def asks(self, invitation: Invitation, place: str) -> EnrolmentRequest:
        """The request of an honest joiner."""
        return IdentityFolder(self.folder / place).create_pending(invitation, self.organisation.now)

    def carry(self, request: EnrolmentRequest, chain: Chain | None, who: Identity | None = None) -> Any:
        """What the web server says to ``who``, else the lookup server: a chain of DER, or the error."""
        peer = identify((who or self.lus).chain, self.organisation.root)
        carried = () if chain is None else tuple(each.public_bytes(Encoding.DER) for each in chain)
        ended: list[Any] = []
        Deferred.fromCoroutine(self.members.enrol(peer, request, carried)).addBoth(ended.append)
        return ended[0].value if isinstance(ended[0], Failure) else ended[0]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster(tmp_path)
    yield found
    found.storage.close()


ROLES = [Role.CS, Role.USER, Role.LUS, Role.ADMIN]


def attackers_request(invitation: Invitation, key: Any) -> bytes:
    """A request for the invited name with a key of the attacker's."""
    return request_der(make_request(key, invitation.subject.uri(), "x"))


def test_what_is_carried_is_judged_as_if_it_came_itself(cluster: Cluster) -> None:
    """An honest lookup server makes a member of whoever was invited, of each role, and of nobody else."""
    for role in ROLES:
        invitation = cluster.organisation.invitation(role)
        request = cluster.asks(invitation, role)
        chain = read_chain(cluster.carry(request, invitation.identity.chain))
        member = IdentityFolder(cluster.folder / role).complete(invitation, chain, cluster.organisation.now)
        assert member.name == invitation.subject


@pytest.mark.parametrize("role", ROLES)
def test_it_swaps_a_key(cluster: Cluster, role: Role) -> None:
    """With a key of its own in the place of the joiner's the request is refused, and the invitation stays good."""
    invitation = cluster.organisation.invitation(role)
    honest, key = cluster.asks(invitation, "joiner"), new_key()
    for swapped in (
        msgspec.structs.replace(honest, token_request=attackers_request(invitation, key)),
        signed_enrolment(
            key, attackers_request(invitation, key), honest.answer_certificate, honest.signing_request
        ),
    ):
        assert cluster.carry(swapped, invitation.identity.chain).code == "identity.proof"
    assert cluster.members.accounts == {} and cluster.members.answer_keys == {}
    assert isinstance(cluster.carry(honest, invitation.identity.chain), tuple)


def test_it_swaps_the_answer_or_the_signing_key(cluster: Cluster) -> None:
    """Neither of another compute server nor of another person: the one-time key's proof covers both."""
    cs, other = (cluster.organisation.invitation(Role.CS) for _ in range(2))
    theirs = cluster.asks(other, "other").answer_certificate
    swapped = msgspec.structs.replace(cluster.asks(cs, "cs"), answer_certificate=theirs)
    assert cluster.carry(swapped, cs.identity.chain).code == "identity.proof"
    ada, eve = (cluster.organisation.invitation(Role.USER, name) for name in ("ada", "eve"))
    signing = cluster.asks(eve, "eve").signing_request
    swapped = msgspec.structs.replace(cluster.asks(ada, "ada"), signing_request=signing)
    assert cluster.carry(swapped, ada.identity.chain).code == "identity.proof"


def test_it_repeats(cluster: Cluster) -> None:
    """The same request again gets certificates for the joiner's key, which the lookup server does not have;
    another key for a used invitation gets nothing, though its holder signs it."""
    invitation = cluster.organisation.invitation(Role.LUS)
    request = cluster.asks(invitation, "joiner")
    keys = {
        spki_digest(x509.load_der_x509_certificate(cluster.carry(request, invitation.identity.chain)[0]))
        for _ in range(3)
    }
    assert len(keys) == 1
    later = signed_enrolment(invitation.identity.key, attackers_request(invitation, new_key()))
    assert cluster.carry(later, invitation.identity.chain).code == "invitation-used"


def test_it_carries_for_another_invitation(cluster: Cluster) -> None:
    """A request goes with the invitation whose key made the proof, with no other: not of the same role either."""
    for role, other in ((Role.USER, Role.ADMIN), (Role.CS, Role.CS)):
        mine, better = cluster.organisation.invitation(role), cluster.organisation.invitation(other)
        refused = cluster.carry(cluster.asks(mine, f"{role}-{other}"), better.identity.chain)
        assert refused.code == "identity.proof"


def test_it_invents(cluster: Cluster) -> None:
    """Its own certificate invites nobody, nor one that it signed; nothing is no invitation, and an answer
    certificate or garbage neither."""
    organisation = cluster.organisation
    invitation = organisation.invitation(Role.CS)
    request = cluster.asks(invitation, "joiner")
    stranger = Organisation(organisation.now).invitation(Role.CS)
    for chain, code in (
        (cluster.lus.chain, "identity.not_invited"),
        (stranger.identity.chain, "identity.other_root"),
        ((*invitation.identity.chain[:-1], stranger.identity.chain[-1]), "identity.other_root"),
        ((cluster.lus.chain[0], *invitation.identity.chain[1:]), "identity.issuer"),
        (organisation.answer(invitation).chain, "identity.not_invited"),
        (None, "identity.chain_length"),
    ):
        assert cluster.carry(request, chain).code == code
    ended: list[Any] = []
    peer = identify(cluster.lus.chain, organisation.root)
    Deferred.fromCoroutine(cluster.members.enrol(peer, request, (b"\x30\x00",))).addBoth(ended.append)
    assert ended[0].value.code == "identity.unreadable"
    assert cluster.issuer.log == [] and cluster.members.answer_keys == {}


def test_an_invitation_carries_no_other(cluster: Cluster) -> None:
    """Whoever holds one invitation, or is a member of another role, cannot bring what goes with another."""
    mine, other = (cluster.organisation.invitation(Role.USER, name) for name in ("ada", "eve"))
    request = cluster.asks(other, "eve")
    for who in (mine.identity, cluster.organisation.member(Role.USER), cluster.organisation.member(Role.CS)):
        assert cluster.carry(request, other.identity.chain, who).code == "not-yours"


def test_a_revoked_invitation_leaves_no_trace(cluster: Cluster) -> None:
    """Though the lookup server that brings it is in good standing: no account, no home, and it is not used up."""
    entry = Revoked(What.MEMBER, "rjs://user/ada", cluster.organisation.now.timestamp())

    def refuse(chain: Chain, name: RjsName) -> None:
        assert name.uri() == entry.id
        raise RevokedError(entry)

    invitation = cluster.organisation.invitation(Role.USER)
    cluster.members.check_caller = refuse
    assert cluster.carry(cluster.asks(invitation, "ada"), invitation.identity.chain).code == "revoked"
    assert cluster.members.accounts == {} and list((cluster.folder / "home").iterdir()) == []


def test_it_answers_with_another_certificate(cluster: Cluster) -> None:
    """A certificate of the lookup server's own choice makes no member: the joiner refuses it, and may try again."""
    organisation = cluster.organisation
    invitation = organisation.invitation(Role.CS)
    request = cluster.asks(invitation, "joiner")
    folder = IdentityFolder(cluster.folder / "joiner")
    another = organisation.member(Role.CS, invitation.subject.id)
    stolen = read_chain(cluster.carry(request, invitation.identity.chain))
    renamed = organisation.member(Role.LUS)
    for chain in (another.chain, renamed.chain, Organisation(organisation.now).member(Role.CS).chain):
        with pytest.raises(IdentityError):
            folder.complete(invitation, chain, organisation.now)
        assert not folder.is_joined
    assert folder.complete(invitation, stolen, organisation.now).name == invitation.subject
