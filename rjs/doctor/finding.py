"""What a check found: one line for people and programs, with a stable code and a remedy where something is wrong."""

from __future__ import annotations

import shlex
from enum import StrEnum

import attrs


class Level(StrEnum):
    """How bad it is. A notice is worth knowing; a fault keeps something from working, or breaks a promise."""

    OK = "ok"
    NOTICE = "notice"
    FAULT = "fault"


@attrs.frozen
class Finding:
    """One judgement on one ``subject``; ``code`` and ``remedy`` are empty where all is well.

    ``commands`` are what to type, one a line, paths quoted for a shell.
    """

    level: Level
    subject: str
    sentence: str
    code: str = ""
    remedy: str = ""
    commands: tuple[str, ...] = ()


def well(subject: str, sentence: str) -> Finding:
    """Nothing is wrong with ``subject``."""
    return Finding(Level.OK, subject, sentence)


def notice(subject: str, code: str, sentence: str, remedy: str = "", *commands: str) -> Finding:
    """Worth knowing, and no reason for alarm."""
    return Finding(Level.NOTICE, subject, sentence, code, remedy, commands)


def fault(subject: str, code: str, sentence: str, remedy: str, *commands: str) -> Finding:
    """Something does not work, or a promise does not hold; ``remedy`` says what mends it."""
    return Finding(Level.FAULT, subject, sentence, code, remedy, commands)


def typed(*words: str) -> str:
    """A command as a person types it: every word quoted where a shell needs it."""
    return shlex.join(words)
