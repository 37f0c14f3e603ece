"""The owner's trust on disk: ``trust.toml``, which a person may read and edit, and ``rjs trust`` changes.

A file that cannot be believed (damaged, or writable by somebody else) means that nobody is trusted, with a sentence
that says what to mend. Nothing that comes over a network leads here.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography import x509

from cs import limits
from cs.trust import Grant, Kind, TrustRefusedError, TrustStore
from rjs.bundle.path import CODE_SIGNING, subject_of
from rjs.bundle.verify import spki_of
from rjs.errors import ConfigError, RefusedError
from rjs.files import read_small, write_atomically
from rjs.ids import SpkiDigest
from rjs.network_places import network_place
from rjs.toml_text import toml_lines

TRUST_NAME = "trust.toml"

_HEADER = """\
# Whose jobs this machine runs. `rjs trust add` and `rjs trust remove` rewrite this file (comments are lost); you may
# edit it too, and the running server notices. One [[grant]] each:
#   spki   fingerprint: SHA-256 of the public key's SubjectPublicKeyInfo, 64 hex digits
#   kind   "signer" for what this key signed, "ca" for what all signers certified by this key signed
#   label  whose it is, for you
#   added  when; until (may be left out): from when on it counts no more
#   network  (may be left out) the places that its jobs may reach, such as ["data.example.org:443"]; else none
#   private  (may be left out) those of them that may be in your own network, such as ["nas.example.org:443"]
"""
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_PEM_CERTIFICATE = "-----BEGIN CERTIFICATE-----"

_UNBELIEVABLE = (OSError, RefusedError, ValueError, RecursionError, msgspec.ValidationError)
"""What is raised for a file that is not there to read, not UTF-8, not TOML, nested too deeply, or says nonsense."""

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class _GrantEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    spki: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    kind: Kind
    label: Annotated[str, msgspec.Meta(max_length=limits.TRUST_LABEL)]
    added: _Moment
    until: _Moment | None = None
    network: Annotated[tuple[str, ...], msgspec.Meta(max_length=limits.TRUST_PLACES)] = ()
    private: Annotated[tuple[str, ...], msgspec.Meta(max_length=limits.TRUST_PLACES)] = ()


class _TrustFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    grant: list[_GrantEntry] = []


class TrustFolder:
    """The trust store of one cluster folder. ``current`` for decisions; ``add`` and ``remove`` for the owner."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / TRUST_NAME
        self._seen: tuple[int, ...] | None = None
        self._store = TrustStore()

    def current(self) -> TrustStore:
        """The grants as the file states them now, read again when the file changed.

        Never raises for what is in the file: a store with a fault trusts nobody. No file is an empty store.
        """
        seen = self._signature()
        if seen is None or seen != self._seen:
            self._store = self._believed()
            self._seen = seen
        return self._store

    def add(self, grant: Grant) -> Grant | None:
        """Put ``grant`` into the file, in place of one for the same key and kind; gives that one. Durable on return.

        Raises ConfigError when the present file cannot be believed: it is not replaced.
        """
        with self._exclusively():
            store = read_trust(self.path)
            self._write(store.with_grant(grant))
        return store.same(grant)

    def remove(self, fingerprint: str) -> tuple[Grant, ...]:
        """Take back the grants for the key whose digest begins so; returns them. Durable on return.

        Raises TrustRefusedError when that names no key or several, ConfigError like ``add``.
        """
        with self._exclusively():
            store, removed = read_trust(self.path).without(fingerprint)
            self._write(store)
        return removed

    def _believed(self) -> TrustStore:
        try:
            return read_trust(self.path)
        except ConfigError as error:
            return TrustStore(fault=str(error))

    def _signature(self) -> tuple[int, ...] | None:
        """What changes when file, folder or their permissions change; None when there is nothing to compare."""
        try:
            found = self.path.stat()
            folder = self.path.parent.stat()
        except OSError:
            return None
        return (
            found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, folder.st_mode, folder.st_uid,
        )  # fmt: skip

    def _write(self, store: TrustStore) -> None:
        write_atomically(self.path, trust_text(store).encode())

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One writer at a time: two commands at once lose nothing."""
        descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def read_trust(path: Path) -> TrustStore:
    """The grants in the file at ``path``; none when there is no file.

    Raises ConfigError that names the file and what to mend: it or its folder can be written by others, it is no plain
    file, not TOML, has an unknown or missing field, or names a key twice.
    """
    try:
        _require_own(path.parent)
        _require_own(path)
        text = read_small(path, limits.TRUST_FILE).decode()
        entries = msgspec.convert(tomllib.loads(text), _TrustFile, builtin_types=(datetime,)).grant
        grants = tuple(map(_grant, entries))
    except FileNotFoundError:
        return TrustStore()
    except _UNBELIEVABLE as error:
        raise ConfigError(f"{path}: {error}; mend the file, or move it away to begin anew") from error
    if len({(grant.kind, grant.spki) for grant in grants}) < len(grants):
        raise ConfigError(f"{path}: a key is granted twice for the same kind; remove one of the two")
    return TrustStore(grants)


def _grant(entry: _GrantEntry) -> Grant:
    network, private = _places(entry.network), _places(entry.private)
    if not set(private) <= set(network):
        raise ValueError("a place of private is not in network, too")
    return Grant(SpkiDigest(entry.spki), entry.label, entry.kind, entry.added, entry.until, network, private)


def _places(network: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(map(network_place, network)))


def _require_own(path: Path) -> None:
    found = path.lstat()
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise ConfigError(f"{path} is neither a plain file nor a folder; put a real one in its place")
    if found.st_uid not in (os.geteuid(), 0):
        raise ConfigError(f"{path} belongs to another account; trust has to be this account's own")
    if found.st_mode & 0o022:
        raise ConfigError(f"{path} can be written by other accounts; close it with: chmod go-w {path}")


def trust_text(store: TrustStore) -> str:
    """The file's text: what ``read_trust`` reads back as the same grants."""
    return "\n".join([_HEADER, *map(_grant_text, store.grants)])


def _grant_text(grant: Grant) -> str:
    lines = ["[[grant]]"]
    lines += toml_lines({"spki": grant.spki, "kind": grant.kind, "label": grant.label})
    lines += [f"added = {grant.added.astimezone(UTC).isoformat()}"]
    lines += [f"until = {grant.until.astimezone(UTC).isoformat()}"] if grant.until is not None else []
    lines += toml_lines({"network": grant.network}) if grant.network else []
    lines += toml_lines({"private": grant.private}) if grant.private else []
    return "\n".join(lines) + "\n"


def grant_for(
    given: str,
    *,
    now: datetime,
    label: str | None = None,
    kind: Kind = "signer",
    until: datetime | None = None,
    network: Sequence[str] = (),
    private: Sequence[str] = (),
) -> Grant:
    """The grant that the owner means by ``given``: the text of a PEM certificate, or a 64-digit fingerprint.

    A CA's certificate makes a ca grant, any other a signer grant; ``kind`` says which a bare fingerprint is. The
    label is the certificate's subject unless one is given. ``network`` are the places that its jobs may reach, and so
    are ``private``, which may be in the owner's own network. Raises TrustRefusedError, and PlaceRefusedError for what
    is no place.
    """
    places, private = _places([*network, *private]), _places(private)
    if len(places) > limits.TRUST_PLACES:
        raise TrustRefusedError("trust.places", f"a grant names at most {limits.TRUST_PLACES} network places")
    if _PEM_CERTIFICATE in given:
        certificate = _meant_certificate(given)
        kind = "ca" if _is_ca(certificate) else "signer"
        if kind == "signer" and not _signs_code(certificate):
            raise TrustRefusedError(
                "trust.certificate",
                "this certificate is not for signing jobs; the one to trust is in the signer's signing.pem",
            )
        return Grant(
            spki_of(certificate), _plain(label or subject_of(certificate)), kind, now, until, places, private
        )
    fingerprint = given.strip().replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise TrustRefusedError(
            "trust.given",
            "this is neither a file with a certificate in PEM nor a fingerprint of 64 hex digits",
        )
    return Grant(SpkiDigest(fingerprint), _plain(label or ""), kind, now, until, places, private)


def _meant_certificate(pem: str) -> x509.Certificate:
    """The certificate that a file means: its only one, or the signer's in front of the CAs that lead to it."""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise TrustRefusedError("trust.certificate", f"the certificate cannot be read: {error}") from error
    first, *others = certificates
    if others and (_is_ca(first) or not all(map(_is_ca, others))):
        raise TrustRefusedError(
            "trust.certificates", f"there are {len(certificates)} certificates; give the one that you mean"
        )
    return first


def _signs_code(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    except ValueError as error:
        raise TrustRefusedError("trust.certificate", f"the certificate cannot be read: {error}") from error
    return CODE_SIGNING in usages


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except ValueError as error:
        raise TrustRefusedError("trust.certificate", f"the certificate cannot be read: {error}") from error


def _plain(label: str) -> str:
    """A label that a terminal shows as it is: no control or direction characters, at most TRUST_LABEL long."""
    return "".join(character for character in label if character.isprintable())[: limits.TRUST_LABEL]
