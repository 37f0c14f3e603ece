"""The folder of one member's keys and certificates, and how it becomes whole although anything may be killed.

====================================  =====================================================================
``root.pem``                          the organisation's root: whom this member believes
``token.pem``                         who calls, key and chain in one file: renewed, they change together
``token-next.key``                    the key of the certificate that is being asked for
``answer.key answer.pem``             compute server: signs answers
``signing.key signing-request.pem``   user: signs bundles; ``rjs ca issue`` makes ``signing.pem`` of the request
``encryption.key`` and its like       user: opens sealed answers (``encryption.py``)
``authority/``                        web server: its authority's ``intermediate.*``, ``record.*``, log and list
``revocations``                       person: the list of what is revoked that was fetched last
``joining``                           serial number of the invitation that is being used
``member.json``                       role, id, name, cluster, addresses of the web server and of lookup servers
====================================  =====================================================================

``member.json`` is written last: with it the folder is joined, without it the folder can be joined again. Keys are
made here and durable before the first call, so a join repeated after a lost reply asks for the same keys.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from rjs.files import make_private_folder, read_small, sync_folder, write_atomically
from rjs.identity.ca import OperatorFolder, cluster_of
from rjs.identity.certificates import Identity, organisation_of
from rjs.identity.encryption import make_encryption_key
from rjs.identity.enrolment import EnrolmentRequest, signed_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.invitation import Invitation, check_addresses, check_lus_addresses
from rjs.identity.keys import (
    AskPassphrase,
    Chain,
    PrivateKey,
    is_encrypted,
    kept_key,
    load_chain,
    load_private,
    save_chain,
    save_identity,
    spki_digest,
)
from rjs.identity.names import RjsName, Role, check_common_name, signer_uri
from rjs.identity.passphrases import NewPassphrase, change_passphrase, finish_change
from rjs.identity.paths import check_chain
from rjs.identity.peers import token_name
from rjs.identity.profiles import Kind
from rjs.identity.renewal import RenewalRequest, ask_renewal
from rjs.identity.requests import make_request, request_der
from rjs.ids import ClusterId
from rjs.limits import IDENTITY_FILE

_NEXT_KEY = "token-next.key"
_SIGNING_REQUEST = "signing-request.pem"
_INVITED_FILES = (_NEXT_KEY, "token.pem", "answer.key", "answer.pem")
"""What belongs to one invitation. A signing key is not among it: owners trust that key for years. Nor is an
encryption key: what was sealed for it stays to be read."""

_PERSONS_KEYS = ("signing.key", "encryption.key")


class Member(msgspec.Struct, frozen=True):
    """What ``member.json`` states. ``ws`` and ``lus`` are addresses of the form HOST:PORT."""

    role: Role
    id: str
    common_name: str
    cluster: ClusterId
    ws: tuple[str, ...]
    lus: tuple[str, ...] = ()

    @property
    def name(self) -> RjsName:
        """The name under which this member calls."""
        return RjsName(self.role, self.id)


class IdentityFolder:
    """One member's folder at ``path``. Nothing is read before it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_joined(self) -> bool:
        """Whether this folder belongs to a member already."""
        return (self.path / "member.json").exists()

    def member(self) -> Member:
        """Who this folder makes its owner; raises IdentityError when it is not joined or was damaged."""
        if not self.is_joined:
            raise IdentityError(
                "not_joined", f"{self.path} belongs to no member yet; use an invitation: rjs join"
            )
        path = self.path / "member.json"
        try:
            member = msgspec.json.decode(read_small(path, IDENTITY_FILE), type=Member)
            _ = member.name  # raises unless role and id fit
            check_addresses(member.ws)
            check_lus_addresses(member.lus)
        except (msgspec.MsgspecError, IdentityError) as error:
            raise IdentityError("member_file", f"{path} is damaged: {error}") from error
        if member.cluster != cluster_of(self.root()):
            raise IdentityError("member_file", f"{path} and root.pem beside it are of different clusters")
        return member

    def root(self) -> x509.Certificate:
        """The organisation's root."""
        return load_chain(self.path / "root.pem")[-1]

    def token(self) -> Identity:
        """The key and token certificate with which this member calls."""
        return self._identity("token", Kind.TOKEN, "token.pem")

    def answer(self) -> Identity:
        """A compute server's answer key: chain (answer, invitation, enrolment CA, root)."""
        return self._identity("answer", Kind.ANSWER, "answer.key")

    def signing(self, ask: AskPassphrase | None = None) -> Identity:
        """A user's signing key with its certificate; refused until the operator has certified it.

        ``ask`` is asked for the passphrase of an encrypted key.
        """
        finish_change(self.path)
        if not (self.path / "signing.pem").exists():
            raise IdentityError(
                "not_certified",
                f"the signing key is not certified yet; the operator runs: rjs ca issue CADIR "
                f"{self.path / 'signing-request.pem'}",
            )
        return self._identity("signing", Kind.SIGNING, "signing.key", ask)

    def request_signing(self, ask: AskPassphrase | None = None) -> Path:
        """The file of the request for a certificate of a user's signing key, made anew; the key stays."""
        finish_change(self.path)
        self._request_signing(self.member().id, ask)
        return self.path / _SIGNING_REQUEST

    def request_encryption(self, now: dt.datetime, ask: AskPassphrase | None = None) -> Path:
        """Like ``request_signing`` for the encryption key, made here where there is none; see ``encryption.py``."""
        return make_encryption_key(self.path, self.member().id, organisation_of(self.root()), now, ask)

    def change_passphrase(self, ask: AskPassphrase, choose: NewPassphrase) -> list[Path]:
        """Protect a user's signing and encryption key otherwise from now on; see ``passphrases.py``."""
        return change_passphrase(self.path, _PERSONS_KEYS, ask, choose)

    @property
    def authority(self) -> Path:
        """The folder of a web server's token authority, whose keys that process alone reads."""
        return self.path / "authority"

    def ask_renewal(self, now: dt.datetime) -> RenewalRequest:
        """The request for the next token certificate. Its key is durable on return: repeated, it is the same key."""
        current, path = self.token(), self.path / _NEXT_KEY
        key = kept_key(path)
        if spki_digest(key) == spki_digest(current.key):  # killed between the two steps of ``keep_token``
            path.unlink()
            key = kept_key(path)
        return ask_renewal(current, key, now)

    def keep_token(self, chain: Chain, now: dt.datetime) -> Identity:
        """Replace the token certificate by the renewed one of this chain, durably; what the member calls with now.

        Raises IdentityError when it is not for our name and the key that was asked for.
        """
        return self._keep_token(chain, token_name(self.token().chain[0]), now)

    def create_pending(
        self, invitation: Invitation, now: dt.datetime, passphrase: bytes | None = None
    ) -> EnrolmentRequest:
        """Make what joining needs, durable, and say what to send. The same invitation gives the same keys again.

        ``passphrase`` protects a user's signing and encryption key; it opens those that are there already. Raises
        IdentityError when the folder is joined already, the invitation has expired, or the keys are protected
        otherwise.
        """
        if self.is_joined:
            raise IdentityError(
                "already_joined", f"{self.path} belongs to {self.member().name.uri()}; name another folder"
            )
        invitation.check_expiry(now)
        make_private_folder(self.path)
        self._begin(invitation.serial)
        save_chain(self.path / "root.pem", [invitation.identity.root])
        subject = invitation.subject
        ask = None if passphrase is None else lambda _: passphrase
        if subject.role is Role.USER:
            self._begin_signing_key(passphrase)
            make_encryption_key(self.path, subject.id, organisation_of(self.root()), now, ask)
        token = make_request(self._joining_key(), subject.uri(), invitation.common_name)
        return signed_enrolment(
            invitation.identity.key,
            token_request=request_der(token),
            answer_certificate=self._certify_answer(invitation, now) if subject.role is Role.CS else None,
            signing_request=(self._request_signing(subject.id, ask) if subject.role is Role.USER else None),
        )

    def begin_presenting(self, root: x509.Certificate) -> tuple[PrivateKey, PrivateKey | None]:
        """Begin to join by presenting a certificate of another CA, or to present again; the token key to be
        certified, and before the folder is joined the key that signs jobs. Durable, and the same until it is kept."""
        if self.is_joined:
            path = self.path / _NEXT_KEY
            key = kept_key(path)
            if spki_digest(key) == spki_digest(
                self.token().key
            ):  # killed between the two steps of ``keep_token``
                path.unlink()
                key = kept_key(path)
            return key, None
        make_private_folder(self.path)
        save_chain(self.path / "root.pem", [root])
        return self._joining_key(), kept_key(self.path / "signing.key")

    def complete_presenting(self, token_chain: Chain, ws: tuple[str, ...], now: dt.datetime) -> Member:
        """Keep the token certificate that the web server issued for the account that it found; the folder is joined
        on return. Raises IdentityError when the certificate is not for our key and organisation."""
        name = token_name(token_chain[0])
        self._keep_token(token_chain, name, now)
        self._request_signing(name.id)
        make_encryption_key(self.path, name.id, organisation_of(self.root()), now)
        return self._join(name, name.id, self.root(), ws)

    def complete(self, invitation: Invitation, token_chain: Chain, now: dt.datetime) -> Member:
        """Keep the token certificate that the web server issued; the folder is joined on return.

        Raises IdentityError when the certificate is not for our key, name and organisation.
        """
        self._keep_token(token_chain, invitation.subject, now)
        subject, name = invitation.subject, invitation.common_name
        return self._join(subject, name, self.root(), invitation.ws, invitation.lus)

    def found(
        self, operator: OperatorFolder, common_name: str, ws: Sequence[str], now: dt.datetime
    ) -> Member:
        """Make this the folder of a new web server, its token intermediate certified by ``operator``.

        ``ws`` are the addresses at which it will be reached. Killed in here, it can be called again.
        """
        if self.is_joined:
            raise IdentityError(
                "already_joined", f"{self.path} belongs to {self.member().name.uri()}; name another folder"
            )
        check_common_name(common_name)
        check_addresses(tuple(ws))
        make_private_folder(self.path)
        make_private_folder(self.authority)
        key = kept_key(self.authority / "intermediate.key")
        certificate = operator.certify_intermediate(key.public_key(), now)
        save_chain(self.authority / "intermediate.pem", [certificate, operator.root])
        record = operator.certify_record(kept_key(self.authority / "record.key").public_key(), now)
        save_chain(self.authority / "record.pem", [record, operator.root])
        save_chain(self.path / "root.pem", [operator.root])
        return self._join(RjsName(Role.WS, uuid.uuid4().hex), common_name, operator.root, tuple(ws))

    def _joining_key(self) -> PrivateKey:
        """The key of this invitation's token; it lies in ``token.pem`` where only ``member.json`` is missing."""
        kept = self.path / "token.pem"
        return load_private(kept) if kept.exists() else kept_key(self.path / _NEXT_KEY)

    def _keep_token(self, chain: Chain, name: RjsName, now: dt.datetime) -> Identity:
        identity = Identity(self._asked_key(chain), chain)
        if check_chain(chain, self.root(), now) is not Kind.TOKEN or token_name(chain[0]) != name:
            raise IdentityError(
                "other_name", "the web server issued a certificate that is not the one asked for"
            )
        save_identity(self.path / "token.pem", identity.key, identity.chain)
        (self.path / _NEXT_KEY).unlink(missing_ok=True)
        return identity

    def _asked_key(self, chain: Chain) -> PrivateKey:
        """The key that was to be certified; the current one where another command was faster with the same."""
        asked = spki_digest(chain[0])
        for name in (_NEXT_KEY, "token.pem"):
            if (self.path / name).exists() and spki_digest(key := load_private(self.path / name)) == asked:
                return key
        raise IdentityError("key_mismatch", "the web server issued a certificate for a key that is not ours")

    def _identity(self, stem: str, kind: Kind, key: str, ask: AskPassphrase | None = None) -> Identity:
        chain = load_chain(self.path / f"{stem}.pem")
        if check_chain(chain, self.root(), now=None) is not kind:
            raise IdentityError("kind", f"{self.path / stem}.pem does not hold a {kind.value}")
        return Identity(load_private(self.path / key, ask), chain)

    def _begin(self, serial: str) -> None:
        """Start over with fresh keys unless this very invitation is being used already."""
        marker = self.path / "joining"
        if marker.exists() and read_small(marker, IDENTITY_FILE) == serial.encode():
            return
        marker.unlink(missing_ok=True)  # first: keys half removed belong to no invitation
        sync_folder(self.path)
        for name in _INVITED_FILES:
            (self.path / name).unlink(missing_ok=True)
        sync_folder(self.path)
        write_atomically(marker, serial.encode())

    def _certify_answer(self, invitation: Invitation, now: dt.datetime) -> bytes:
        path = self.path / "answer.pem"
        public_key = kept_key(self.path / "answer.key").public_key()
        if not path.exists():
            save_chain(path, invitation.certify_answer(public_key, now))
        return load_chain(path)[0].public_bytes(serialization.Encoding.DER)

    def _begin_signing_key(self, passphrase: bytes | None) -> None:
        """Have a signing key, a new one protected as asked for; the encryption key beside it will be like it."""
        finish_change(self.path)
        path = self.path / "signing.key"
        kept_key(path, passphrase)
        if passphrase is not None and not is_encrypted(path):
            raise IdentityError(
                "unprotected",
                f"{path} is there already, without a passphrase; join without one, and protect it with: "
                f"rjs cert passphrase",
            )

    def _request_signing(self, account: str, ask: AskPassphrase | None = None) -> bytes:
        path = self.path / "signing.key"
        key = load_private(path, ask) if path.exists() else kept_key(path)
        request = make_request(key, signer_uri(account), account)
        pem = request.public_bytes(serialization.Encoding.PEM)
        write_atomically(self.path / _SIGNING_REQUEST, pem, 0o644)
        return request_der(request)

    def _join(
        self,
        name: RjsName,
        common_name: str,
        root: x509.Certificate,
        ws: tuple[str, ...],
        lus: tuple[str, ...] = (),
    ) -> Member:
        member = Member(name.role, name.id, common_name, cluster_of(root), ws, lus)
        encoded = msgspec.json.format(msgspec.json.encode(member), indent=2)
        write_atomically(self.path / "member.json", encoded + b"\n")
        (self.path / "joining").unlink(missing_ok=True)
        return member
