from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from rjs.identity.errors import IdentityError
from rjs.identity.keys import (
    kept_key,
    load_chain,
    load_private,
    new_key,
    save_chain,
    save_private,
    spki_digest,
)
from rjs.identity.testing import Organisation


def test_a_key_file_is_its_owners_only(tmp_path: Path) -> None:
    """A saved key has mode 0600, leaves nothing else behind, and reads back as the same key."""
    key = new_key()
    save_private(tmp_path / "token.key", key)
    assert stat.S_IMODE((tmp_path / "token.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]
    assert load_private(tmp_path / "token.key").private_numbers() == key.private_numbers()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Saving over a key fails and leaves the first key; asking for a kept key gives that one."""
    key = new_key()
    save_private(tmp_path / "token.key", key)
    with pytest.raises(FileExistsError):
        save_private(tmp_path / "token.key", new_key())
    assert spki_digest(kept_key(tmp_path / "token.key")) == spki_digest(key)
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_an_exposed_key_is_refused_by_name(tmp_path: Path, mode: int) -> None:
    """A key that others can read is not used, and the sentence names the file and the remedy."""
    path = tmp_path / "token.key"
    save_private(path, new_key())
    path.chmod(mode)
    with pytest.raises(IdentityError, match=f"chmod 600 {path}") as refused:
        load_private(path)
    assert refused.value.code == "identity.key_exposed"


def test_only_p256_keys_are_used(tmp_path: Path) -> None:
    """Keys of other kinds, and files that hold none, are refused."""
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pems = [
        ec.generate_private_key(ec.SECP384R1()).private_bytes(serialization.Encoding.PEM, form, plain),
        ed25519.Ed25519PrivateKey.generate().private_bytes(serialization.Encoding.PEM, form, plain),
    ]
    for number, content in enumerate(
        [*pems, b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    ):
        path = tmp_path / f"{number}.key"
        path.touch(0o600)
        path.write_bytes(content)
        with pytest.raises(IdentityError):
            load_private(path)


def test_a_chain_reads_back_in_order(tmp_path: Path, organisation: Organisation) -> None:
    """A chain file keeps leaf first and root last, and an empty one is refused."""
    save_chain(tmp_path / "x.pem", organisation.intermediate.chain)
    assert load_chain(tmp_path / "x.pem") == organisation.intermediate.chain
    (tmp_path / "y.pem").write_bytes(b"no certificate")
    with pytest.raises(IdentityError):
        load_chain(tmp_path / "y.pem")


def test_one_key_has_one_digest(organisation: Organisation) -> None:
    """Private key, public key and certificate of one pair share a digest of 64 hex digits."""
    identity = organisation.intermediate
    digests = {
        spki_digest(identity.key),
        spki_digest(identity.key.public_key()),
        spki_digest(identity.chain[0]),
    }
    (digest,) = digests
    assert len(digest) == 64
