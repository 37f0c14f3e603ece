"""A person's encryption key: there after joining, kept for good, and certified without being needed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509

from rjs.bundle.seal_keys import check_recipients, unwrap_key, wrap_key
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import sole_uri
from rjs.identity.encryption import encryption_certificate, encryption_key, make_encryption_key
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import is_encrypted, load_chain, new_key, save_chain, save_private, spki_digest
from rjs.identity.names import Role, signer_uri
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import make_request, read_request, request_der
from rjs.identity.testing import Organisation
from rjs.limits import ENCRYPTION_LIFETIME, ENCRYPTION_RENEWAL

LIFE = dt.timedelta(seconds=ENCRYPTION_LIFETIME)
SOON = LIFE - dt.timedelta(seconds=ENCRYPTION_RENEWAL / 2)
PASSPHRASE = b"open sesame"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing is made slow for thieves, not for tests."""
    monkeypatch.setattr("rjs.identity.encrypted_keys.PASSPHRASE_ROUNDS", 200)


@pytest.fixture
def folder(tmp_path: Path, now: dt.datetime) -> Path:
    """Ada's, with a new key."""
    make_encryption_key(tmp_path, "ada", "Institute", now)
    return tmp_path


def opens(folder: Path, certificate: x509.Certificate) -> bool:
    """Whether what is sealed for ``certificate`` is read with the folder's key."""
    content = bytes(range(32))
    return unwrap_key(wrap_key(content, [certificate]), encryption_key(folder), None) == content


@pytest.mark.parametrize("role", [Role.USER, Role.ADMIN, Role.CS])
def test_joining_makes_one_for_a_user(organisation: Organisation, tmp_path: Path, role: Role) -> None:
    """Who submits jobs can seal at once: for the account invited, with another key than for anything else."""
    pending = IdentityFolder(tmp_path / "id")
    pending.create_pending(organisation.invitation(role), organisation.now)
    assert (tmp_path / "id" / "encryption.key").exists() == (role is Role.USER)
    if role is Role.USER:
        certificate = encryption_certificate(pending.path, organisation.now)
        assert sole_uri(certificate) == "rjs://reader/ada"
        check_recipients([certificate])
        assert opens(pending.path, certificate)
        keys = [load.read_bytes() for load in pending.path.glob("*.key")]
        assert len(set(keys)) == len(keys) == 3


def test_the_operator_certifies_it(folder: Path, tmp_path: Path, now: dt.datetime) -> None:
    """The request in the folder gets a certificate of its kind, for the same key, by which the old seals open too."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    own = encryption_certificate(folder, now)
    chain = operator.issue((folder / "encryption-request.pem").read_bytes(), now)
    assert check_chain(chain, operator.root, now) is Kind.ENCRYPTION
    save_chain(folder / "encryption.pem", chain)
    certified = encryption_certificate(folder, now)
    assert certified == chain[0] != own and spki_digest(certified) == spki_digest(own)
    assert opens(folder, own) and opens(folder, certified)


def test_a_self_signed_one_renews_itself(folder: Path, now: dt.datetime) -> None:
    """Before it ends, at its next use, with the same key; not a day earlier."""
    first = encryption_certificate(folder, now)
    assert encryption_certificate(folder, now + SOON - dt.timedelta(days=16)) == first
    renewed = encryption_certificate(folder, now + SOON)
    assert renewed.not_valid_after_utc > first.not_valid_after_utc
    assert spki_digest(renewed) == spki_digest(first)
    assert load_chain(folder / "encryption.pem") == (renewed,)
    assert opens(folder, first)


def test_a_certified_one_that_has_ended_says_what_to_do(
    folder: Path, tmp_path: Path, now: dt.datetime
) -> None:
    """It is used to its end; then the command that it names makes one that serves at once."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    chain = operator.issue((folder / "encryption-request.pem").read_bytes(), now)
    save_chain(folder / "encryption.pem", chain)
    assert encryption_certificate(folder, now + SOON) == chain[0]
    make_encryption_key(folder, "ada", "Institute", now + SOON)
    assert encryption_certificate(folder, now + SOON) == chain[0]
    late = now + LIFE + dt.timedelta(days=1)
    with pytest.raises(IdentityError, match="rjs cert request --encryption"):
        encryption_certificate(folder, late)
    make_encryption_key(folder, "ada", "Institute", late)
    assert spki_digest(encryption_certificate(folder, late)) == spki_digest(chain[0])


def test_a_key_is_never_replaced(folder: Path, now: dt.datetime) -> None:
    """However often it is asked for, what was sealed for it stays readable."""
    before = (folder / "encryption.key").read_bytes()
    make_encryption_key(folder, "ada", "Institute", now + 2 * LIFE)
    assert (folder / "encryption.key").read_bytes() == before


def test_an_older_folder_has_none(tmp_path: Path) -> None:
    """A folder of an earlier release is told which command makes the key."""
    for use in (encryption_key, lambda folder: encryption_certificate(folder, dt.datetime.now(dt.UTC))):
        with pytest.raises(IdentityError, match="rjs cert request --encryption") as refused:
            use(tmp_path)
        assert refused.value.code == "identity.no_encryption_key"


def test_a_certificate_that_would_lose_answers_is_not_used(
    folder: Path, organisation: Organisation, now: dt.datetime
) -> None:
    """A colleague's in the place of one's own, or one that is not for encryption, is refused before it is used."""
    save_chain(folder / "encryption.pem", organisation.encryption("bob").chain)
    with pytest.raises(IdentityError, match="key_mismatch"):
        encryption_certificate(folder, now)
    make_encryption_key(folder, "ada", "Institute", now)
    assert opens(folder, encryption_certificate(folder, now))
    save_chain(folder / "encryption.pem", organisation.signing("ada").chain)
    with pytest.raises(IdentityError, match="does not hold an encryption certificate"):
        encryption_certificate(folder, now)


def test_a_new_key_gets_the_signing_keys_passphrase(tmp_path: Path, now: dt.datetime) -> None:
    """Whoever protects one key protects the other, and a mistyped passphrase protects nothing."""
    save_private(tmp_path / "signing.key", new_key(), PASSPHRASE)
    with pytest.raises(IdentityError, match="passphrase"):
        make_encryption_key(tmp_path, "ada", "Institute", now, lambda _: b"open sesam")
    assert not (tmp_path / "encryption.key").exists()
    make_encryption_key(tmp_path, "ada", "Institute", now, lambda _: PASSPHRASE)
    assert is_encrypted(tmp_path / "encryption.key")
    encryption_key(tmp_path, lambda _: PASSPHRASE)
    encryption_certificate(tmp_path, now)  # sealing asks for nothing


@pytest.mark.parametrize("uri", ["rjs://reader/Ada", "rjs://reader/", "rjs://reader/ada/x", "rjs://user/ada"])
def test_other_names_are_not_certified(tmp_path: Path, now: dt.datetime, uri: str) -> None:
    """The operator's folder certifies accounts' keys under exactly their names."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    with pytest.raises(IdentityError):
        operator.issue(request_der(make_request(new_key(), uri, "ada")), now)


def test_a_request_says_what_it_is_for(tmp_path: Path, now: dt.datetime) -> None:
    """A signing request never yields an encryption certificate, nor the other way round."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    for uri, kind in ((signer_uri("ada"), Kind.SIGNING), ("rjs://reader/ada", Kind.ENCRYPTION)):
        chain = operator.issue(request_der(make_request(new_key(), uri, "ada")), now)
        assert check_chain(chain, operator.root, now) is kind


def test_requests_are_for_the_member_and_its_keys(organisation: Organisation, tmp_path: Path) -> None:
    """Made again after joining, they are for the account, and for the same two keys as before."""
    folder, invitation, now = (
        IdentityFolder(tmp_path / "id"),
        organisation.invitation(Role.USER),
        organisation.now,
    )
    asked = folder.create_pending(invitation, now)
    key, _ = read_request(asked.token_request)
    chain = organisation.tokens.issue(key, invitation.subject, "Ada", now)
    folder.complete(invitation, chain, now)
    before = [read_request(path.read_bytes()) for path in sorted(folder.path.glob("*-request.pem"))]
    again = [
        read_request(path.read_bytes()) for path in (folder.request_encryption(now), folder.request_signing())
    ]
    assert again == before
    assert [uri for _, uri in again] == ["rjs://reader/ada", "rjs://signer/ada"]
    assert len({spki_digest(key) for key, _ in again}) == 2
