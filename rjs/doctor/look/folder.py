"""Looks at a state folder: owner, modes, who holds it, what its server says, its settings. Takes no lock and writes
nothing: a server that starts in this moment must not find its folder in use."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path
from typing import Any

import attrs
import msgspec

from rjs.config import CONFIG_NAME, read_config
from rjs.doctor.rules.folder import ConfigFacts, FolderFacts
from rjs.errors import ConfigError, RefusedError, UnreachableError
from rjs.files import read_small
from rjs.identity.folder import Member
from rjs.roles import role_entry
from rjs.state import CLUSTERS
from rjs.status import SOCKET, read_status

_LOOKED_AT = 200
"""Names of a folder whose owner is looked at: a full home must not take the doctor's time."""
_LOCKS = Path("/proc/locks")


@attrs.frozen
class Running:
    """The server's own words, or why there are none; ``pid`` of whoever holds the folder."""

    document: dict[str, Any] | None
    trouble: str
    pid: int | None


def account(uid: int) -> str:
    """The account's name; its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def us() -> str:
    """The account that looks."""
    return account(os.geteuid())


def look_at_folder(path: Path, member: Member | None, running: Running) -> FolderFacts:
    """The facts of a folder that is there. Raises OSError when it is not."""
    found = path.stat()
    return FolderFacts(
        path=str(path),
        role="" if member is None else member.role.value,
        name="" if member is None else member.common_name,
        owner=account(found.st_uid),
        us=us(),
        mode=stat.S_IMODE(found.st_mode),
        holder=running.pid,
        last_holder=_last_holder(path),
        answers=running.document is not None,
        trouble=running.trouble,
        theirs=_theirs(path, found.st_uid),
    )


def ask_server(path: Path) -> Running:
    """What runs in the folder, and what it says."""
    pid = lock_holder(path / "lock")
    if not (path / SOCKET).exists():
        return Running(None, "there is no status socket", pid)
    try:
        document = read_status(path)
    except UnreachableError as error:
        return Running(None, str(error), pid)
    if not isinstance(document, dict):
        return Running(None, "its status is no document", pid)
    return Running(document, "", pid)


def lock_holder(lock: Path) -> int | None:
    """The process that holds a flock on the file; None where none does, or where that cannot be seen (no Linux).

    Read from the kernel's table: trying the lock would keep a server out that starts now.
    """
    try:
        found = lock.stat()
        table = _LOCKS.read_text()
    except OSError:
        return None
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    for line in table.splitlines():
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5] == place:
            return int(words[4])
    return None


def _last_holder(path: Path) -> int | None:
    """Whoever wrote its number into the lock, if it is gone."""
    try:
        text = read_small(path / "lock", 64).decode("ascii").strip()
    except (OSError, RefusedError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() and not Path("/proc", text).exists() else None


def _theirs(path: Path, owner: int) -> tuple[tuple[str, str], ...]:
    found = []
    for folder in (path, path / CLUSTERS):
        try:
            names = sorted(os.listdir(folder))[:_LOOKED_AT]  # noqa: PTH208 - names, not paths
        except OSError:
            continue
        for name in names:
            uid = _owner(folder / name)
            if uid is not None and uid != owner:
                found.append((str((folder / name).relative_to(path)), account(uid)))
    return tuple(found)


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def look_at_config(path: Path, role: str) -> tuple[ConfigFacts, msgspec.Struct | None]:
    """What ``config.toml`` says, and what is wrong with it: the settings are None where it cannot be gone by."""
    file = path / CONFIG_NAME
    try:
        mode = file.stat().st_mode
        settings = read_config(role_entry(f"{role}.settings"), path)
    except FileNotFoundError:
        return ConfigFacts(str(file), missing=True), None
    except ConfigError as error:
        return ConfigFacts(str(file), mistakes=tuple(str(error).splitlines())), None
    except OSError as error:
        return ConfigFacts(str(file), mistakes=(f"{file}: {error.strerror}",)), None
    assert isinstance(settings, msgspec.Struct)
    return ConfigFacts(str(file), writable=bool(mode & 0o022)), settings
