"""What ``rjs ws revoke`` and ``rjs revoke`` share: naming what shall be revoked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from rjs.errors import UsageError
from rjs.limits import REVOCATION_REASON

F = TypeVar("F", bound=Callable[..., Any])

_LONGEST = 128  # as the message to the web server has it

_OPTIONS = (
    click.argument("member", metavar="ID", required=False),
    click.option(
        "--signer", metavar="FINGERPRINT", help="A signing key instead: its SHA-256, 64 hex digits."
    ),
    click.option(
        "--certificate", metavar="SERIAL", help="A single certificate instead, by its serial number."
    ),
    click.option(
        "--reason", default="", metavar="TEXT", help="Why, in a few words that the revoked will read."
    ),
)


def whom_options(command: F) -> F:
    """ID, ``--signer``, ``--certificate`` and ``--reason``, of which exactly one says what is revoked."""
    for each in reversed(_OPTIONS):
        command = each(command)
    return command


def meant(member: str | None, signer: str | None, certificate: str | None, reason: str) -> tuple[str, str]:
    """What kind of thing is meant, and which. Raises UsageError unless it is exactly one."""
    if len(reason) > REVOCATION_REASON:
        raise UsageError(f"a reason has at most {REVOCATION_REASON} characters")
    named = [("member", member), ("signer", signer), ("certificate", certificate)]
    found = [(what, text) for what, text in named if text]
    if len(found) != 1 or len(found[0][1]) > _LONGEST:
        raise UsageError("name one: a member's ID, or --signer FINGERPRINT, or --certificate SERIAL")
    return found[0]
