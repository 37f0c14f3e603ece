"""Whose jobs an owner runs: the decision about a verified signer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from cs.trust import (
    Allowed,
    Grant,
    Kind,
    NotAllowedError,
    NotGranted,
    NotTrusted,
    TrustRefusedError,
    TrustStore,
)
from rjs.bundle.path import subject_of
from rjs.bundle.testing import NOW, Party, make_party, make_signer
from rjs.bundle.verify import Signer, spki_of
from rjs.descriptor.model import Permissions
from rjs.ids import SpkiDigest

ROOT = make_party("Root", ca=True)
MIDDLE = make_party("Middle", ROOT, ca=True)
ADA = make_signer("Ada", MIDDLE)
EVE = make_signer("Eve", make_party("Root", ca=True))  # a root of the same name, but not the same key
HOUR = timedelta(hours=1)


NOTHING = Permissions()


def signer_of(party: Party) -> Signer:
    """What the verifier says of a bundle that ``party`` signed."""
    path = tuple(certificate.public_bytes(Encoding.DER) for certificate in party.chain)
    leaf = party.certificate
    return Signer(spki_of(leaf), subject_of(leaf), path[0], path, leaf.not_valid_after_utc)


def grant(certificate: x509.Certificate, kind: Kind, until: datetime | None = None) -> Grant:
    """A grant for a certificate's key."""
    return Grant(spki_of(certificate), "label", kind, NOW - HOUR, until)


def digest(text: str) -> SpkiDigest:
    """A made-up fingerprint that begins with ``text``."""
    return SpkiDigest(text.ljust(64, "0"))


@pytest.mark.parametrize(
    ("given_to", "kind", "until", "allowed"),
    [
        (ADA.certificate, "signer", None, True),
        (ROOT.certificate, "ca", None, True),
        (MIDDLE.certificate, "ca", None, True),
        (ADA.certificate, "ca", None, False),
        (ROOT.certificate, "signer", None, False),
        (MIDDLE.certificate, "signer", None, False),
        (EVE.certificate, "signer", None, False),
        (EVE.root, "ca", None, False),
        (ADA.certificate, "signer", NOW + HOUR, True),
        (ADA.certificate, "signer", NOW, False),
        (ADA.certificate, "signer", NOW - HOUR, False),
        (ROOT.certificate, "ca", NOW - HOUR, False),
    ],
)
def test_a_grant_counts_for_its_key_kind_and_time_only(
    given_to: x509.Certificate, kind: Kind, until: datetime | None, allowed: bool
) -> None:
    """A signer grant covers the leaf, a ca grant what it certified; none counts for the other or beyond its end."""
    one = grant(given_to, kind, until)
    decision = TrustStore((one,)).allows(signer_of(ADA), NOTHING, NOW)
    if allowed:
        assert decision == Allowed(one)
    else:
        assert isinstance(decision, NotTrusted)


def test_nobody_is_trusted_without_grants() -> None:
    """The refusal names the signer, and the command that would change it with the key's fingerprint."""
    decision = TrustStore().allows(signer_of(ADA), NOTHING, NOW)
    assert isinstance(decision, NotTrusted)
    assert "CN=Ada" in decision.why
    assert decision.remedy == f"rjs trust add {spki_of(ADA.certificate)}"


def test_an_ended_grant_is_named() -> None:
    """The submitter learns that trust ended, and when; the command gives again what was given, for as long."""
    ended = attrs.evolve(
        grant(ROOT.certificate, "ca", NOW - HOUR), added=NOW - 50 * HOUR, network=("a.org:1",)
    )
    decision = TrustStore((ended,)).allows(signer_of(ADA), NOTHING, NOW)
    assert isinstance(decision, NotTrusted)
    assert "ended at 2026-06-01 11:00:00" in decision.why
    assert decision.remedy == f"rjs trust add {ended.spki} --ca --network a.org:1 --days 3"


def test_a_living_grant_counts_beside_an_ended_one() -> None:
    """The end of the trust in a key does not end the trust in its CA, as the owner stated both."""
    ca = grant(ROOT.certificate, "ca")
    assert TrustStore((grant(ADA.certificate, "signer", NOW), ca)).allows(
        signer_of(ADA), NOTHING, NOW
    ) == Allowed(ca)


def test_the_nearest_grant_is_named() -> None:
    """The signer's own key before its CA, a CA before the root."""
    own, middle, root = (
        grant(ADA.certificate, "signer"),
        grant(MIDDLE.certificate, "ca"),
        grant(ROOT.certificate, "ca"),
    )
    assert TrustStore((root, middle, own)).allows(signer_of(ADA), NOTHING, NOW) == Allowed(own)
    assert TrustStore((root, middle)).allows(signer_of(ADA), NOTHING, NOW) == Allowed(middle)


def test_a_fault_trusts_nobody() -> None:
    """Whatever grants were read: a file that cannot be believed gives no trust, and the sentence says why."""
    store = TrustStore((grant(ADA.certificate, "signer"),), fault="trust.toml is damaged")
    decision = store.allows(signer_of(ADA), NOTHING, NOW)
    assert isinstance(decision, NotTrusted)
    assert "trust.toml is damaged" in decision.why


def test_a_grant_gives_the_places_that_it_names() -> None:
    """All of what is asked, in whatever order and spelling; asking for nothing needs none."""
    one = attrs.evolve(grant(ADA.certificate, "signer"), network=("data.example.org:443", "192.0.2.7:80"))
    store, ada = TrustStore((one,)), signer_of(ADA)
    for asked in ((), ("192.0.2.7:80",), ("192.0.2.7:80", "Data.Example.org:443")):
        assert store.allows(ada, Permissions(network=asked), NOW) == Allowed(one)


def test_what_is_missing_is_named_with_the_command_that_grants_it() -> None:
    """The command names every place, the granted ones as well, and keeps the end of the trust."""
    one = attrs.evolve(grant(ADA.certificate, "signer", NOW + 30 * HOUR), network=("a.org:1",))
    decision = TrustStore((one,)).allows(signer_of(ADA), Permissions(network=("a.org:1", "b.org:2")), NOW)
    assert decision == NotGranted(
        "the owner of this machine trusts label, but does not let its jobs reach b.org:2",
        f"rjs trust add {one.spki} --network a.org:1 --network b.org:2 --until {(NOW + 30 * HOUR).isoformat()}",
    )


def test_a_refusals_command_keeps_what_is_private() -> None:
    """Who pastes it changes nothing that was granted."""
    one = attrs.evolve(
        grant(ADA.certificate, "signer"), network=("a.org:1", "nas.lan:80"), private=("nas.lan:80",)
    )
    decision = TrustStore((one,)).allows(signer_of(ADA), Permissions(network=("b.org:2",)), NOW)
    assert isinstance(decision, NotGranted)
    assert decision.remedy == (
        f"rjs trust add {one.spki} --network a.org:1 --private nas.lan:80 --network b.org:2"
    )


def test_the_owner_can_paste_the_command() -> None:
    """Others read DIR where the owner reads the state folder, as a shell takes it."""
    decision = TrustStore().allows(signer_of(ADA), NOTHING, NOW)
    assert not isinstance(decision, Allowed)
    error = NotAllowedError(decision, signer_of(ADA))
    assert error.code == "not-trusted"
    assert error.sentence.endswith(f"with: rjs trust add {spki_of(ADA.certificate)} --cs DIR")
    assert error.to_owner("/my own/cs").endswith(" --cs '/my own/cs'")


def test_one_grant_has_to_give_all() -> None:
    """Grants for a signer and for its CA do not add up; the one that gives all counts, whichever it is."""
    own = attrs.evolve(grant(ADA.certificate, "signer"), network=("a.org:1",))
    ca = attrs.evolve(grant(ROOT.certificate, "ca"), network=("b.org:2",))
    store, ada = TrustStore((own, ca)), signer_of(ADA)
    assert store.allows(ada, Permissions(network=("b.org:2",)), NOW) == Allowed(ca)
    assert isinstance(store.allows(ada, Permissions(network=("a.org:1", "b.org:2")), NOW), NotGranted)


def test_an_ended_grant_gives_nothing() -> None:
    """Trust that ended is no trust, whatever it gave."""
    ended = attrs.evolve(grant(ADA.certificate, "signer", NOW), network=("a.org:1",))
    decision = TrustStore((ended,)).allows(signer_of(ADA), Permissions(network=("a.org:1",)), NOW)
    assert isinstance(decision, NotTrusted)


def test_a_grant_without_a_label_keeps_the_earlier_one() -> None:
    """Who does as a refusal says does not lose whose key it is."""
    again = Grant(digest("a"), "", "signer", NOW, network=("a.org:1",))
    store = TrustStore((Grant(digest("a"), "Ada", "signer", NOW),)).with_grant(again)
    assert store.grants == (attrs.evolve(again, label="Ada"),)


def test_a_second_grant_for_a_key_replaces_the_first_of_its_kind() -> None:
    """One key may be granted as signer and as ca, and each of them once."""
    signer, ca = Grant(digest("a"), "old", "signer", NOW), Grant(digest("a"), "ca", "ca", NOW)
    renewed = Grant(digest("a"), "new", "signer", NOW, NOW + HOUR)
    assert TrustStore((signer, ca)).with_grant(renewed).grants == (ca, renewed)


def test_a_key_is_removed_by_the_start_of_its_fingerprint() -> None:
    """All its grants go, nobody else's, and what went is returned."""
    signer, ca = Grant(digest("abcdef0123"), "", "signer", NOW), Grant(digest("abcdef0123"), "", "ca", NOW)
    other = Grant(digest("abcdef0999"), "", "signer", NOW)
    store, removed = TrustStore((signer, other, ca)).without("ABCDEF01")
    assert (store.grants, removed) == ((other,), (signer, ca))


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("abcdef0", "trust.short"),
        ("", "trust.short"),
        ("12345678", "trust.absent"),
        ("abcdef00", "trust.ambiguous"),
    ],
)
def test_a_fingerprint_that_is_not_clear_removes_nothing(prefix: str, code: str) -> None:
    """Too short, unknown, or the start of two: refused by name."""
    store = TrustStore(tuple(Grant(digest(f"abcdef00{n}"), f"n{n}", "signer", NOW) for n in range(2)))
    with pytest.raises(TrustRefusedError) as refused:
        store.without(prefix)
    assert refused.value.code == code


@given(
    grants=st.lists(
        st.builds(
            Grant,
            spki=st.sampled_from([spki_of(c) for c in (*ADA.chain, *EVE.chain)]),
            label=st.just(""),
            kind=st.sampled_from(["signer", "ca"]),
            added=st.just(NOW),
            until=st.none() | st.datetimes(timezones=st.just(UTC)),
        ),
        unique_by=lambda grant: (grant.kind, grant.spki),
    )
)
def test_allowed_means_that_one_grant_alone_allows(grants: list[Grant]) -> None:
    """Grants never combine: a store allows exactly when one of its grants, by itself, does, and it names that one."""
    decision = TrustStore(tuple(grants)).allows(signer_of(ADA), NOTHING, NOW)
    alone = [
        each
        for each in grants
        if isinstance(TrustStore((each,)).allows(signer_of(ADA), NOTHING, NOW), Allowed)
    ]
    if isinstance(decision, Allowed):
        assert decision.grant in alone
    else:
        assert alone == []
