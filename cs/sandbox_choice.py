"""Which sandbox this compute server puts round its jobs: chosen once, at start, by what was found to hold.

What the owner may say is ``sandbox`` and ``unconfined`` in ``config.toml``. A server never runs a job unconfined that
it could confine, unless its owner said ``sandbox = "none"`` beside accepting that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import attrs
from twisted.logger import Logger

from cs.config import ACCEPTED, CsSettings
from cs.java import Java
from cs.job_library import package_binds
from cs.sandbox.plan import Bind
from cs.sandbox.probe import faults_of_bubblewrap, faults_of_own_way, find_bubblewrap, probe, remedies
from cs.sandbox.system import system_binds
from rjs.config import CONFIG_NAME
from rjs.errors import ConfigError

_log = Logger("cs.sandbox")

NAMESPACES: Final = "namespaces"
"""The level that is reached here, as ``rjs.needs.SANDBOXES`` has it."""


Way = Literal["own", "bubblewrap"]


@attrs.frozen
class Walls:
    """How jobs are confined here. ``java``: the program of the machine's, as it is called inside."""

    way: Way
    system: tuple[Bind, ...] = attrs.field(repr=False)
    """What every cell sees of this machine."""
    java: str = ""
    packages: tuple[Bind, ...] = attrs.field(default=(), repr=False)
    """What ``rjs.task`` needs for tokens, from this installation."""


@attrs.frozen
class Choice:
    """What was chosen. ``walls``: None where jobs run unconfined; ``lacking``: why they do, or why not better."""

    walls: Walls | None
    lacking: tuple[str, ...] = ()

    @property
    def level(self) -> str:
        """One of ``rjs.needs.SANDBOXES``."""
        return NAMESPACES if self.walls is not None else ""

    @property
    def words(self) -> str:
        """For the log and for status."""
        if self.walls is None:
            return "none: jobs of trusted signers run with this account's rights, which the owner accepted"
        ways = {"own": "by our own system calls", "bubblewrap": "by bubblewrap"}
        return f"{NAMESPACES}, {ways[self.walls.way]}"


Try = Callable[[str], tuple[Way | None, tuple[str, ...]]]


def choose(settings: CsSettings, folder: Path, java: Java | None, tried: Try | None = None) -> Choice:
    """What holds here of what the owner wants; ``tried`` finds that out. Raises ConfigError where jobs would run
    unconfined and the owner has not accepted that."""
    way: Way | None = None
    lacking: tuple[str, ...] = (f'{folder / CONFIG_NAME} says sandbox = "none"',)
    if settings.sandbox != "none":
        way, lacking = (tried or holding)(settings.sandbox)
    if way is not None:
        return Choice(walls_of(way, java), lacking)
    if settings.unconfined != ACCEPTED:
        raise ConfigError(_refusal(lacking, folder))
    return Choice(None, lacking)


def holding(wanted: str) -> tuple[Way | None, tuple[str, ...]]:
    """The way that holds here, the only one that is tried unless ``wanted`` is ``auto``; and what is lacking."""
    if wanted == "auto":
        found = probe()
        return found.way or None, found.lacking
    if wanted == "own":
        faults = faults_of_own_way()
        return ("own", ()) if not faults else (None, (*faults, *remedies()))
    program = find_bubblewrap()
    faults = faults_of_bubblewrap(program) if program else ("bubblewrap is not installed",)
    return ("bubblewrap", ()) if not faults else (None, (*faults, *remedies()))


def walls_of(way: Way, java: Java | None = None) -> Walls:
    """The walls of this machine, raised that way. Looks at what is installed."""
    python = getattr(sys, "_base_executable", "") or sys.executable
    program = os.path.realpath(java.path) if java is not None else ""
    return Walls(way, system_binds(python, program or None), program, package_binds())


def _refusal(lacking: tuple[str, ...], folder: Path) -> str:
    reasons = "".join(f"\n  {each}" for each in lacking)
    return (
        f"jobs cannot be confined on this machine, so none is taken, and the server does not start:{reasons}\n"
        "Or, where this account owns nothing that a job of a signer whom you trust may not read and change, set "
        f'unconfined = "{ACCEPTED}" in {folder / CONFIG_NAME}'
    )
