"""Job tokens as rules: the name of an attempt, what a compute server signs for it, what the certificate may be."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.internet.base import ReactorBase

from rjs.attempts import AttemptId, Fence
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.job_tokens import (
    PURPOSE,
    JobTokenRequest,
    JobTokenStatement,
    ask_job_token,
    attempt_of,
    check_job_token,
    job_name,
)
from rjs.identity.keys import PrivateKey, new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.peers import identify
from rjs.identity.profiles import Kind, profile_of
from rjs.identity.proofs import sign_statement
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation, meet
from rjs.identity.tls import client_context, server_context
from rjs.limits import CLOCK_SKEW, JOB_TOKEN_LIFETIME

JOB = "ab" * 32
ATTEMPT = AttemptId(JOB, 7, Fence(1, 42, 3))
OTHER = AttemptId(JOB, 8, Fence(1, 43, 1))
CS = "c" * 32


def csr(attempt: AttemptId, key: PrivateKey | None = None) -> bytes:
    return request_der(make_request(key or new_key(), job_name(attempt).uri(), "job"))


def test_the_name_of_an_attempt_reads_back() -> None:
    """Every attempt has one name, and the name says which; the largest numbers too."""
    most = AttemptId(JOB, 2**31 - 1, Fence(2**63 - 1, 2**63 - 1, 0))
    for attempt in (ATTEMPT, most):
        name = job_name(attempt)
        assert attempt_of(RjsName.parse(name.uri())) == attempt
    assert job_name(ATTEMPT).uri() == f"rjs://job/{JOB}/7/1.42.3"


@pytest.mark.parametrize(
    "identifier",
    [
        JOB,
        f"{JOB}/7",
        f"{JOB}/7/1.42",
        f"{JOB}/7/1.42.3.4",
        f"{JOB}/07/1.42.3",
        f"{JOB}/-7/1.42.3",
        f"{JOB}/7/1.042.3",
        f"{JOB}/7/1.42.3/",
        f"{JOB}/7/1.42.3\n",
        f"{JOB}/7/1.42.٣",
        f"{JOB[:-1]}/7/1.42.3",
        f"{JOB.upper()}/7/1.42.3",
        f"{JOB}/{2**31}/1.42.3",
        f"{JOB}/7/1.42.{2**63}",
    ],
)
def test_nothing_else_is_a_jobs_name(identifier: str) -> None:
    """Compared whole and exactly: no other spelling of an attempt is a name."""
    with pytest.raises(IdentityError):
        RjsName(Role.JOB, identifier)


def test_a_server_is_no_attempt() -> None:
    """Only a job's name is taken for an attempt."""
    with pytest.raises(IdentityError, match="not the name of a job"):
        attempt_of(RjsName(Role.CS, CS))


def test_a_request_says_which_attempt_and_which_key(organisation: Organisation, now: dt.datetime) -> None:
    """What a compute server signs for a job is read back by who checks it."""
    key, server = new_key(), organisation.member(Role.CS, CS)
    checked = check_job_token(ask_job_token(server, ATTEMPT, csr(ATTEMPT, key), now), organisation.root, now)
    assert (checked.cs, checked.attempt) == (RjsName(Role.CS, CS), ATTEMPT)
    assert checked.public_key == key.public_key()


def refused(request: JobTokenRequest, organisation: Organisation, now: dt.datetime) -> str:
    with pytest.raises(IdentityError) as caught:
        check_job_token(request, organisation.root, now)
    return caught.value.code


@pytest.mark.parametrize(
    ("role", "code"), [(Role.LUS, "role"), (Role.WS, "role"), (Role.USER, "role"), (Role.ADMIN, "role")]
)
def test_only_a_compute_server_asks(
    organisation: Organisation, now: dt.datetime, role: Role, code: str
) -> None:
    """A statement that another member signed is worth nothing."""
    request = ask_job_token(organisation.member(role), ATTEMPT, csr(ATTEMPT), now)
    assert refused(request, organisation, now) == f"identity.{code}"


def test_a_job_token_asks_for_no_other(organisation: Organisation, now: dt.datetime) -> None:
    """A job cannot certify more keys with its own."""
    request = ask_job_token(organisation.job(ATTEMPT), ATTEMPT, csr(ATTEMPT), now)
    assert refused(request, organisation, now) == "identity.kind"


def test_every_changed_byte_of_the_statement_is_noticed(organisation: Organisation, now: dt.datetime) -> None:
    """Nobody on the way can redirect a request, or put another key into it."""
    server = organisation.member(Role.CS, CS)
    good = ask_job_token(server, ATTEMPT, csr(ATTEMPT), now)
    said = msgspec.msgpack.decode(good.statement, type=JobTokenStatement)
    for changed in (
        msgspec.structs.replace(said, attempt=OTHER),
        msgspec.structs.replace(said, token_request=csr(ATTEMPT)),
        msgspec.structs.replace(said, made=said.made + 1),
    ):
        request = msgspec.structs.replace(good, statement=msgspec.msgpack.encode(changed))
        assert refused(request, organisation, now) == "identity.proof"


def test_a_signature_for_something_else_is_none(organisation: Organisation, now: dt.datetime) -> None:
    """What the key signed for a renewal cannot be shown here."""
    server = organisation.member(Role.CS, CS)
    good = ask_job_token(server, ATTEMPT, csr(ATTEMPT), now)
    signature = sign_statement(server.key, "rjs-renewal-1", good.statement)
    assert refused(msgspec.structs.replace(good, signature=signature), organisation, now) == "identity.proof"


@pytest.mark.parametrize("seconds", [-CLOCK_SKEW - 1, CLOCK_SKEW + 1])
def test_an_old_statement_is_worth_nothing(
    organisation: Organisation, now: dt.datetime, seconds: float
) -> None:
    """What was made long ago, or is dated ahead, is refused with both times."""
    server = organisation.member(Role.CS, CS)
    request = ask_job_token(server, ATTEMPT, csr(ATTEMPT), now + dt.timedelta(seconds=seconds))
    assert refused(request, organisation, now) == "identity.clock"


def test_the_job_asks_for_its_own_name_with_its_own_key(organisation: Organisation, now: dt.datetime) -> None:
    """A request for another attempt, of the server's own key, or not signed with its key, is refused."""
    server = organisation.member(Role.CS, CS)
    other = ask_job_token(server, ATTEMPT, csr(OTHER), now)
    assert refused(other, organisation, now) == "identity.other_name"
    shared = ask_job_token(server, ATTEMPT, csr(ATTEMPT, server.key), now)
    assert refused(shared, organisation, now) == "identity.shared_key"
    garbage = ask_job_token(server, ATTEMPT, b"0" * 100, now)
    assert refused(garbage, organisation, now) == "identity.request"


@pytest.mark.parametrize("statement", [b"", b"\xc1", b"\x80", b"\x91" * 3000, bytes(range(256))])
def test_nonsense_that_was_signed_is_refused(
    organisation: Organisation, now: dt.datetime, statement: bytes
) -> None:
    """A compute server that signs anything else than a statement is told so."""
    server = organisation.member(Role.CS, CS)
    good = ask_job_token(server, ATTEMPT, csr(ATTEMPT), now)
    signature = sign_statement(server.key, PURPOSE, statement)
    request = msgspec.structs.replace(good, statement=statement, signature=signature)
    assert refused(request, organisation, now) == "identity.request"


def test_an_expired_compute_server_asks_for_nothing(organisation: Organisation, now: dt.datetime) -> None:
    """The grace of an expired certificate is for its renewal alone."""
    request = ask_job_token(organisation.expired(Role.CS), ATTEMPT, csr(ATTEMPT), now)
    assert refused(request, organisation, now) == "identity.expired"


def test_the_certificate_is_for_calling_and_lives_for_an_hour(organisation: Organisation) -> None:
    """A job token is of a kind of its own: clientAuth alone, an attempt's name, at most an hour."""
    identity = organisation.job(ATTEMPT)
    profile = profile_of(identity.chain[0])
    assert profile.kind is Kind.JOB_TOKEN and profile.extended == {ExtendedKeyUsageOID.CLIENT_AUTH}
    assert identify(identity.chain, organisation.root).name == job_name(ATTEMPT)
    with pytest.raises(IdentityError, match="at most 3600 seconds"):
        organisation.job(ATTEMPT, lifetime=JOB_TOKEN_LIFETIME + 1)


def test_kinds_and_names_cannot_be_exchanged(organisation: Organisation) -> None:
    """A member's name in a job token, or an attempt's in a member's token, makes nobody a caller."""
    made = [
        organisation.forge(Kind.JOB_TOKEN, organisation.intermediate, f"rjs://ws/{CS}"),
        organisation.forge(Kind.JOB_TOKEN, organisation.intermediate, "rjs://admin/root"),
        organisation.forge(Kind.TOKEN, organisation.intermediate, job_name(ATTEMPT).uri()),
    ]
    for identity in made:
        with pytest.raises(IdentityError, match="cannot carry the role"):
            identify(identity.chain, organisation.root)


def test_a_job_calls_and_is_never_called(organisation: Organisation, reactor: ReactorBase) -> None:
    """With a job token one dials a door that serves jobs, and stands at none as its server."""
    job, server = organisation.job(ATTEMPT), organisation.member(Role.CS)
    accepted, _ = meet(reactor, server_context(server, {Role.JOB}), client_context(job, Role.CS))
    assert accepted.peer is not None and attempt_of(accepted.peer.name) == ATTEMPT
    _, dialled = meet(reactor, server_context(job, Role), client_context(server, Role.JOB))
    assert dialled.peer is None and dialled.refusal().code == "identity.usage"


def test_an_expired_job_token_has_no_grace(organisation: Organisation, reactor: ReactorBase) -> None:
    """At a door where expired members may renew, a job whose token has ended is nobody."""
    key = new_key()
    made = organisation.now - dt.timedelta(seconds=300)
    job = Identity(key, organisation.tokens.issue(key.public_key(), job_name(ATTEMPT), "job", made, 60.0))
    server = organisation.member(Role.WS)
    accepted, _ = meet(reactor, server_context(server, Role), client_context(job, Role.WS))
    assert accepted.peer is None and accepted.refusal().code == "identity.expired"
