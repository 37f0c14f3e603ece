"""Attack: become somebody by a certificate of another CA, or have one accepted that the operator did not accept."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from rjs.errors import RefusedError
from rjs.identity.accepted_cas import (
    Acceptance,
    AcceptedCa,
    By,
    check_acceptance_succession,
    read_acceptance,
    sign_acceptance,
)
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.foreign import ForeignIdentity
from rjs.identity.foreign_testing import ForeignCa
from rjs.identity.invitation import serial_of
from rjs.identity.keys import new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import read_chain
from rjs.identity.peers import token_name
from rjs.identity.presenting import ask_token
from rjs.identity.renewal import ask_renewal
from rjs.identity.revocation import Revoked, What, sign_revocations
from rjs.identity.testing import Organisation
from ws.authority.messages import Present, Renew
from ws.authority.testing import RulesIssuer

NOW = dt.datetime.now(dt.UTC)
ORGANISATION = Organisation(NOW)
CLUSTER = cluster_of(ORGANISATION.root)
CA, OTHER = ForeignCa(NOW), ForeignCa(NOW, "Other CA")
ADA, MAIL = "CN=Ada Lovelace,O=University", "ada@uni.example.org"
DOMAIN = "uni.example.org"


def stated(*cas: AcceptedCa, number: int = 1) -> Acceptance:
    return sign_acceptance(ORGANISATION.acceptance, number, cas)


RULE = stated(CA.accepted(domain=DOMAIN))
TABLE = stated(CA.accepted(("ada", By.SUBJECT, ADA), ("bob", By.EMAIL, "robert@uni.example.org")))


def issuer(acceptance: Acceptance | None) -> RulesIssuer:
    made = RulesIssuer(ORGANISATION.tokens, RjsName(Role.WS, "a" * 32), wall=lambda: NOW)
    made.authority.acceptance = acceptance
    return made


def present(who: ForeignIdentity, authority: RulesIssuer) -> Identity:
    """The token that the authority issues for what ``who`` shows."""
    key = new_key()
    return Identity(
        key, read_chain(authority.decide(Present(1, ask_token(who, key, new_key(), CLUSTER, NOW))))
    )


def account(who: ForeignIdentity, acceptance: Acceptance) -> str:
    return token_name(present(who, issuer(acceptance)).chain[0]).uri()


def refused(who: ForeignIdentity, acceptance: Acceptance | None) -> str:
    authority = issuer(acceptance)
    with pytest.raises(RefusedError) as error:
        present(who, authority)
    assert not authority.log
    return error.value.code


@pytest.mark.parametrize("bits", [0, 2048])
def test_what_is_stated_is_issued_and_logged(bits: int) -> None:
    """RSA and EC, by table and by rule: a user's token that ends with the certificate shown, and its evidence."""
    who = CA.issue(ADA, emails=[MAIL], rsa_bits=bits, days=0.5)
    assert account(who, RULE) == account(who, TABLE) == "rjs://user/ada"
    authority = issuer(RULE)
    leaf = present(who, authority).chain[0]
    assert leaf.not_valid_after_utc <= who.leaf.not_valid_after_utc
    (line,) = authority.log
    assert line.kind == "presentation" and line.evidence.endswith("by statement 1")
    assert f"serial {serial_of(who.leaf)} of 'CN=University CA'" in line.evidence


def test_a_ca_below_the_accepted_one_vouches_too() -> None:
    """Whoever shows the certificates between gets through; without them the path is missing."""
    who = CA.below().issue(ADA, emails=[MAIL])
    assert account(who, RULE) == "rjs://user/ada"
    assert refused(ForeignIdentity(who.key, who.chain[:1]), RULE) == "identity.other_root"


SIGN = [ExtendedKeyUsageOID.CODE_SIGNING]
WRONG = {
    "another CA": (lambda: OTHER.issue(ADA, emails=[MAIL]), "other_root"),
    "another CA of the same name": (lambda: ForeignCa(NOW).issue(ADA, emails=[MAIL]), "other_root"),
    "expired": (lambda: CA.issue(ADA, emails=[MAIL], days=-1), "expired"),
    "for code signing": (lambda: CA.issue(ADA, emails=[MAIL], usages=SIGN), "usage"),
    "a weak key": (lambda: CA.issue(ADA, emails=[MAIL], rsa_bits=1024), "key_type"),
    "the CA itself": (lambda: ForeignIdentity(CA.key, (CA.certificate,)), "usage"),
    "no e-mail": (lambda: CA.issue("CN=x"), "account"),
    "two e-mails": (lambda: CA.issue("CN=x", emails=[MAIL, "bob@uni.example.org"]), "account"),
    "another domain": (lambda: CA.issue("CN=x", emails=["ada@uni.example.org.evil.com"]), "account"),
    "a domain below": (lambda: CA.issue("CN=x", emails=["ada@sub.uni.example.org"]), "account"),
    "a name that is no account": (lambda: CA.issue("CN=x", emails=["Ada@uni.example.org"]), "account"),
    "a role in the name": (lambda: CA.issue("CN=x", emails=["admin/root@uni.example.org"]), "account"),
    "a second @": (lambda: CA.issue("CN=x", emails=["ada@uni.example.org@evil.com"]), "email"),
    "a NUL": (lambda: CA.issue("CN=x", emails=["ada@uni.example.org\0.evil.com"]), "email"),
    "the e-mail in the subject": (
        lambda: CA.issue("1.2.840.113549.1.9.1=ada@uni.example.org,CN=x"),
        "account",
    ),
    "our name as URI": (
        lambda: CA.issue("CN=x", names=[x509.UniformResourceIdentifier("rjs://admin/root")]),
        "account",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_nobody_is_guessed(what: str) -> None:
    """Each way to come near an account by rule: refused, and nothing issued."""
    make, code = WRONG[what]
    assert refused(make(), RULE) == f"identity.{code}"


@pytest.mark.parametrize(
    "subject",
    [
        "CN=Ada Lovelace,O=University,O=x",
        "O=University,CN=Ada Lovelace",
        "CN=ada lovelace,O=University",
        "CN=Ada Lovelace ,O=University".replace(" ,", "\\ ,"),
        "CN=Ada Lovelace\\00,O=University",
        "CN=\u0410da Lovelace,O=University",
        "CN=Ada Lovelace+O=University",
        "CN=Ada Lovelace\\,O=University",
    ],
)
def test_a_subject_is_the_whole_subject(subject: str) -> None:
    """Order, case, spaces, NUL, letters that look alike and escapes make another subject, which is nobody's."""
    assert refused(CA.issue(subject), TABLE) == "identity.account"


def test_other_string_types_are_the_same_subject() -> None:
    """A CA may encode a name otherwise: what it says counts."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "University"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Ada Lovelace"),
        ]
    )
    assert account(CA.issue(name), TABLE) == "rjs://user/ada"


def test_two_accounts_are_none() -> None:
    """A certificate that means one account by its subject and another by its e-mail gets neither."""
    assert refused(CA.issue(ADA, emails=["robert@uni.example.org"]), TABLE) == "identity.account"


def test_many_cas_of_one_name_are_not_tried_in_every_order() -> None:
    """A root that is shown beside its certificate by another CA is usual; a heap of them costs no signature check."""
    ada = CA.below("Issuing CA").issue(emails=[MAIL])
    twins = [ForeignCa(NOW, "Issuing CA").certificate for _ in range(2)]
    assert account(ForeignIdentity(ada.key, (*ada.chain, twins[0])), RULE) == "rjs://user/ada"
    assert refused(ForeignIdentity(ada.key, (*ada.chain, *twins)), RULE) == "identity.chain_length"


def test_a_rule_takes_nobodys_listed_account() -> None:
    """An account that the table lists for one certificate is no other's by rule."""
    both = stated(CA.accepted(domain=DOMAIN), OTHER.accepted(("ada", By.SUBJECT, "CN=A")))
    assert refused(CA.issue("CN=x", emails=[MAIL]), both) == "identity.account"
    assert account(OTHER.issue("CN=A"), both) == "rjs://user/ada"


def test_a_revoked_certificate() -> None:
    """What the CA's list names counts no more, in the very next statement."""
    who = CA.issue(ADA, emails=[MAIL])
    revoked = msgspec.structs.replace(CA.accepted(domain=DOMAIN), revoked=(serial_of(who.leaf),))
    assert refused(who, stated(revoked)) == "identity.revoked"


def test_an_invited_account_is_not_taken_over() -> None:
    """By rule never; the operator's own table may give the account a second way in."""
    who, authority = CA.issue(ADA, emails=[MAIL]), issuer(RULE)
    authority.authority.history.invited.add("rjs://user/ada")
    with pytest.raises(RefusedError, match="account-taken"):
        present(who, authority)
    authority.authority.acceptance = TABLE
    assert present(who, authority).chain


def test_a_revoked_person_does_not_come_back() -> None:
    """Presenting is no way around a revocation, however often it is tried."""
    authority = issuer(RULE)
    entry = Revoked(What.MEMBER, "rjs://user/ada", NOW.timestamp() - 3600)
    authority.authority.revocations = sign_revocations(ORGANISATION.record, 1, [entry], NOW)
    with pytest.raises(RefusedError, match="revoked"):
        present(CA.issue(ADA, emails=[MAIL]), authority)


def test_a_token_that_was_had_so_does_not_renew_itself() -> None:
    """Or it would outlive the certificate, its CA's word and the operator's."""
    authority = issuer(RULE)
    token = present(CA.issue(ADA, emails=[MAIL]), authority)
    with pytest.raises(RefusedError, match="present-again"):
        authority.decide(Renew(1, ask_renewal(token, new_key(), NOW)))


def test_a_web_server_that_saw_a_certificate_cannot_present_it() -> None:
    """Without its key there is no statement; with another's statement no certificate."""
    ada, eve = CA.issue(ADA, emails=[MAIL]), CA.issue("CN=Eve", emails=["eve@uni.example.org"])
    request = ask_token(eve, new_key(), new_key(), CLUSTER, NOW)
    seen = ask_token(ada, new_key(), new_key(), CLUSTER, NOW)
    for forged in (
        msgspec.structs.replace(request, chain=seen.chain),
        msgspec.structs.replace(seen, statement=request.statement),
    ):
        with pytest.raises(RefusedError, match=r"identity\.proof"):
            issuer(RULE).decide(Present(1, forged))


def test_for_another_cluster_and_of_another_time() -> None:
    """A request made for one cluster, or kept, is worth nothing in another or later."""
    who = CA.issue(ADA, emails=[MAIL])
    other = ask_token(who, new_key(), None, "f" * 16, NOW)
    late = ask_token(who, new_key(), None, CLUSTER, NOW - dt.timedelta(minutes=11))
    for request, code in ((other, "other_cluster"), (late, "clock")):
        with pytest.raises(RefusedError, match=rf"identity\.{code}"):
            issuer(RULE).decide(Present(1, request))


def test_without_a_statement_or_after_its_year() -> None:
    """Nobody is accepted by default, or for ever."""
    who = CA.issue(ADA, emails=[MAIL])
    assert refused(who, None) == "identity.other_root"
    with pytest.raises(RefusedError, match="acceptance_ended"):
        RULE.meant(who.chain, NOW + dt.timedelta(days=366))


@pytest.mark.parametrize("holder", ["record", "intermediate", "enrolment"])
def test_a_broken_into_web_server_accepts_nobody(holder: str) -> None:
    """With every key that it holds, and the enrolment key too, a statement of its own is refused by its authority."""
    identity: Identity = getattr(ORGANISATION, holder)
    with pytest.raises(RefusedError, match=r"identity\.kind"):
        sign_acceptance(identity, 2, [OTHER.accepted(domain="evil.example")])


def test_a_statement_changed_on_the_way() -> None:
    """One byte, or the signature of another statement: refused."""
    other = stated(OTHER.accepted(domain="evil.example"), number=2)
    forged = msgspec.structs.replace(RULE.signed, statement=other.signed.statement)
    with pytest.raises(RefusedError, match=r"identity\.proof"):
        read_acceptance(forged, ORGANISATION.root)
    with pytest.raises(RefusedError, match=r"identity\.other_root"):
        read_acceptance(RULE.signed, Organisation(NOW).root)


def test_a_statement_is_not_rolled_back() -> None:
    """An older one, and another of the same number, replace nothing; the same one again changes nothing."""
    withdrawn = stated(number=2)
    check_acceptance_succession(RULE, withdrawn)
    check_acceptance_succession(withdrawn, withdrawn)
    for older in (RULE, stated(CA.accepted(domain=DOMAIN), number=2)):
        with pytest.raises(RefusedError, match="acceptance_rolled_back"):
            check_acceptance_succession(withdrawn, older)


@pytest.mark.parametrize(
    "ca",
    [
        CA.accepted(("admin/root", By.SUBJECT, ADA)),
        CA.accepted(("Root", By.SUBJECT, ADA)),
        CA.accepted(("ada", By.SUBJECT, "not a name")),
        CA.accepted(("ada", By.SUBJECT, ADA), ("bob", By.SUBJECT, ADA)),
        CA.accepted(("ada", By.EMAIL, "a@b@c.org")),
        CA.accepted(domain="*.org"),
        CA.accepted(domain="Uni.example.org"),
    ],
)
def test_an_unclear_statement_is_none(ca: AcceptedCa) -> None:
    """Other roles, names that are none, one certificate for two accounts and domains with wildcards are refused."""
    with pytest.raises(RefusedError, match="identity"):
        stated(ca)
