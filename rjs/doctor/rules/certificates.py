"""Judges one certificate and the key beside it: dates, whose root, whose key, who can read it."""

from __future__ import annotations

import datetime as dt

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well
from rjs.limits import RENEWAL_GRACE

SOON = dt.timedelta(days=30)
GRACE = dt.timedelta(seconds=RENEWAL_GRACE)

_RENEW_WS = "rjs ws renew DIR --ca CADIR"
LONG_LIVED = {
    "answer": (
        "the operator invites this compute server anew, into a new folder",
        "rjs ca invite CADIR --ws HOST:PORT --role cs",
    ),
    "signing": (
        "the operator certifies the key again; it stays, and so does owners' trust in it",
        "rjs ca issue CADIR signing-request.pem",
    ),
    "encryption": (
        "make the request again; the key stays, and so does what was sealed for it",
        "rjs cert request --encryption",
    ),
    "intermediate": ("the operator certifies it again: without it nobody joins or renews", _RENEW_WS),
    "record": ("the operator certifies it again: without it lists of what is revoked go stale", _RENEW_WS),
    "root": ("the organisation ends with it: found a new one, and let everybody join", "rjs ca init CADIR"),
}
"""Who mends the end of each certificate that does not renew itself, and with what."""


@attrs.frozen
class CertificateFacts:
    """One certificate of a folder. Where ``error`` says why it could not be read, the rest means nothing.

    ``key_mode``: the permissions of the file with its private key, None where that is not here; ``key_fits`` None
    where a passphrase or the lack of a right hides the key.
    """

    what: str
    path: str
    start: dt.datetime
    end: dt.datetime
    error: str = ""
    of_root: bool = True
    key_path: str = ""
    key_mode: int | None = None
    key_error: str = ""
    key_fits: bool | None = None
    encrypted: bool = False


@attrs.frozen
class Holder:
    """Whose certificates are judged: a member's role and folder, and whether its server runs."""

    role: str
    folder: str
    runs: bool = False
    home: bool = False
    """Whether the folder is a person's, and not that of a server."""

    def rejoin(self) -> tuple[str, str]:
        """How it becomes a member again: what the operator types, and what its owner types."""
        role = self.role if self.role in ("lus", "cs", "user", "admin") else "user"
        join = "rjs --home NEW join INVITATION" if self.home else "rjs join INVITATION NEW"
        return f"rjs ca invite CADIR --ws HOST:PORT --role {role}", join

    def renew(self) -> str:
        """The command that renews its token certificate now."""
        return (
            typed("rjs", "--home", self.folder, "cert", "renew")
            if self.home
            else typed("rjs", "cert", "renew", self.folder)
        )


def judge_certificate(facts: CertificateFacts, holder: Holder, now: dt.datetime) -> list[Finding]:
    """Everything that is wrong with it, or how long it is good."""
    subject = f"{facts.what} certificate" if facts.what != "root" else "root"
    if facts.error:
        return [_unreadable(subject, facts, holder)]
    found = [*_key(subject, facts, holder)]
    if not facts.of_root:
        sentence = f"{facts.path} does not lead to the root beside it: it belongs to another organisation"
        remedy = "put back what belongs here from a copy, or join again into a new folder"
        found.append(fault(subject, "root-mismatch", sentence, remedy, *holder.rejoin()))
    dates = _dates(subject, facts, holder, now)
    return [*found, *dates] if found or dates else [well(subject, _good(facts, now))]


def _unreadable(subject: str, facts: CertificateFacts, holder: Holder) -> Finding:
    remedy = "put it back from a copy, or join again into a new folder"
    return fault(subject, "certificate-unreadable", f"{facts.path}: {facts.error}", remedy, *holder.rejoin())


def _key(subject: str, facts: CertificateFacts, holder: Holder) -> list[Finding]:
    found = []
    if facts.key_mode is not None and facts.key_mode & 0o077 and not facts.encrypted:
        sentence = (
            f"{facts.key_path} can be read by other accounts (mode {facts.key_mode:04o}); it is refused so"
        )
        remedy = "close it; where strangers use this machine, take the key for stolen and revoke it"
        found.append(fault(subject, "key-exposed", sentence, remedy, typed("chmod", "600", facts.key_path)))
    if facts.key_error:
        sentence = f"{facts.key_path}: {facts.key_error}"
        remedy = "put the key back from a copy, or join again into a new folder"
        found.append(fault(subject, "key-unreadable", sentence, remedy, *holder.rejoin()))
    elif facts.key_fits is False:
        sentence = f"the key in {facts.key_path} is not the one that {facts.path} certifies"
        remedy = "put back the two that belong together from a copy, or join again into a new folder"
        found.append(fault(subject, "key-mismatch", sentence, remedy, *holder.rejoin()))
    return found


def _dates(subject: str, facts: CertificateFacts, holder: Holder, now: dt.datetime) -> list[Finding]:
    if now < facts.start:
        sentence = (
            f"it is valid from {_day(facts.start)} and the clock here says {_day(now)}: that clock is behind"
        )
        command = "timedatectl set-ntp true"
        return [fault(subject, "certificate-not-yet-valid", sentence, "set this machine's clock", command)]
    if facts.what == "token":
        return _token(subject, facts, holder, now)
    words, command = LONG_LIVED[facts.what]
    if now > facts.end:
        sentence = f"it ended at {_day(facts.end)}, {_since(now - facts.end)} ago"
        return [fault(subject, "certificate-expired", sentence, words, command)]
    if facts.end - now < SOON:
        sentence = f"it ends at {_day(facts.end)}, in {_since(facts.end - now)}"
        return [notice(subject, "certificate-ends-soon", sentence, words, command)]
    return []


def _token(subject: str, facts: CertificateFacts, holder: Holder, now: dt.datetime) -> list[Finding]:
    if now <= facts.end:
        return []
    if now > facts.end + GRACE:
        sentence = (
            f"it ended at {_day(facts.end)}, more than {GRACE.days} days ago, and renews itself no more"
        )
        remedy = (
            f"{_clock_first(now)}; else join again into a new folder; keys for signing and a trust store can be "
            "copied there"
        )
        return [fault(subject, "certificate-beyond-grace", sentence, remedy, *holder.rejoin())]
    until = _day(facts.end + GRACE)
    sentence = (
        f"it ended at {_day(facts.end)}, {_since(now - facts.end)} ago, and can renew itself until {until}"
    )
    if holder.runs:
        remedy = "the running server renews it as soon as it reaches the web server; see the doors below"
        return [fault(subject, "certificate-expired", sentence, remedy)]
    return [
        fault(subject, "certificate-expired", sentence, f"{_clock_first(now)}; else renew it", holder.renew())
    ]


def _clock_first(now: dt.datetime) -> str:
    """A wrong clock looks like an expired certificate, and joining again would not help."""
    return f"the clock here says {_day(now)}: if that is wrong, set it, and nothing else is needed"


def _good(facts: CertificateFacts, now: dt.datetime) -> str:
    key = "; its key is under a passphrase" if facts.encrypted else ""
    renews = ", and renews itself before" if facts.what == "token" else ""
    return f"good until {_day(facts.end)} (for {_since(facts.end - now)}){renews}{key}"


def _day(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _since(span: dt.timedelta) -> str:
    hours = int(span.total_seconds() // 3600)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hours" if hours >= 2 else f"{max(0, int(span.total_seconds() // 60))} minutes"
