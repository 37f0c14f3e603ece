"""What the authority certifies for jobs: by their compute server's word alone, apart from members, and logged."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509

from rjs.attempts import AttemptId, Fence
from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.job_tokens import JobTokenRequest, ask_job_token, job_name
from rjs.identity.keys import new_key, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import read_chain
from rjs.identity.peers import identify
from rjs.identity.renewal import ask_renewal
from rjs.identity.requests import make_request, request_der
from rjs.identity.revocation import Revoked, What, sign_revocations
from rjs.identity.testing import Organisation
from ws.authority import limits
from ws.authority.log import History
from ws.authority.messages import JobToken, Renew
from ws.authority.rates import Rates
from ws.authority.rules import Authority, Grant

ATTEMPT = AttemptId("ab" * 32, 7, Fence(1, 42, 3))
WS = RjsName(Role.WS, "a" * 32)


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.fixture
def authority(organisation: Organisation) -> Authority:
    return Authority(organisation.tokens, WS, "web server", 3600, History(), Rates(0.0), job_lifetime=90)


@pytest.fixture
def desk(organisation: Organisation) -> Identity:
    return organisation.member(Role.CS)


def asked(desk: Identity, now: dt.datetime, attempt: AttemptId = ATTEMPT) -> JobTokenRequest:
    request = request_der(make_request(new_key(), job_name(attempt).uri(), "job"))
    return ask_job_token(desk, attempt, request, now)


def certified(grant: Grant) -> x509.Certificate:
    return read_chain(grant.chain)[0]


def test_a_job_is_certified_for_its_attempt(
    authority: Authority, organisation: Organisation, desk: Identity
) -> None:
    """The token names the attempt, lives as long as the setting says, and its line says by what it was proved."""
    now = organisation.now
    grant = authority.decide(JobToken(1, asked(desk, now)), now, 0.0)
    leaf = certified(grant)
    assert identify(read_chain(grant.chain), organisation.root, now).name == job_name(ATTEMPT)
    assert abs((leaf.not_valid_after_utc - now).total_seconds() - 90) <= 1
    assert grant.line is not None
    assert (grant.line.kind, grant.line.name) == ("job", job_name(ATTEMPT).uri())
    assert grant.line.spki == spki_digest(leaf) and len(grant.line.evidence) == 64


def test_no_job_outlives_a_members_certificate(organisation: Organisation, desk: Identity) -> None:
    """Where members' certificates live for a minute, so do job tokens."""
    authority = Authority(organisation.tokens, WS, "web server", 60, History(), Rates(0.0))
    grant = authority.decide(JobToken(1, asked(desk, organisation.now)), organisation.now, 0.0)
    end = certified(grant).not_valid_after_utc
    assert abs((end - organisation.now).total_seconds() - 60) <= 1


@pytest.mark.parametrize("lifetime", [0, limits.SHORTEST_JOB_LIFETIME - 1, 3601])
def test_job_lifetimes_have_bounds(organisation: Organisation, lifetime: int) -> None:
    """Whatever the web server says, a job token lives for an hour at most."""
    with pytest.raises(IdentityError, match="job tokens live for"):
        Authority(organisation.tokens, WS, "x", 3600, History(), Rates(0.0), job_lifetime=lifetime)


def test_the_same_statement_gets_the_same_certificate(
    authority: Authority, organisation: Organisation, desk: Identity
) -> None:
    """A request whose reply was lost, or that somebody replays, makes no second certificate."""
    request, now = asked(desk, organisation.now), organisation.now
    first = authority.decide(JobToken(1, request), now, 0.0)
    again = authority.decide(JobToken(2, request), now, 5.0)
    assert again.chain == first.chain and again.line is None


def test_who_is_no_compute_server_gets_nothing(authority: Authority, organisation: Organisation) -> None:
    """A lookup server, or the web server itself, cannot have a job certified in its own name."""
    for role in (Role.LUS, Role.WS, Role.ADMIN):
        with pytest.raises(IdentityError, match=r"identity\.role"):
            authority.decide(
                JobToken(1, asked(organisation.member(role), organisation.now)), organisation.now, 0.0
            )


def test_a_revoked_compute_server_gets_nothing(
    authority: Authority, organisation: Organisation, desk: Identity
) -> None:
    """What is revoked is revoked for its jobs too."""
    name = identify(desk.chain, organisation.root).name.uri()
    entry = Revoked(What.MEMBER, name, organisation.now.timestamp() + 1, "stolen")
    authority.revocations = sign_revocations(organisation.record, 1, [entry], organisation.now)
    with pytest.raises(RefusedError) as refused:
        authority.decide(JobToken(1, asked(desk, organisation.now)), organisation.now, 0.0)
    assert refused.value.code == "revoked"


def test_one_compute_server_uses_up_its_own_share(
    authority: Authority, organisation: Organisation, desk: Identity
) -> None:
    """A compute server that asks and asks is told when it may again; others, and its own renewal, are not kept."""
    now = organisation.now
    for number in range(limits.CS_AT_ONCE):
        authority.decide(JobToken(number, asked(desk, now)), now, 0.0)
    with pytest.raises(RefusedError) as refused:
        authority.decide(JobToken(1, asked(desk, now)), now, 0.0)
    assert refused.value.code == "too-often"
    authority.decide(JobToken(1, asked(organisation.member(Role.CS), now)), now, 0.0)
    authority.decide(Renew(1, ask_renewal(desk, new_key(), now)), now, 0.0)
    authority.decide(JobToken(1, asked(desk, now)), now, 1.1 / limits.CS_A_SECOND)
