"""Where a server puts what it wrote itself and cannot believe any more, for a person to look at.

    quarantine = Quarantine(cluster / "quarantine")
    quarantine.take(path, "its digest is another one", now)     # moved there, and told
    connection = open_or_begin_anew(path, MIGRATIONS, ID, quarantine, "what that means", now)

Nothing in it is ever used again. It holds the newest few only, and what is wrong with each stands beside it, so that
status says it after restarts too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec
from twisted.logger import Logger

from rjs.errors import DamagedError, RefusedError
from rjs.files import make_private_folder, read_small, sync_folder, write_atomically
from rjs.limits import QUARANTINED, QUARANTINED_BYTES, QUARANTINED_WORDS
from rjs.storage import Connection, open_database

_log = Logger("rjs.quarantine")

_WHY: Final = ".why"
_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_SIDES: Final = ("", "-wal", "-shm")
"""A database and what SQLite keeps beside it. The database goes first: what is left beside none is never read."""


@attrs.frozen
class Aside:
    """One file that was set aside: its name in the folder, what it is, and what is wrong with it."""

    name: str
    what: str
    why: str


class Quarantine:
    """The newest ``QUARANTINED`` files that were set aside, of at most ``QUARANTINED_BYTES`` unless the newest alone
    has more. ``folder`` is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, path: Path, why: str, now: dt.datetime, what: str = "") -> None:
        """Move the file at ``path``, which is on the same disk, here. Durable on return; logged.

        Raises OSError, and then the file is where it was. ``what`` it is defaults to its name.
        """
        make_private_folder(self._folder)
        name = f"{now.astimezone(dt.UTC).strftime(_STAMP)}-{path.name}"
        aside = Aside(name, what or path.name, why[:QUARANTINED_WORDS])
        with suppress(OSError):  # a full disk: that it is damaged is told all the same
            write_atomically(self._folder / f"{name}{_WHY}", msgspec.json.encode([aside.what, aside.why]))
        moved = self._folder / name
        path.rename(moved)
        moved.chmod(0o600)
        sync_folder(self._folder)
        sync_folder(path.parent)
        _log.error(
            "set aside as damaged: {what}: {why}; it is now {moved}",
            what=aside.what,
            why=aside.why,
            moved=moved,
        )
        self._forget_old()

    def asides(self) -> list[Aside]:
        """What is here, the newest first."""
        return [self._aside(path) for path in reversed(self._files())]

    def document(self) -> list[dict[str, Any]]:
        """For the status."""
        return [attrs.asdict(each) for each in self.asides()]

    def _files(self) -> list[Path]:
        """In the order in which they came."""
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.suffix not in (_WHY, ".part"))

    def _aside(self, path: Path) -> Aside:
        try:
            text = read_small(path.with_name(f"{path.name}{_WHY}"), 8 * QUARANTINED_WORDS)
            what, why = msgspec.json.decode(text, type=tuple[str, str])
        except (OSError, RefusedError, msgspec.DecodeError):
            what, why = path.name.partition("-")[2], ""
        return Aside(path.name, what, why)

    def _forget_old(self) -> None:
        room = QUARANTINED_BYTES
        for age, path in enumerate(reversed(self._files())):
            room -= path.stat().st_size
            if age and (age >= QUARANTINED or room < 0):
                path.unlink()
                path.with_name(f"{path.name}{_WHY}").unlink(missing_ok=True)


def open_or_begin_anew(
    path: Path,
    migrations: Sequence[str],
    application_id: int,
    quarantine: Quarantine,
    meaning: str,
    now: dt.datetime,
) -> Connection:
    """As ``open_database``; a damaged one is set aside for a new, empty one. ``meaning`` says what is lost by that.

    Only for what a server can do without. Raises StorageError for other faults, and OSError.
    """
    try:
        return open_database(path, migrations, application_id=application_id)
    except DamagedError as damaged:
        for side in _SIDES:
            with suppress(FileNotFoundError):
                quarantine.take(path.with_name(f"{path.name}{side}"), f"{damaged}. {meaning}", now)
    return open_database(path, migrations, application_id=application_id)
