"""The operator's record of what ``rjs ca`` has issued: one line of JSON each in ``issued.jsonl`` of the folder.

It holds no secret. A line is durable before what it speaks of is handed out, so everything out there is listed; a
line that was cut off by a crash speaks of something that nobody got.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from cryptography import x509

from rjs.errors import ConfigError
from rjs.files import sync_folder
from rjs.identity.certificates import sole_uri
from rjs.identity.invitation import Invitation, serial_of
from rjs.identity.profiles import Kind, profile_of

ISSUED_NAME = "issued.jsonl"


class Issued(msgspec.Struct, frozen=True):
    """One thing that was issued: when, to whom (a SAN URI), its certificate's serial number, and until when."""

    when: dt.datetime
    kind: str
    name: str
    serial: str
    until: dt.datetime


def issued_invitation(invitation: Invitation, now: dt.datetime) -> Issued:
    """The line for an invitation; it ends when the invitation expires, not with its certificate."""
    return Issued(now, "invitation", invitation.subject.uri(), invitation.serial, invitation.name.expires)


def issued_to_person(certificate: x509.Certificate, now: dt.datetime) -> Issued:
    """The line for the certificate of a person's signing or encryption key."""
    what = {Kind.SIGNING: "signing key", Kind.ENCRYPTION: "encryption key"}[profile_of(certificate).kind]
    until = certificate.not_valid_after_utc
    return Issued(now, what, sole_uri(certificate), serial_of(certificate), until)


def issued_to_authority(chain: Iterable[x509.Certificate], now: dt.datetime) -> list[Issued]:
    """The lines for the certificates of a web server's authority, without the root."""
    found = [(each, profile_of(each).kind) for each in chain]
    return [
        Issued(now, kind.value, "web server", serial_of(each), each.not_valid_after_utc)
        for each, kind in found
        if kind is not Kind.ROOT
    ]


def record_issued(folder: Path, issued: Iterable[Issued]) -> None:
    """Append to the record of the operator's folder; durable on return. Two commands at once lose nothing."""
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in issued)
    descriptor = os.open(folder / ISSUED_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(_whole_lines(file.read()))
        file.write(lines)
        os.fsync(file.fileno())
    sync_folder(folder)


def read_issued(folder: Path) -> list[Issued]:
    """Everything that was issued, oldest first. Raises ConfigError that names the line where one is damaged."""
    path = folder / ISSUED_NAME
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for number, line in enumerate(data[: _whole_lines(data)].splitlines(), start=1):
        try:
            found.append(msgspec.json.decode(line, type=Issued))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}, line {number}: {error}; restore the file from a copy") from error
    return found


def _whole_lines(data: bytes) -> int:
    """Length without a last line that a crash cut off."""
    return data.rfind(b"\n") + 1
