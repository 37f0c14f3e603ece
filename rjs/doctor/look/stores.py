"""Looks at what a server keeps: whom an owner trusts, what is revoked, homes, the database."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import attrs
from cryptography import x509

from rjs.doctor.rules.homes import DatabaseFacts, HomeFacts
from rjs.doctor.rules.trust import GrantFacts, RevocationFacts, TrustFacts
from rjs.errors import ConfigError
from rjs.identity.names import RjsName
from rjs.identity.revocation_file import REVOCATIONS, kept_revocations
from rjs.roles import role_entry
from rjs.storage import check_database

HOMES = 1_000
"""Homes that are looked at; a cluster has hundreds."""
CHECKING = 3.0
"""Seconds for the check of a database; what takes longer is left to the server."""


def look_at_trust(folder: Path, cluster: Path) -> TrustFacts:
    """The trust store of the CS in ``folder``."""
    folder_of_trust = role_entry("cs.trust_store")(cluster)
    path: Path = folder_of_trust.path
    store = folder_of_trust.current()
    grants = tuple(GrantFacts(each.label, each.spki, each.until) for each in store.grants)
    return TrustFacts(str(folder), str(path), grants, store.fault or "", _writable(path, path.parent))


def _writable(*paths: Path) -> str:
    for path in paths:
        try:
            if path.lstat().st_mode & 0o022:
                return str(path)
        except OSError:
            continue
    return ""


def look_at_revocations(cluster: Path, root: x509.Certificate, name: RjsName) -> RevocationFacts:
    """The list that the server of this cluster folder goes by, and what it says of the server itself."""
    path = cluster / REVOCATIONS
    try:
        kept = kept_revocations(path, root)
    except ConfigError as error:
        return RevocationFacts(str(path), error=str(error))
    except OSError as error:
        return RevocationFacts(str(path), error=f"{path}: {error.strerror}")
    if kept is None:
        return RevocationFacts(str(path))
    entry = kept.member(name)  # a server that is invited again has another id
    against = "" if entry is None else entry.sentence()
    return RevocationFacts(str(path), kept.number, len(kept.said.entries), kept.until, against=against)


def look_at_homes(homes: Path) -> list[HomeFacts]:
    """Every home below ``homes``, as far as this account sees it; links are not followed."""
    try:
        names = sorted(os.listdir(homes))[:HOMES]  # noqa: PTH208 - names, not paths
    except OSError:
        return []
    found = []
    for name in names:
        home = homes / name
        mode = _mode(home)
        if mode is not None and stat.S_ISDIR(mode):
            found.append(_home(home, mode))
    return found


def _home(home: Path, mode: int) -> HomeFacts:
    folders = {name: _mode(home / name) for name in ("jobs", "ans")}
    missing = tuple(name for name, each in folders.items() if each is None or not stat.S_ISDIR(each))
    there = [name for name in folders if name not in missing]
    unwritable = tuple(name for name in there if not _may_write(home / name))
    return HomeFacts(home.name, str(home), missing, unwritable, bool(mode & 0o077))


def _may_write(folder: Path) -> bool:
    """Root may do everything, but a server that does not run as root may not: the owner's bits count for both."""
    return os.access(folder, os.W_OK | os.X_OK) and bool(folder.stat().st_mode & stat.S_IWUSR)


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def look_at_database(path: Path, runs: bool) -> DatabaseFacts:
    """Whether the database is sound. A running server holds it; one that was killed has its journal to bring in."""
    facts = DatabaseFacts(str(path))
    if not path.exists():
        return attrs.evolve(facts, unchecked="there is none before the first start")
    if not path.is_file():
        return attrs.evolve(facts, problem="it is no plain file")  # a pipe would be waited for
    if runs:
        return attrs.evolve(facts, unchecked="the running server holds it, and reports its faults")
    journal = path.with_name(f"{path.name}-wal")
    if journal.exists() and journal.stat().st_size:
        return attrs.evolve(
            facts, unchecked="it was not closed: the server brings its journal in when it starts"
        )
    try:
        return attrs.evolve(facts, problem=check_database(path, CHECKING))
    except TimeoutError:
        return attrs.evolve(facts, unchecked=f"its check takes more than {CHECKING:.0f} s")
