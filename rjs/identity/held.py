"""What certificates a member's folder holds, and what their holder should know of each: for commands that show them.

Nothing is judged here but dates.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import attrs
from cryptography import x509

from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import Chain, load_chain
from rjs.identity.lifetimes import what_then
from rjs.identity.succession import REMEDY
from rjs.limits import RECERTIFY

FILES = {
    "token": "token.pem",
    "answer": "answer.pem",
    "signing": "signing.pem",
    "encryption": "encryption.pem",
    "intermediate": "authority/intermediate.pem",
    "record": "authority/record.pem",
    "root": "root.pem",
}
"""The certificates that a folder may hold, by what they are called, and their files."""

_WARNING = dt.timedelta(days=30)
_RECERTIFY = dt.timedelta(seconds=RECERTIFY)
_AUTHORITY = frozenset({"intermediate", "record"})


@attrs.frozen
class Held:
    """One certificate: what it is for, its file and its chain, leaf first."""

    what: str
    path: Path
    chain: Chain

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate itself."""
        return self.chain[0]

    def left(self, now: dt.datetime) -> dt.timedelta:
        """How long it is still valid; negative afterwards."""
        return self.leaf.not_valid_after_utc - now

    def is_due(self, now: dt.datetime) -> bool:
        """Whether it ends soon, and somebody must do something: a token certificate renews itself."""
        return self.what != "token" and self.left(now) <= (
            _RECERTIFY if self.what in _AUTHORITY else _WARNING
        )

    def advice(self, now: dt.datetime) -> str:
        """What its holder should know or do, in words."""
        if now < self.leaf.not_valid_before_utc:
            return f"valid from {self.leaf.not_valid_before_utc:%Y-%m-%d %H:%M}Z: is this clock right?"
        if self.what == "token":
            return what_then(self.leaf, now)
        if not self.is_due(now):
            return ""
        return {
            "answer": "the operator invites this compute server anew",
            "signing": "the operator certifies the key again: rjs ca issue CADIR signing-request.pem",
            "encryption": "rjs cert request --encryption keeps the key and says how it is certified again",
            "intermediate": f"without it nobody joins or renews; {REMEDY}",
            "record": f"without it lists of what is revoked go stale, and nothing starts; {REMEDY}",
            "root": "the organisation ends with it",
        }[self.what]


def held_in(folder: IdentityFolder) -> list[Held]:
    """The certificates in ``folder``, in the order of FILES. Raises IdentityError, OSError for an unreadable one."""
    found = []
    for what, name in FILES.items():
        path = folder.path / name
        try:
            found.append(Held(what, path, load_chain(path)))
        except FileNotFoundError:
            continue
    return found


def span(left: dt.timedelta) -> str:
    """A time that is left, or that has passed when negative, in the two units that matter: ``1 d 4 h``."""
    seconds = int(abs(left).total_seconds())
    units = [
        ("d", seconds // 86400),
        ("h", seconds // 3600 % 24),
        ("min", seconds // 60 % 60),
        ("s", seconds % 60),
    ]
    first = next((i for i, (_, count) in enumerate(units) if count), len(units) - 1)
    words = " ".join(f"{count} {unit}" for unit, count in units[first : first + 2] if count or first == 3)
    return f"{words} ago" if left < dt.timedelta(0) else f"in {words}"
