"""The list of what is revoked in a person's own folder: fetched from the web server, for judging answers by.

By the rules of every reader: signed by the cluster's record key, numbered, never an older one or one that takes
something back, whoever brought it.
"""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred, TimeoutError

from rjs.background import Timers
from rjs.errors import RefusedError, UnreachableError
from rjs.identity.folder import IdentityFolder
from rjs.identity.revocation import Revocations, check_floor, check_succession, read_revocations
from rjs.identity.revocation_file import REVOCATIONS, keep_revocations, kept_revocations
from rjs.limits import LIST_PATIENCE
from rjs.wall_time import utc_now
from rjs.wire import messages as m
from rjs.wire.session import Session


def persons_list(folder: IdentityFolder) -> Revocations | None:
    """The list that was fetched last; None before the first. Raises ConfigError for a damaged file."""
    return kept_revocations(_path(folder), folder.root())


async def fetch_list(timers: Timers, session: Session, folder: IdentityFolder) -> None:
    """Ask over ``session`` for the newest list, and keep it. A server of an older release changes nothing.

    Raises RjsError and OSError; then the list that was there stays.
    """
    held = persons_list(folder)
    question = m.RevocationRead(known=0 if held is None else held.number)
    asked = Deferred.fromCoroutine(session.request(question, m.Message))
    asked.addTimeout(LIST_PATIENCE, timers)  # type: ignore[arg-type]  # callLater is all that it needs
    try:
        told = await asked
    except TimeoutError:
        raise UnreachableError(f"no list of what is revoked came within {LIST_PATIENCE:.0f} s") from None
    except RefusedError as refused:
        if refused.code != "unsupported":
            raise
        return
    if isinstance(told, m.RevocationList):
        offered = read_revocations(told.list, folder.root())
        if held is not None:
            check_succession(held, offered, utc_now())
        else:
            check_floor(offered, utc_now())
        keep_revocations(_path(folder), offered)


def _path(folder: IdentityFolder) -> Path:
    return folder.path / REVOCATIONS
