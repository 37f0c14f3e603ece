"""Judges a web server's homes and its database, from what the file system shows."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well

HOMES, DATABASE = "homes", "database"


@attrs.frozen
class HomeFacts:
    """The home of an account: which of its folders are missing, not to be written by us, or open to others."""

    account: str
    path: str
    missing: tuple[str, ...] = ()
    unwritable: tuple[str, ...] = ()
    open_to_others: bool = False


def judge_homes(homes: Sequence[HomeFacts]) -> list[Finding]:
    """Whether jobs can be taken out of them and answers put into them."""
    found = []
    for home in homes:
        if home.missing:
            sentence = f"{home.path} lacks {' and '.join(home.missing)}"
            command = typed("mkdir", "-m", "700", *(f"{home.path}/{each}" for each in home.missing))
            found.append(
                fault(HOMES, "home-incomplete", sentence, "make it, as the web server's account", command)
            )
        if home.unwritable:
            sentence = f"the web server cannot write into {', '.join(home.unwritable)} of {home.account}"
            remedy = "answers wait until it can"
            command = typed("chmod", "u+rwx", *(f"{home.path}/{each}" for each in home.unwritable))
            found.append(fault(HOMES, "home-not-writable", sentence, remedy, command))
        if home.open_to_others:
            sentence = f"{home.path} can be entered or written by other accounts of this machine"
            command = typed("chmod", "go=", home.path)
            found.append(notice(HOMES, "home-open", sentence, "close it, unless that is meant", command))
    return found or [well(HOMES, f"{len(homes)} homes are in order")]


@attrs.frozen
class DatabaseFacts:
    """A database file: ``problem`` is what its check found (empty: nothing), ``unchecked`` why it was not checked."""

    path: str
    problem: str = ""
    unchecked: str = ""


def judge_database(facts: DatabaseFacts) -> Finding:
    """Whether what was accepted is still readable."""
    if facts.problem:
        sentence = f"{facts.path} is damaged: {facts.problem}"
        remedy = "stop the server, copy the file away, and restore the last backup; look at the disk's health"
        return fault(
            DATABASE, "database-damaged", sentence, remedy, typed("cp", facts.path, f"{facts.path}.damaged")
        )
    if facts.unchecked:
        return well(DATABASE, f"{facts.path}: not checked, {facts.unchecked}")
    return well(DATABASE, f"{facts.path} is sound")
