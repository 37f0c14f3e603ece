"""Judges whom a desktop's owner trusts, and the list of what is revoked that a server goes by."""

from __future__ import annotations

import datetime as dt

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well

TRUST, REVOKED = "trust store", "revocations"


@attrs.frozen
class GrantFacts:
    """One grant: whose key, and when it ends (None: when it is taken back)."""

    label: str
    spki: str
    until: dt.datetime | None


@attrs.frozen
class TrustFacts:
    """The trust store of the CS in ``folder``. ``error`` says why the file at ``path`` is not believed; ``writable``
    is the path, file or folder, that others may write."""

    folder: str
    path: str
    grants: tuple[GrantFacts, ...] = ()
    error: str = ""
    writable: str = ""


def judge_trust(facts: TrustFacts, now: dt.datetime) -> list[Finding]:
    """Whether anybody's job may run here."""
    if facts.writable:
        sentence = f"{facts.writable} can be written by other accounts, so nobody in it is trusted"
        remedy = "close it, then look at who is trusted"
        look = typed("rjs", "trust", "list", "--cs", facts.folder)
        return [
            fault(TRUST, "trust-writable", sentence, remedy, typed("chmod", "go-w", facts.writable), look)
        ]
    if facts.error:
        remedy = "mend the file, or move it away and say anew whom you trust"
        command = typed("mv", facts.path, f"{facts.path}.damaged")
        return [
            fault(TRUST, "trust-unreadable", f"nobody is trusted at present: {facts.error}", remedy, command)
        ]
    ended = [each for each in facts.grants if each.until is not None and each.until <= now]
    if len(ended) == len(facts.grants):
        return [_nobody(facts, ended)]
    found = [well(TRUST, f"{len(facts.grants) - len(ended)} grants count")]
    if ended:
        sentence = f"{len(ended)} grants have ended, such as that of {_whose(ended[0])}"
        remedy = "grant it again, or take it out"
        command = typed("rjs", "trust", "remove", ended[0].spki[:16], "--cs", facts.folder)
        found.append(notice(TRUST, "trust-expired", sentence, remedy, command))
    return found


def _nobody(facts: TrustFacts, ended: list[GrantFacts]) -> Finding:
    command = typed("rjs", "trust", "add", "SIGNER.pem", "--cs", facts.folder)
    if not ended:
        sentence = "you trust no signer yet: nobody's job runs on this machine"
        return fault(
            TRUST, "trust-empty", sentence, "trust a signer's certificate (the signer's signing.pem)", command
        )
    last = f"that of {_whose(ended[0])} at {ended[0].until:%Y-%m-%d %H:%M}Z"
    sentence = f"every grant has ended, {last}: nobody's job runs on this machine"
    again = typed("rjs", "trust", "add", ended[0].spki, "--cs", facts.folder)
    return fault(TRUST, "trust-ended", sentence, "grant it again", again)


def _whose(grant: GrantFacts) -> str:
    return grant.label or grant.spki[:16]


@attrs.frozen
class RevocationFacts:
    """The kept list: its number (0: there is none yet), entries and end; ``error`` why it is not believed.

    ``against``: the sentence of the entry that revokes whose folder this is; empty where none does.
    """

    path: str
    number: int = 0
    entries: int = 0
    until: dt.datetime | None = None
    error: str = ""
    against: str = ""


def judge_revocations(
    facts: RevocationFacts, now: dt.datetime, runs: bool, rejoin: tuple[str, ...] = ()
) -> Finding:
    """A stale list lets nothing new start; a server that does not run hears of a newer one when it starts.

    ``rejoin``: the commands that make a new member of whoever is revoked.
    """
    if facts.error:
        remedy = "move it away; the servers that this one meets have the list too"
        command = typed("mv", facts.path, f"{facts.path}.damaged")
        return fault(REVOKED, "revocations-damaged", facts.error, remedy, command)
    if facts.until is None:
        sentence = "no list of what is revoked has come yet"
        remedy = "it comes with the first session with a server that has one; nothing starts before"
        return notice(REVOKED, "revocations-missing", sentence, remedy)
    number = f"list {facts.number} with {facts.entries} entries"
    if facts.against:
        sentence = f"{number} revokes this member for good: {facts.against}"
        remedy = "ask the operator why; where that is settled, join again into a new folder"
        return fault(REVOKED, "membership-revoked", sentence, remedy, *rejoin)
    if now <= facts.until:
        return well(REVOKED, f"{number}, good until {facts.until:%Y-%m-%d %H:%M}Z")
    sentence = f"{number} was good until {facts.until:%Y-%m-%d %H:%M}Z"
    if not runs:
        remedy = "the server hears of a newer one when it is started"
        return notice(REVOKED, "revocations-old", sentence, remedy)
    remedy = (
        "newer lists come from the web server, over the lookup server: see who is connected, and that the web server "
        "can issue them (authority)"
    )
    return fault(REVOKED, "revocations-stale", f"{sentence}: nothing new starts", remedy, "rjs doctor WS_DIR")
