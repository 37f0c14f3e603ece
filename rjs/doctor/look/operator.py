"""Looks at operators' folders: the one that is named, and those that lie near a web server."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from rjs.doctor.look.folder import account
from rjs.doctor.rules.authority import OperatorFacts
from rjs.errors import RefusedError
from rjs.identity.keys import is_encrypted

KEYS = ("root.key", "enrolment.key")
FILES = (*KEYS, "root.pem", "enrolment.pem")
NAMES = 500
"""Names of each folder that are looked at: operators keep theirs where they are at home."""


def look_at_operator(path: Path, ws_uid: int | None = None) -> OperatorFacts:
    """The operator's folder at ``path``; ``ws_uid`` is the account whose reading of its keys is asked about."""
    try:
        owner = path.stat().st_uid
        present = set(os.listdir(path))  # noqa: PTH208 - names, not paths
    except OSError as error:
        return OperatorFacts(str(path), error=error.strerror or str(error))
    if not present.intersection(FILES):
        return OperatorFacts(str(path), error="it is no operator's folder")
    keys = [path / name for name in KEYS if name in present]
    plain = [key for key in keys if _is_plain(key)]
    exposed = [key for key in plain if stat.S_IMODE(key.stat().st_mode) & 0o077]
    return OperatorFacts(
        path=str(path),
        owner=account(owner),
        plain=tuple(map(str, plain)),
        exposed=tuple(map(str, exposed)),
        missing=tuple(name for name in FILES if name not in present),
        to_ws=bool(exposed) or ws_uid in (0, owner),
    )


def _is_plain(key: Path) -> bool:
    """Whether no passphrase protects it; what cannot be read is protected from us at least."""
    try:
        return not is_encrypted(key)
    except (OSError, RefusedError):
        return False


def operators_near(folder: Path, ws_uid: int | None) -> list[OperatorFacts]:
    """Operators' folders in, beside and above the web server's folder, and in its account's home and ours."""
    found = {path.resolve() for path in _likely(folder) if _holds_keys(path)}
    return [look_at_operator(path, ws_uid) for path in sorted(found)]


def _likely(folder: Path) -> Iterator[Path]:
    folder = folder.resolve()
    homes = {folder, folder.parent, Path.home()}
    for home in sorted(homes):
        yield home
        try:
            with os.scandir(home) as entries:
                yield from (
                    Path(entry.path)
                    for entry, _ in zip(entries, range(NAMES), strict=False)
                    if entry.is_dir()
                )
        except OSError:
            continue


def _holds_keys(path: Path) -> bool:
    try:
        return all((path / name).exists() for name in KEYS)
    except OSError:
        return False
