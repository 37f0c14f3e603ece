"""What the authority certifies, and that it believes nothing that the web server says of others."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.enrolment import EnrolmentRequest, signed_enrolment
from rjs.identity.invitation import Invitation
from rjs.identity.keys import new_key, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import check_chain, read_chain
from rjs.identity.peers import token_name
from rjs.identity.profiles import Kind
from rjs.identity.renewal import ask_renewal
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation
from ws.authority import limits
from ws.authority.log import History
from ws.authority.messages import Enrol, Own, Renew
from ws.authority.rates import Rates
from ws.authority.rules import Authority
from ws.authority.testing import RulesIssuer

WS = RjsName(Role.WS, "a" * 32)


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: dt.datetime) -> None:
        self.now = now

    def __call__(self) -> dt.datetime:
        return self.now


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.fixture
def clock(organisation: Organisation) -> Clock:
    return Clock(organisation.now)


@pytest.fixture
def issuer(organisation: Organisation, clock: Clock) -> RulesIssuer:
    return RulesIssuer(organisation.tokens, WS, wall=clock)


def joining(invitation: Invitation) -> Enrol:
    """A lookup server's request, with a fresh key."""
    request = request_der(make_request(new_key(), invitation.subject.uri(), "x"))
    chain = tuple(each.public_bytes(Encoding.DER) for each in invitation.identity.chain)
    return Enrol(1, signed_enrolment(invitation.identity.key, request), chain)


def refused(issuer: RulesIssuer, question: Own | Enrol | Renew) -> str:
    before = len(issuer.log)
    with pytest.raises(RefusedError) as error:
        issuer.decide(question)
    assert len(issuer.log) == before
    return error.value.code


def test_each_is_certified_for_what_it_proved(
    organisation: Organisation, issuer: RulesIssuer, clock: Clock
) -> None:
    """The web server, a joiner and a member get tokens of their own names, and the log says to whom and by what."""
    lus, member = organisation.invitation(Role.LUS), organisation.member(Role.CS)
    chains = [
        issuer.decide(Own(1, request_der(make_request(new_key(), WS.uri(), "x")))),
        issuer.decide(joining(lus)),
        issuer.decide(Renew(1, ask_renewal(member, new_key(), clock.now))),
    ]
    names = [WS, lus.subject, token_name(member.chain[0])]
    for encoded, name, line in zip(chains, names, issuer.log, strict=True):
        chain = read_chain(encoded)
        assert check_chain(chain, organisation.root, clock.now) is Kind.TOKEN
        assert token_name(chain[0]) == name and line.name == name.uri()
        assert line.spki == spki_digest(chain[0]) and line.until == chain[0].not_valid_after_utc
    assert [line.kind for line in issuer.log] == ["own", "enrolment", "renewal"]
    assert issuer.log[1].evidence == lus.serial
    assert len({line.serial for line in issuer.log}) == 3


def test_the_web_server_is_itself_and_nobody_else(issuer: RulesIssuer) -> None:
    """Without proof there is a certificate for one name only."""
    for uri in (
        f"rjs://ws/{'b' * 32}",
        "rjs://admin/eve",
        f"rjs://cs/{'a' * 32}",
        "rjs://answer/" + "a" * 32,
    ):
        asked = request_der(make_request(new_key(), uri, "x"))
        assert refused(issuer, Own(1, asked)) == "identity.other_name"


def test_an_invitation_certifies_one_key(organisation: Organisation, issuer: RulesIssuer) -> None:
    """Whatever the web server's records say, a second key is refused, and the first asking again is not."""
    invitation = organisation.invitation(Role.LUS)
    first, second = joining(invitation), joining(invitation)
    assert len(issuer.decide(first)) == len(issuer.decide(first)) == 3
    assert refused(issuer, second) == "invitation-used"


def test_a_web_server_that_saw_an_invitation_cannot_use_it(
    organisation: Organisation, issuer: RulesIssuer
) -> None:
    """The invitation's chain, which the web server is shown, is no proof without the one-time key."""
    invitation = organisation.invitation(Role.LUS)
    request = request_der(make_request(new_key(), invitation.subject.uri(), "x"))
    chain = joining(invitation).chain
    forged = Enrol(1, EnrolmentRequest(request, joining(invitation).request.proof), chain)
    assert refused(issuer, forged) == "identity.proof"


def test_a_web_server_renews_nobody(organisation: Organisation, issuer: RulesIssuer, clock: Clock) -> None:
    """It has the members' certificates and not their keys; with its own it gets nothing but its own name."""
    theirs = ask_renewal(organisation.member(Role.ADMIN, "root"), new_key(), clock.now)
    own = organisation.member(Role.WS, WS.id)
    mine = ask_renewal(own, new_key(), clock.now)
    mixed = type(mine)(mine.statement, mine.signature, theirs.chain)
    assert refused(issuer, Renew(1, mixed)) == "identity.proof"
    assert refused(issuer, Renew(1, mine)) == "identity.role"


@pytest.mark.parametrize("lifetime", [0, limits.SHORTEST_LIFETIME - 1, limits.LONGEST_LIFETIME + 1, 10**9])
def test_no_token_outlives_two_days(organisation: Organisation, lifetime: int) -> None:
    """A lifetime beyond the bounds is refused at the beginning, whoever configured it."""
    with pytest.raises(RefusedError, match=r"identity\.lifetime"):
        Authority(organisation.tokens, WS, "x", lifetime, History(), Rates(0.0))


def test_a_lifetime_in_the_bounds_is_kept(organisation: Organisation, clock: Clock) -> None:
    """What is configured is what certificates say."""
    issuer = RulesIssuer(organisation.tokens, WS, 60, clock)
    (leaf, *_) = read_chain(issuer.decide(Own(1, request_der(make_request(new_key(), WS.uri(), "x")))))
    assert leaf.not_valid_after_utc == (clock.now + dt.timedelta(seconds=60)).replace(microsecond=0)


def test_a_replayed_renewal_is_the_same_certificate(
    organisation: Organisation, issuer: RulesIssuer, clock: Clock
) -> None:
    """A request that is repeated, by its maker or by who carried it, gets what it got; later, nothing."""
    request = Renew(1, ask_renewal(organisation.member(Role.CS), new_key(), clock.now))
    first = issuer.decide(request)
    assert [issuer.decide(request) for _ in range(3 * limits.NAME_AT_ONCE)] == [
        first
    ] * 3 * limits.NAME_AT_ONCE
    assert len(issuer.log) == 1
    clock.now += dt.timedelta(minutes=11)
    assert refused(issuer, request) == "identity.clock"


def test_one_name_is_certified_so_often(
    organisation: Organisation, issuer: RulesIssuer, clock: Clock
) -> None:
    """A member that asks without end fills no log; it is told when to come again, and then gets one; others do not
    wait for it."""
    cs, other = organisation.member(Role.CS), organisation.member(Role.CS)

    def ask(who: Identity) -> Renew:
        return Renew(1, ask_renewal(who, new_key(), clock.now))

    for _ in range(limits.NAME_AT_ONCE):
        issuer.decide(ask(cs))
    with pytest.raises(RefusedError, match="ask again in 60 s"):
        issuer.decide(ask(cs))
    assert issuer.decide(ask(other))
    clock.now += dt.timedelta(seconds=61)
    assert issuer.decide(ask(cs))
    assert refused(issuer, ask(cs)) == "too-often"


def test_an_enrolment_that_is_repeated_keeps_no_member_from_renewing(
    organisation: Organisation, issuer: RulesIssuer, clock: Clock
) -> None:
    """Who carried it has it, and may bring it again and again as long as the invitation lasts."""
    invitation, key = organisation.invitation(Role.CS), new_key()
    subject = invitation.subject
    request = request_der(make_request(key, subject.uri(), "x"))
    answer = invitation.certify_answer(new_key().public_key(), clock.now)
    encoded = tuple(each.public_bytes(Encoding.DER) for each in invitation.identity.chain)
    enrolment = Enrol(
        1, signed_enrolment(invitation.identity.key, request, answer[0].public_bytes(Encoding.DER)), encoded
    )
    chain = read_chain(issuer.decide(enrolment))
    for _ in range(limits.NAME_AT_ONCE - 1):
        issuer.decide(enrolment)
    assert refused(issuer, enrolment) == "too-often"
    assert issuer.decide(Renew(1, ask_renewal(Identity(key, chain), new_key(), clock.now)))


def test_all_names_together_are_certified_so_often() -> None:
    """Many names are no way around the rate; a clock that was set back gives nothing away, a storm passes."""
    rates = Rates(1000.0)
    for number in range(limits.ISSUED_AT_ONCE):
        rates.take(f"rjs://user/u{number}", 1000.0)
    for now in (1000.0, 0.0, 0.0):
        with pytest.raises(RefusedError, match="this cluster asked for too many"):
            rates.take("rjs://user/late", now)
    for number in range(int(limits.ISSUED_A_SECOND)):
        rates.take(f"rjs://user/u{number}", 1.1)
