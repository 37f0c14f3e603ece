"""Judges what a break-in into the web server would mean as things stand, and the operator's own folder."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rjs.authority_separation import authority_separation
from rjs.doctor.finding import Finding, fault, notice, typed, well

BREAK_IN, OPERATOR = "break-in", "operator's folder"


@attrs.frozen
class OperatorFacts:
    """An operator's folder. ``plain`` are key files without a passphrase, ``exposed`` those of them that other
    accounts can read, ``missing`` files that should be there. ``to_ws``: whether the web server's account can
    read its keys. ``error`` says why it could not be looked at."""

    path: str
    owner: str = ""
    plain: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    to_ws: bool = False
    error: str = ""


@attrs.frozen
class ServerFacts:
    """The accounts of a web server's process and of its authority's: None where nothing runs to be asked."""

    folder: str
    account: str | None
    authority: str | None
    near: Sequence[OperatorFacts] = ()


def judge_break_in(facts: ServerFacts) -> list[Finding]:
    """One finding for each thing that a break-in would give away beyond the web server's own process."""
    found = [finding for each in facts.near for finding in _near(each)]
    return [*found, *_not_separate(facts)] or [_bounded(facts)]


def _not_separate(facts: ServerFacts) -> list[Finding]:
    """What keeps the authority's keys within the web server's reach."""
    is_root = facts.account == "root"
    if facts.account is None or (facts.authority is None and not is_root):
        return []
    authority = facts.authority or facts.account
    separation = authority_separation(
        ws_is_root=is_root, authority_user=authority, apart=authority != facts.account
    )
    if separation.holds:
        return []
    if is_root:
        remedy = "run it as an account of its own (port 9000 needs no root); authority_user alone does not help then"
        commands = ("useradd --system rjs", typed("chown", "-R", "rjs", facts.folder))
        return [notice(BREAK_IN, "ws-runs-as-root", separation.sentence, remedy, *commands)]
    remedy = 'let root start the web server with authority_user = "rjs-authority" in config.toml'
    command = "useradd --system rjs-authority"
    return [notice(BREAK_IN, "authority-same-account", separation.sentence, remedy, command)]


def _bounded(facts: ServerFacts) -> Finding:
    if facts.account is None or facts.authority is None:
        return well(
            BREAK_IN,
            "no operator's folder was found here; run this again while the web server runs and issues",
        )
    sentence = (
        "who breaks into the web server can delay work and act as it until thrown out; the authority's key, answers, "
        "bundles and invitations are out of reach"
    )
    return well(BREAK_IN, sentence)


def _near(facts: OperatorFacts) -> list[Finding]:
    """An operator's folder on the web server's machine."""
    remedy = (
        "move the folder to another machine or a stick: nothing in it names a place, and no server needs it to run; "
        "until then, protect its keys"
    )
    commands = (
        typed("cp", "-a", facts.path, "/media/STICK/rjs-ca"),
        "rjs doctor --ca /media/STICK/rjs-ca",
        typed("find", facts.path, "-type", "f", "-exec", "shred", "-u", "{}", "+"),
        typed("rjs", "ca", "passphrase", facts.path),
    )
    where = f"the operator's folder {facts.path} is on the web server's machine"
    if facts.to_ws and facts.plain:
        sentence = (
            f"{where}, and the web server's account can read its keys: who breaks in can invite compute servers that "
            "answer, and certify signers"
        )
        return [fault(BREAK_IN, "ca-beside-ws", sentence, remedy, *commands)]
    why = "its keys are under a passphrase" if not facts.plain else "another account keeps its keys"
    sentence = f"{where}; {why}, which who breaks in may wait to overhear"
    return [notice(BREAK_IN, "ca-near-ws", sentence, remedy, *commands)]


def judge_operator(facts: OperatorFacts) -> list[Finding]:
    """The operator's folder by itself."""
    if facts.error:
        remedy = "name the folder that rjs ca init made, as the account that owns it"
        return [fault(OPERATOR, "ca-unreadable", f"{facts.path}: {facts.error}", remedy)]
    if facts.missing:
        sentence = f"{facts.path} lacks {', '.join(facts.missing)}"
        return [fault(OPERATOR, "ca-incomplete", sentence, "restore the folder from a copy")]
    if facts.exposed:
        sentence = f"{', '.join(facts.exposed)} can be read by other accounts and no passphrase protects them"
        remedy = "close them, and set a passphrase where the file system cannot"
        commands = (typed("chmod", "600", *facts.exposed), typed("rjs", "ca", "passphrase", facts.path))
        return [fault(OPERATOR, "ca-keys-exposed", sentence, remedy, *commands)]
    if facts.plain:
        sentence = (
            f"no passphrase protects the keys in {facts.path}: a stolen copy is the organisation stolen"
        )
        command = typed("rjs", "ca", "passphrase", facts.path)
        return [notice(OPERATOR, "ca-keys-plain", sentence, "set one", command)]
    return [well(OPERATOR, f"{facts.path}: both keys are there, under a passphrase")]
