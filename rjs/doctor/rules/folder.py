"""Judges a state folder and its settings: whose it is, who may enter, who holds it, what it is told to do."""

from __future__ import annotations

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well

FOLDER, CONFIG = "state folder", "config"


@attrs.frozen
class FolderFacts:
    """A state folder as the file system shows it. ``role`` is empty where it could not be learned.

    ``holder`` is the process that holds the folder's lock; ``answers`` whether a server told its status, ``trouble``
    why none did. ``theirs`` are names in it that belong to accounts other than ``owner``, with these.
    """

    path: str
    role: str
    name: str
    owner: str
    us: str
    mode: int
    holder: int | None = None
    last_holder: int | None = None
    answers: bool = False
    trouble: str = ""
    theirs: tuple[tuple[str, str], ...] = ()


def other_account(facts: FolderFacts) -> list[Finding]:
    """The notice that another account's folder keeps its secrets, if it does from us."""
    if facts.owner == facts.us or facts.us == "root":
        return []
    sentence = f"{facts.path} belongs to {facts.owner}; as {facts.us}, what is inside cannot be seen"
    remedy = f"run it as {facts.owner}"
    command = typed("sudo", "-u", facts.owner, "rjs", "doctor", facts.path)
    return [notice(FOLDER, "other-account", sentence, remedy, command)]


def judge_folder(facts: FolderFacts) -> list[Finding]:
    """Who may enter, and whether the server runs."""
    found = []
    if facts.mode & 0o077:
        sentence = f"{facts.path} can be entered by other accounts (mode {facts.mode:04o}); servers refuse it"
        remedy = "close it"
        found.append(fault(FOLDER, "folder-open", sentence, remedy, typed("chmod", "700", facts.path)))
    if facts.theirs:
        named = ", ".join(f"{name} ({account})" for name, account in facts.theirs[:5])
        sentence = f"{len(facts.theirs)} files in {facts.path} belong to other accounts: {named}"
        remedy = f"give them back to {facts.owner}"
        paths = (f"{facts.path}/{name}" for name, _ in facts.theirs[:5])
        command = typed("chown", "-R", facts.owner, *paths)
        found.append(fault(FOLDER, "foreign-files", sentence, remedy, command))
    return [*found, _running(facts)] if facts.role in ("ws", "lus", "cs") else found or [_own(facts)]


def _own(facts: FolderFacts) -> Finding:
    return well(FOLDER, f"{facts.path} is {facts.name}'s own folder")


def _running(facts: FolderFacts) -> Finding:
    what = f"{facts.path} is the folder of {facts.name} ({facts.role})"
    if facts.answers:
        who = f" (process {facts.holder})" if facts.holder is not None else ""
        return well(FOLDER, f"{what}, which runs{who}")
    if facts.holder is not None:
        sentence = (
            f"{what}: process {facts.holder} holds it and does not answer for its status ({facts.trouble})"
        )
        remedy = "if that is the server, it hangs or is still starting: look into its log, or end it and start anew"
        return fault(FOLDER, "folder-held", sentence, remedy, typed("kill", str(facts.holder)))
    last = f"; the last process that held it, {facts.last_holder}, is gone" if facts.last_holder else ""
    remedy = "start it"
    command = typed("rjs", facts.role, "run", facts.path)
    return notice(FOLDER, "not-running", f"{what}, which does not run{last}", remedy, command)


@attrs.frozen
class ConfigFacts:
    """What reading ``config.toml`` gave: ``mistakes`` name every line to mend, ``missing`` that there is no file."""

    path: str
    mistakes: tuple[str, ...] = ()
    missing: bool = False
    writable: bool = False
    """Whether other accounts may write it."""


def judge_config(facts: ConfigFacts) -> list[Finding]:
    """Whether the server can start with it."""
    found = []
    if facts.writable:
        sentence = f"{facts.path} can be changed by other accounts, who would decide what this server does"
        command = typed("chmod", "go-w", facts.path)
        found.append(fault(CONFIG, "config-writable", sentence, "close it", command))
    if facts.missing:
        sentence = f"{facts.path} is not there; the server does not start without"
        remedy = "an empty file means the default of every setting"
        found.append(fault(CONFIG, "config-missing", sentence, remedy, typed("touch", facts.path)))
    elif facts.mistakes:
        sentence = "; ".join(facts.mistakes)
        remedy = f"mend {facts.path}, then start the server again: it reads its settings once"
        found.append(fault(CONFIG, "config-wrong", sentence, remedy))
    return found or [well(CONFIG, f"{facts.path} is in order")]
