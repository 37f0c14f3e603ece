"""How a command asks the web server one question as the person who called it."""

from __future__ import annotations

import re
from typing import TypeVar

from rjs.cli.console import say
from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases
from rjs.client import run_client, with_own_ws
from rjs.errors import UsageError
from rjs.identity.folder import IdentityFolder
from rjs.state import sole_cluster
from rjs.wire.messages import Message

_JOB = re.compile("[0-9a-f]{1,64}")

Reply = TypeVar("Reply", bound=Message)


def ask(question: Message, kind: type[Reply]) -> Reply:
    """The web server's reply. Raises RefusedError, UnreachableError. Once in a process."""
    identity = IdentityFolder(sole_cluster(person_folder()) / "identity")
    return run_client(
        lambda reactor: with_own_ws(
            reactor,
            identity,
            lambda session: session.request(question, kind),
            tell=say,
            ask_passphrase=Passphrases(None),
        )
    )


def job_prefix(text: str) -> str:
    """A job's id, or its first digits, as the protocol has it. Raises UsageError for what is none."""
    if not _JOB.fullmatch(text.lower()):
        raise UsageError(f"{text!r} is no job id; give one, or its first digits, as rjs status lists them")
    return text.lower()
