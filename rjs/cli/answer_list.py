"""Which list of what is revoked an answer is judged by: one that is named, or the one in the caller's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from rjs.cli.group import person_folder
from rjs.errors import ConfigError, RjsError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.identity.revocation import Revocations


@attrs.frozen
class AnswerList:
    """The list that an answer is judged by, or None. ``note``: what is missing, or old, in words; or empty."""

    newest: Revocations | None
    note: str


def answer_list(file: Path | None, authorities: Sequence[x509.Certificate], *, own: bool) -> AnswerList:
    """The list in ``file``, signed under one of ``authorities``; without one, that of the caller's own folder.

    ``own``: it is the caller's own organisation's answer, so a folder without a list is missed. Raises ConfigError
    for a damaged list, and IdentityError for one that is none.
    """
    if file is not None:
        return _aged(_of_file(file, authorities))
    try:
        newest = _own(authorities)
    except (FileNotFoundError, RjsError) as error:
        if own:
            raise
        return AnswerList(None, f"not judged by a list of what is revoked: {error}")
    if newest is None:
        return AnswerList(
            None,
            "not judged by a list of what is revoked: none was fetched yet; any command that asks the web server, "
            "such as rjs status, fetches it, and --revocations FILE names one",
        )
    return _aged(newest)


def _own(authorities: Sequence[x509.Certificate]) -> Revocations | None:
    """The list of the caller's own folder, where that is of one of these organisations."""
    from rjs.persons_list import persons_list
    from rjs.state import person_identity

    folder = person_identity(person_folder())
    if folder.root() not in authorities:
        raise ConfigError("your own is of another organisation; --revocations FILE names one")
    return persons_list(folder)


def _of_file(path: Path, authorities: Sequence[x509.Certificate]) -> Revocations:
    from rjs.identity.errors import IdentityError
    from rjs.identity.revocation_file import read_list

    refused: IdentityError | None = None
    for root in authorities:
        try:
            return read_list(path, root)
        except IdentityError as error:
            refused = error
    assert refused is not None
    raise refused


def _aged(newest: Revocations) -> AnswerList:
    """With a note where the list is stale: what was revoked since is not in it."""
    if datetime.now(UTC) <= newest.until:
        return AnswerList(newest, "")
    note = (
        f"judged by list {newest.number} of what is revoked, good until {newest.until:%Y-%m-%d %H:%M}Z: any command "
        "that asks the web server fetches a newer one"
    )
    return AnswerList(newest, note)
