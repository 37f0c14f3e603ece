"""The operator's folder: organisation root and enrolment CA. It may be offline; no server needs it to run.

======================  ===============================================================
``root.key root.pem``   the organisation root, pinned by every member
``enrolment.key .pem``  the enrolment CA, which certifies invitations; its chain
``issued.jsonl``        what was issued (``issued.py``)
======================  ===============================================================

No file names a place, so the folder works wherever it lies: on another machine, on a stick. Its keys may rest under a
passphrase (``passphrases.py``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from cryptography import x509

from rjs.files import make_private_folder
from rjs.identity.authority import EnrolmentAuthority
from rjs.identity.certificates import Identity, Issuer, Subject, mint, organisation_of, self_signed_root
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation
from rjs.identity.keys import (
    AskPassphrase,
    Chain,
    PrivateKey,
    PublicKey,
    is_encrypted,
    kept_key,
    load_chain,
    load_private,
    new_key,
    save_chain,
    spki_digest,
)
from rjs.identity.names import Role, check_common_name, reader_account, signer_account
from rjs.identity.passphrases import NewPassphrase, change_passphrase, finish_change
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import read_request
from rjs.ids import ClusterId
from rjs.limits import (
    ACCEPTANCE_LIFETIME,
    ENCRYPTION_LIFETIME,
    ENROLMENT_CA_LIFETIME,
    INVITATION_LIFETIME,
    RECORD_LIFETIME,
    ROOT_LIFETIME,
    SIGNING_LIFETIME,
    TOKEN_INTERMEDIATE_LIFETIME,
)

_CLUSTER_DIGITS = 16
_KEYS = ("root.key", "enrolment.key")


def cluster_of(root: x509.Certificate) -> ClusterId:
    """The cluster that this organisation root stands for."""
    return ClusterId(spki_digest(root)[:_CLUSTER_DIGITS])


class OperatorFolder:
    """The folder of ``rjs ca``. Made by ``create`` or ``open``; keys are read only while they sign."""

    def __init__(self, path: Path, enrolment_chain: Chain, ask: AskPassphrase | None) -> None:
        self.path = path
        self._ask = ask
        self.root = enrolment_chain[-1]
        self._enrolment_chain = enrolment_chain

    @classmethod
    def create(cls, path: Path, organisation: str, now: dt.datetime, passphrase: bytes | None = None) -> Self:
        """Make the root and the enrolment CA of a new organisation in the folder ``path``; durable on return.

        ``organisation`` is 1 to 64 printable characters; ``passphrase`` protects both keys. Killed in here, it can be
        called again: the last file written makes the folder whole. Raises IdentityError when ``path`` holds an
        organisation already.
        """
        check_common_name(organisation)
        if (path / "enrolment.pem").exists():
            raise IdentityError(
                "folder_exists", f"{path} holds an organisation already; use it, or name another folder"
            )
        make_private_folder(path)
        _write_authorities(path, organisation, now, passphrase)
        return cls.open(path, None if passphrase is None else lambda _: passphrase)

    @classmethod
    def open(cls, path: Path, ask: AskPassphrase | None = None) -> Self:
        """The operator's folder at ``path``; ``ask`` is asked for the passphrase when a key is needed.

        Raises IdentityError when it is no such folder, OSError when unreadable.
        """
        if not (path / "enrolment.pem").exists():
            raise IdentityError(
                "no_folder", f"{path} is no operator's folder; make one with: rjs ca init {path}"
            )
        chain = load_chain(path / "enrolment.pem")
        if check_chain(chain, load_chain(path / "root.pem")[-1], now=None) is not Kind.ENROLMENT_CA:
            raise IdentityError(
                "kind", f"{path / 'enrolment.pem'} does not hold the certificate of an enrolment CA"
            )
        finish_change(path)
        return cls(path, chain, ask)

    @property
    def cluster(self) -> ClusterId:
        """The id of the cluster that this organisation's root stands for."""
        return cluster_of(self.root)

    @property
    def organisation(self) -> str:
        """The organisation's name."""
        return organisation_of(self.root)

    def invite(
        self,
        role: Role,
        name: str | None,
        *,
        ws: Sequence[str],
        now: dt.datetime,
        lifetime: float = INVITATION_LIFETIME,
    ) -> Invitation:
        """A new invitation to join as ``role`` within ``lifetime`` seconds, by way of the addresses ``ws``.

        See ``EnrolmentAuthority.invite``.
        """
        return self.enrolment().invite(role, name, ws=ws, now=now, lifetime=lifetime)

    def enrolment(self) -> EnrolmentAuthority:
        """The enrolment CA with its key, which is read now: to make many invitations with."""
        key = load_private(self.path / "enrolment.key", self._ask)
        return EnrolmentAuthority(key, self._enrolment_chain)

    def issue(self, request: bytes, now: dt.datetime) -> Chain:
        """Certify the signing or encryption key of a PKCS#10 ``request`` (PEM or DER), by its name: (leaf, root).

        The operator vouches with this that the key belongs to the account named in the request.
        """
        public_key, uri = read_request(request)
        if uri.startswith("rjs://reader/"):
            account = reader_account(uri)
            subject, kind = Subject(public_key, account, ENCRYPTION_LIFETIME, uri, "reader"), Kind.ENCRYPTION
        else:
            account = signer_account(uri)
            subject, kind = Subject(public_key, account, SIGNING_LIFETIME, uri, "signer"), Kind.SIGNING
        return (mint(kind, subject, self._root_issuer(), now), self.root)

    def change_passphrase(self, choose: NewPassphrase) -> None:
        """Protect root and enrolment key otherwise from now on; see ``passphrases.py``."""
        change_passphrase(self.path, _KEYS, self._ask, choose)

    def certify_intermediate(self, public_key: PublicKey, now: dt.datetime) -> x509.Certificate:
        """The certificate of a web server's token intermediate, for one year."""
        subject = Subject(public_key, "token authority", TOKEN_INTERMEDIATE_LIFETIME)
        return mint(Kind.TOKEN_INTERMEDIATE, subject, self._root_issuer(), now)

    def certify_record(self, public_key: PublicKey, now: dt.datetime) -> x509.Certificate:
        """The certificate of a web server's record key, for one year."""
        subject = Subject(public_key, "record of revocations", RECORD_LIFETIME)
        return mint(Kind.RECORD, subject, self._root_issuer(), now)

    def acceptance_identity(self, now: dt.datetime) -> Identity:
        """A one-time key with its certificate, to say with which other CAs are accepted; it lives in memory only."""
        key = new_key()
        subject = Subject(key.public_key(), "acceptance of other CAs", ACCEPTANCE_LIFETIME)
        return Identity(key, (mint(Kind.ACCEPTANCE, subject, self._root_issuer(), now), self.root))

    def _root_issuer(self) -> Issuer:
        return Issuer(load_private(self.path / "root.key", self._ask), self.root)


def _write_authorities(folder: Path, organisation: str, now: dt.datetime, passphrase: bytes | None) -> None:
    root_key, enrolment_key = (_begun(folder / name, passphrase) for name in _KEYS)
    root = self_signed_root(root_key, organisation, ROOT_LIFETIME, now)
    subject = Subject(enrolment_key.public_key(), "enrolment CA", ENROLMENT_CA_LIFETIME)
    enrolment = mint(Kind.ENROLMENT_CA, subject, Issuer(root_key, root), now)
    save_chain(folder / "root.pem", [root])
    save_chain(folder / "enrolment.pem", [enrolment, root])  # the last: ``open`` asks for it


def _begun(path: Path, passphrase: bytes | None) -> PrivateKey:
    """The key at ``path``, made unless an earlier try did; one that is not protected as asked for is not taken."""
    key = kept_key(path, passphrase)
    if is_encrypted(path) != (passphrase is not None):
        raise IdentityError(
            "folder_unfinished",
            f"{path} was made with another choice of passphrase, and rjs ca init did not finish then: repeat that, "
            f"or remove the folder, from which nothing was issued",
        )
    return key
