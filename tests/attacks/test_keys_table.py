"""Attack: play another key's part. Every kind of key tries everything that any kind of key is good for.

A cell of the table says what its holder is told: ``None`` where the part is its own, else the code of the refusal.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable

import attrs
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.base import ReactorBase

from rjs.answers.answer_jar import Exited, Receipt, open_answer, write_answer
from rjs.attempts import AttemptId, Fence
from rjs.bundle.seal_keys import check_recipients
from rjs.bundle.sign import sign_jar
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.identity.accepted_cas import PURPOSE as ACCEPTING
from rjs.identity.accepted_cas import AcceptanceStatement, SignedAcceptance, read_acceptance
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity, Issuer, Subject, mint, self_signed_reader, sign_certificate
from rjs.identity.enrolment import check_enrolment, signed_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation
from rjs.identity.job_tokens import job_name
from rjs.identity.keys import Chain, PrivateKey, new_key
from rjs.identity.names import Role, answer_uri, reader_uri, signer_uri
from rjs.identity.paths import check_chain
from rjs.identity.profiles import PROFILES, Kind
from rjs.identity.proofs import sign_statement
from rjs.identity.renewal import PURPOSE, RenewalRequest, RenewalStatement, check_renewal
from rjs.identity.requests import make_request, request_der
from rjs.identity.revocation import read_revocations, sign_revocations
from rjs.identity.testing import Organisation, meet
from rjs.identity.tls import PeerRefusedError, client_context, server_context
from rjs.ids import BundleId, ServerId, SpkiDigest

ORGANISATION = Organisation(dt.datetime.now(dt.UTC))
NOW, ROOT = ORGANISATION.now, ORGANISATION.root
CS = "c" * 32
ATTEMPT = AttemptId("ab" * 32, 7, Fence(1, 42, 3))
WS, LUS = ORGANISATION.member(Role.WS), ORGANISATION.member(Role.LUS)
ADAS, DESKS = ORGANISATION.invitation(Role.USER, "ada"), ORGANISATION.invitation(Role.CS)
EXPIRES = 4_000_000_000


@attrs.frozen
class Holder:
    """Somebody who has a key, and shows the certificates that belong to it."""

    key: PrivateKey = attrs.field(repr=False)
    chain: Chain

    @property
    def shown(self) -> Identity:
        """As an end of a connection, which shows all but the last certificate."""
        return Identity(self.key, self.chain if len(self.chain) > 1 else (*self.chain, ROOT))


def holder(identity: Identity) -> Holder:
    return Holder(identity.key, identity.chain)


def self_certified() -> Holder:
    key = new_key()
    return Holder(key, (self_signed_reader(key, reader_uri("ada"), "ada", "Institute of Tests", NOW),))


HOLDERS = {
    Kind.ROOT.value: Holder(ORGANISATION.root_issuer.key, (ROOT,)),
    Kind.ENROLMENT_CA.value: holder(ORGANISATION.enrolment),
    Kind.TOKEN_INTERMEDIATE.value: holder(ORGANISATION.intermediate),
    Kind.RECORD.value: holder(ORGANISATION.record),
    Kind.ACCEPTANCE.value: holder(ORGANISATION.acceptance),
    Kind.TOKEN.value: holder(ORGANISATION.member(Role.CS, CS)),
    Kind.JOB_TOKEN.value: holder(ORGANISATION.job(ATTEMPT)),
    Kind.INVITATION.value: holder(ADAS.identity),
    Kind.CS_INVITATION.value: holder(DESKS.identity),
    Kind.ANSWER.value: holder(ORGANISATION.answer(DESKS)),
    Kind.SIGNING.value: holder(ORGANISATION.signing("ada")),
    Kind.ENCRYPTION.value: holder(ORGANISATION.encryption("ada")),
    "self-signed encryption certificate": self_certified(),
}


# --- the parts --------------------------------------------------------------------------------------------


def call(holder: Holder, reactor: ReactorBase) -> None:
    """Dial a web server that would hear anybody."""
    server, client = meet(reactor, server_context(WS, Role), client_context(holder.shown, Role.WS))
    if server.peer is None:
        assert client.peer is None and isinstance(server.refusal(), PeerRefusedError)
        raise server.refusal()


def serve(holder: Holder, reactor: ReactorBase) -> None:
    """Be dialled by a lookup server that looks for a compute server."""
    server, client = meet(reactor, server_context(holder.shown, Role), client_context(LUS, Role.CS))
    if client.peer is None:
        assert server.peer is None and isinstance(client.refusal(), PeerRefusedError)
        raise client.refusal()


def sign_job(holder: Holder, reactor: ReactorBase) -> None:
    """Sign a bundle."""
    out = io.BytesIO()
    sign_jar(out, [("job.toml", b"name", False)], key=holder.key, chain=holder.chain, attributes={})
    open_bundle(out, at=NOW, roots=[ROOT])


def sign_answer(holder: Holder, reactor: ReactorBase) -> None:
    """Sign an answer."""
    server = ServerId(DESKS.subject.id)
    receipt = Receipt(
        bundle_id=BundleId("a" * 64), task=0, fence=Fence(1, 1, 1), signer=SpkiDigest("b" * 64), cs=server,
        cs_name="desk", mflops=1.0, limits={}, limit_hit=None, exit=Exited(0), started=NOW, ended=NOW,
        wall_seconds=0.0, cpu_seconds=0.0, max_memory=0,
    )  # fmt: skip
    out = io.BytesIO()
    write_answer(out, receipt=receipt, files=[("out/x", b"1")], key=holder.key, chain=holder.chain)
    open_answer(out, roots=[ROOT], at=NOW)


def be_sealed_for(holder: Holder, reactor: ReactorBase) -> None:
    """Have answers sealed for the key."""
    check_recipients([holder.chain[0]])


def join(holder: Holder, reactor: ReactorBase) -> None:
    """Become ada, or a desk, by showing the key's certificates as an invitation."""
    desk = holder.chain == DESKS.identity.chain
    subject = (DESKS if desk else ADAS).subject
    request = signed_enrolment(
        holder.key,
        request_der(make_request(new_key(), subject.uri(), "x")),
        answer_certificate=answer_certificate(DESKS) if desk else None,
        signing_request=None if desk else request_der(make_request(new_key(), signer_uri("ada"), "ada")),
    )
    check_enrolment(request, holder.chain, ROOT, NOW)


def answer_certificate(invitation: Invitation) -> bytes:
    return invitation.certify_answer(new_key().public_key(), NOW)[0].public_bytes(Encoding.DER)


def renew(holder: Holder, reactor: ReactorBase) -> None:
    """Get the next token certificate of a compute server, by signing for it."""
    asked = request_der(make_request(new_key(), f"rjs://cs/{CS}", "x"))
    statement = msgspec.msgpack.encode(RenewalStatement(asked, bytes(16), NOW.timestamp()))
    signature = sign_statement(holder.key, PURPOSE, statement)
    check_renewal(RenewalRequest(statement, signature, encoded(holder.chain)), ROOT, NOW)


def revoke(holder: Holder, reactor: ReactorBase) -> None:
    """Say what is revoked."""
    signed = sign_revocations(holder.shown, 1, [], NOW).signed
    read_revocations(msgspec.structs.replace(signed, chain=encoded(holder.chain)), ROOT)


def accept(holder: Holder, reactor: ReactorBase) -> None:
    """Say which other CAs are accepted."""
    statement = msgspec.msgpack.encode(AcceptanceStatement(cluster_of(ROOT), 1))
    signature = sign_statement(holder.key, ACCEPTING, statement)
    read_acceptance(SignedAcceptance(statement, signature, encoded(holder.chain)), ROOT)


def encoded(chain: Chain) -> tuple[bytes, ...]:
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


PARTS: dict[str, Callable[[Holder, ReactorBase], None]] = {
    "call": call,
    "serve": serve,
    "sign job": sign_job,
    "sign answer": sign_answer,
    "be sealed for": be_sealed_for,
    "join": join,
    "renew": renew,
    "revoke": revoke,
    "accept": accept,
}

OWN = None
USAGE, KIND, LENGTH = "identity.usage", "identity.kind", "identity.chain_length"
OTHER, UNINVITED = "identity.other_root", "identity.not_invited"
CERT, READER = "certificate", "seal-recipient"
TABLE = {                                # call   serve  job   answer sealed  join       renew   revoke  accept
    "organisation root":                  (USAGE, USAGE, CERT, CERT, READER, LENGTH,    LENGTH, LENGTH, LENGTH),
    "enrolment CA":                       (USAGE, USAGE, CERT, CERT, READER, UNINVITED, KIND,   KIND,   KIND),
    "token intermediate":                 (USAGE, USAGE, CERT, CERT, READER, UNINVITED, KIND,   KIND,   KIND),
    "record certificate":                 (USAGE, USAGE, CERT, CERT, READER, UNINVITED, KIND,   OWN,    KIND),
    "acceptance certificate":             (USAGE, USAGE, CERT, CERT, READER, UNINVITED, KIND,   KIND,   OWN),
    "token certificate":                  (OWN,   OWN,   CERT, CERT, READER, UNINVITED, OWN,    KIND,   KIND),
    "job token":                          (OWN,   USAGE, CERT, CERT, READER, UNINVITED, KIND,   KIND,   KIND),
    "invitation":                         (OWN,   USAGE, CERT, CERT, READER, OWN,       KIND,   KIND,   KIND),
    "compute server's invitation":        (OWN,   USAGE, CERT, CERT, READER, OWN,       KIND,   KIND,   KIND),
    "answer certificate":                 (USAGE, USAGE, CERT, OWN,  READER, UNINVITED, KIND,   KIND,   KIND),
    "signing certificate":                (USAGE, USAGE, OWN,  CERT, READER, UNINVITED, KIND,   KIND,   KIND),
    "encryption certificate":             (USAGE, USAGE, CERT, CERT, OWN,    UNINVITED, KIND,   KIND,   KIND),
    "self-signed encryption certificate": (OTHER, OTHER, CERT, CERT, OWN,    LENGTH,    LENGTH, LENGTH, LENGTH),
}  # fmt: skip
"""An invitation and a job call under names of their own, which may join, or speak with the compute server that runs
the job, and nothing else (tests/rjs/wire/test_access.py, tests/attacks/test_job_token.py)."""


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, which these tests turn by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    return reactor


def test_the_table_is_whole() -> None:
    """Every kind of certificate that there is has its row; a new one is thought of here, or this fails."""
    assert set(TABLE) == set(HOLDERS) and {kind.value for kind in Kind} <= set(TABLE)
    assert all(len(row) == len(PARTS) for row in TABLE.values())


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("who", HOLDERS)
def test_each_key_plays_its_own_part_alone(reactor: ReactorBase, who: str, part: str) -> None:
    """Each cell: done where it is the key's own part, else refused with the code."""
    code = TABLE[who][list(PARTS).index(part)]
    if code is None:
        PARTS[part](HOLDERS[who], reactor)
        return
    with pytest.raises(RefusedError) as refused:
        PARTS[part](HOLDERS[who], reactor)
    assert refused.value.code == code


def test_an_invitation_calls_as_nothing_else(reactor: ReactorBase) -> None:
    """At the door its name has the role of invitations, whatever its holder is invited as."""
    for invitation in (ADAS, DESKS):
        caller = client_context(invitation.identity, Role.WS)
        server, _ = meet(reactor, server_context(WS, Role), caller)
        assert server.peer is not None and server.peer.name.role is Role.INVITATION


# --- issuing ----------------------------------------------------------------------------------------------

NAMES = {
    Kind.TOKEN: f"rjs://cs/{CS}",
    Kind.JOB_TOKEN: job_name(ATTEMPT).uri(),
    Kind.INVITATION: f"rjs://invitation/user/eve?expires={EXPIRES}",
    Kind.CS_INVITATION: f"rjs://invitation/cs/{CS}?expires={EXPIRES}",
    Kind.ANSWER: answer_uri(CS),
    Kind.SIGNING: signer_uri("eve"),
    Kind.ENCRYPTION: reader_uri("eve"),
}
ISSUED = [kind for kind in Kind if kind is not Kind.ROOT]
"""What somebody issues; a root certifies itself, and counts where it is pinned."""


@pytest.mark.parametrize("kind", ISSUED)
@pytest.mark.parametrize("who", HOLDERS)
def test_each_key_issues_what_is_below_it_alone(who: str, kind: Kind) -> None:
    """Each cell: our own code refuses to make it, and what another's code makes with that key does not count."""
    issuer, subject = HOLDERS[who], Subject(new_key().public_key(), "eve", 3600, NAMES.get(kind))
    made_by = Issuer(issuer.key, issuer.chain[0])
    forged = sign_certificate(PROFILES[kind], subject, made_by, NOW)
    if who == PROFILES[kind].issuer.value:
        for leaf in (forged, mint(kind, subject, made_by, NOW)):
            assert check_chain((leaf, *issuer.chain), ROOT, NOW) is kind
        return
    with pytest.raises(IdentityError, match=r"identity\.issuer"):
        mint(kind, subject, made_by, NOW)
    with pytest.raises(IdentityError) as refused:
        check_chain((forged, *issuer.chain), ROOT, NOW)
    assert refused.value.code == ("identity.issuer" if issuer.chain[-1] == ROOT else OTHER)


def test_who_hides_the_issuer_is_not_believed() -> None:
    """A certificate that a key made, shown as if the root had issued it, has not the root's signature."""
    for who, thief in HOLDERS.items():
        if thief.chain == (ROOT,):
            continue
        for kind in ISSUED:
            subject = Subject(new_key().public_key(), "eve", 3600, NAMES.get(kind))
            forged = sign_certificate(PROFILES[kind], subject, Issuer(thief.key, thief.chain[0]), NOW)
            with pytest.raises(IdentityError) as refused:
                check_chain((forged, ROOT), ROOT, NOW)
            wanted = "signature" if PROFILES[kind].issuer is Kind.ROOT else "issuer"
            assert refused.value.code == f"identity.{wanted}", (who, kind)


def test_one_key_serves_one_purpose() -> None:
    """Joining with the same key in two places is refused, so that no stolen key is worth two."""
    key = new_key()
    request = signed_enrolment(
        ADAS.identity.key,
        request_der(make_request(key, ADAS.subject.uri(), "x")),
        signing_request=request_der(make_request(key, signer_uri("ada"), "ada")),
    )
    with pytest.raises(IdentityError, match=r"identity\.shared_key"):
        check_enrolment(request, ADAS.identity.chain, ROOT, NOW)
