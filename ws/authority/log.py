"""The authority's record of what it issued to whom: one line of JSON each in ``issued.jsonl``, only ever added to.

A line is durable before its certificate leaves the process, so every certificate out there is listed. A last line
that a crash cut off speaks of something that nobody got; it is removed at the next start.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs
import msgspec

from rjs.errors import ConfigError
from rjs.files import sync_folder
from rjs.identity.lifetimes import RENEWAL_GRACE_TIME
from rjs.ids import SpkiDigest

LOG = "issued.jsonl"


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """One token certificate. ``evidence``: an enrolment's invitation serial, a renewal's SHA-256 of its statement, a
    presentation's certificate of another CA."""

    when: dt.datetime
    kind: str
    name: str
    serial: str
    spki: str
    until: dt.datetime
    evidence: str


class IssueLog:
    """The log in the folder ``folder``, open for adding to. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        path = folder / LOG
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.ftruncate(self._file, _whole_lines(self._file))
        os.fsync(self._file)
        sync_folder(folder)

    def append(self, lines: Iterable[IssuedToken]) -> None:
        """Add these lines, durable on return. Raises OSError: then nothing that they speak of may leave."""
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def close(self) -> None:
        """Nothing is added any more."""
        os.close(self._file)


def read_log(folder: Path) -> Iterator[IssuedToken]:
    """Everything that was issued, oldest first. Raises ConfigError that names the line where one is damaged."""
    path, decoder = folder / LOG, msgspec.json.Decoder(IssuedToken)
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise ConfigError(f"{path}, line {number}: {error}; restore it from a copy") from error


def token_end(folder: Path, serial: str) -> float:
    """Until when the token certificate with this serial number was valid (Unix time); 0 for one that is not listed.

    The log is read through for it, which is done for whoever revokes a certificate.
    """
    decoder, wanted = msgspec.json.Decoder(IssuedToken), f'"{serial}"'.encode()
    with (folder / LOG).open("rb") as file:
        for line in file:
            if wanted in line and (issued := decoder.decode(line)).serial == serial:
                return issued.until.timestamp()
    return 0.0


def issued_to(folder: Path, name: str) -> list[IssuedToken]:
    """The token certificates that were issued under this name, oldest first; read through for it, as above."""
    decoder, wanted = msgspec.json.Decoder(IssuedToken), f'"{name}"'.encode()
    with (folder / LOG).open("rb") as file:
        found = [decoder.decode(line) for line in file if wanted in line]
    return [each for each in found if each.name == name]


@attrs.frozen
class History:
    """What binds an authority of what was issued before. ``used``: which key each invitation, by serial number, has
    certified; ``invited``: the names that joined so; ``presented``: serial numbers of the tokens that were had by
    presenting a certificate of another CA, and could still be renewed."""

    used: dict[str, SpkiDigest] = attrs.field(factory=dict)
    invited: set[str] = attrs.field(factory=set)
    presented: set[str] = attrs.field(factory=set)

    def add(self, line: IssuedToken) -> None:
        """One more was issued."""
        if line.kind == "enrolment":
            self.used[line.evidence] = SpkiDigest(line.spki)
            self.invited.add(line.name)
        elif line.kind == "presentation":
            self.presented.add(line.serial)


def history(folder: Path, now: dt.datetime) -> History:
    """What the log in ``folder`` says; raises like ``read_log``."""
    found = History()
    for line in read_log(folder):
        if line.kind != "presentation" or now <= line.until + RENEWAL_GRACE_TIME:
            found.add(line)
    return found


def _whole_lines(file: int) -> int:
    """Length without a last line that a crash cut off."""
    end = os.lseek(file, 0, os.SEEK_END)
    position = end
    while position:
        start = max(0, position - 4096)
        found = os.pread(file, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
