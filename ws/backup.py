"""``rjs ws backup``: everything that a web server must not lose, in one file, while it runs or not.

The database is copied first, by whoever holds it: the running server, when a command orders it, or the command
itself. All that the copy speaks of lies in files that are never changed, so they may be read afterwards. Users' homes
are not in it: back them up as what they are.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from rjs import __version__
from rjs.config import CONFIG_NAME
from rjs.errors import ConfigError, RefusedError, StorageError, UnreachableError
from rjs.identity.accepted_file import ACCEPTED_CAS
from rjs.identity.names import Role
from rjs.identity.revocation_file import REVOCATIONS
from rjs.orders import ORDERS, Orders, followed, settle
from rjs.state import StateFolder, member_of, private_folder, sole_cluster
from rjs.status import read_status
from rjs.storage import Storage, copy_database, open_database
from ws import limits, store
from ws.backup_file import Contents, is_backup_name, write_backup

DATABASE: Final = "ws.sqlite"
IDENTITY: Final = "identity"
BUNDLES: Final = "bundles"
STAGING: Final = "staging"
STATE: Final = "state"
"""In a backup: the folder of what lies in the state folder itself."""

SNAPSHOTS: Final = "snapshots"
"""The folder, in that of the cluster, of copies of the database that commands asked for."""


class SnapshotOrder(msgspec.Struct, frozen=True):
    """A copy of the database that a command waits for, in ``SNAPSHOTS`` under this name."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\.sqlite\Z")]


def snapshot_orders(cluster: Path) -> Orders[SnapshotOrder]:
    """The orders of copies in the folder of a web server's cluster."""
    return Orders(private_folder(cluster / ORDERS), "snapshot", SnapshotOrder)


def clear_snapshots(cluster: Path) -> None:
    """Remove the copies that killed commands left."""
    for path in private_folder(cluster / SNAPSHOTS).iterdir():
        path.unlink()


async def follow_snapshot_orders(cluster: Path, storage: Storage) -> None:
    """Make the copies that commands wait for."""
    for path, order in snapshot_orders(cluster).waiting():
        try:
            await storage.copy(cluster / SNAPSHOTS / order.name)
        except StorageError as error:
            settle(path, RefusedError("no-copy", str(error)))
        else:
            settle(path)


def backup(folder: Path, target: Path) -> Contents:
    """Write a backup of the web server in the state folder ``folder`` to ``target``, 0600; replaces a file there.

    Raises ConfigError, RefusedError, StorageError, OSError; then ``target`` is what it was.
    """
    member_of(folder, Role.WS)
    cluster = sole_cluster(folder)
    snapshot = private_folder(cluster / SNAPSHOTS) / f"{secrets.token_hex(16)}.sqlite"
    made = time.time()
    try:
        _copy_database(folder, cluster, snapshot)
        contents = Contents(release=__version__, cluster=cluster.name, made=made)
        return write_backup(target, contents, _files(folder, cluster, snapshot))
    finally:
        snapshot.unlink(missing_ok=True)


def _copy_database(folder: Path, cluster: Path, snapshot: Path) -> None:
    if _runs(folder):
        order = snapshot_orders(cluster).place(SnapshotOrder(snapshot.name))
        if not followed(folder, order, limits.SNAPSHOT):
            order.unlink(missing_ok=True)
            raise ConfigError("the web server stopped meanwhile; try again")
        return
    with StateFolder.enter(folder):
        database = open_database(cluster / DATABASE, store.MIGRATIONS, application_id=store.APPLICATION_ID)
        try:
            copy_database(database, snapshot)
        finally:
            database.close()


def _runs(folder: Path) -> bool:
    try:
        read_status(folder)
    except UnreachableError:
        return False
    return True


def _files(folder: Path, cluster: Path, snapshot: Path) -> Iterator[tuple[str, Path]]:
    """What a backup holds: the database, what it needs of bundles and answers, keys and certificates, settings."""
    yield DATABASE, snapshot
    bundles, staged = _needed(snapshot)
    for job in bundles:
        yield f"{BUNDLES}/{job}.jar", cluster / BUNDLES / f"{job}.jar"
    for name in staged:
        yield f"{STAGING}/{name}", cluster / STAGING / name
    for path in sorted((cluster / IDENTITY).rglob("*")):
        name = path.relative_to(cluster).as_posix()
        if path.is_file() and is_backup_name(name):
            yield name, path
    for name in (REVOCATIONS, ACCEPTED_CAS):
        yield name, cluster / name
    for name in (CONFIG_NAME, "boots"):
        yield f"{STATE}/{name}", folder / name


def _needed(snapshot: Path) -> tuple[list[str], list[str]]:
    """The bundles of the jobs that have not ended, and the staged files of answers that ``ans/`` may not have."""
    database = open_database(snapshot, store.MIGRATIONS, application_id=store.APPLICATION_ID)
    try:
        jobs = store.load_queue(database, 0.0).jobs
        return [job for job, state in jobs.items() if not state.ended], sorted(store.staged_files(database))
    finally:
        database.close()
