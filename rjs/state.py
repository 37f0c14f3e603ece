"""State folders: where a server (or a person) keeps what it knows, one folder below for each cluster.

Exactly one process may hold a server's state folder; a second one is told which process does.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from rjs.config import CONFIG_NAME
from rjs.errors import ConfigError
from rjs.files import make_private_folder, read_small, write_atomically
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.keys import AskPassphrase
from rjs.identity.names import SERVERS, Role
from rjs.ids import BootId

CLUSTERS = "clusters"
"""Below a state folder: one folder for each cluster that the machine serves."""


@attrs.frozen
class Boot:
    """This start of a server process: a fresh id, and the count of starts, which only rises."""

    id: BootId
    count: int


class StateFolder:
    """A server's state folder, held by this process alone until ``leave``."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def enter(cls, path: Path) -> Self:
        """Take the folder. Raises ConfigError when it is not there or another process holds it."""
        path = path.resolve()
        if not path.is_dir():
            raise ConfigError(f"{path} is not a server's state folder; make one with rjs join or rjs ws init")
        lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
            os.close(lock)
            name = f"process {holder}" if holder.isdigit() else "another process"
            raise ConfigError(f"{path} is in use by {name}; stop that first") from None
        os.pwrite(lock, f"{os.getpid():<31}\n".encode(), 0)  # in one write: a second process may read it now
        return cls(path, lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)

    def cluster(self) -> Path:
        """The folder of the one cluster that this release serves from a state folder."""
        return sole_cluster(self.path)

    def identity(self) -> IdentityFolder:
        """This server's keys and certificates."""
        return IdentityFolder(self.cluster() / "identity")

    def member(self, role: Role) -> Member:
        """Who this folder makes its server. Raises ConfigError when that is not a ``role``."""
        return member_of(self.path, role)

    def next_boot(self) -> Boot:
        """Count this start, durably."""
        path = self.path / "boots"
        try:
            counted = read_small(path, 32).strip()
        except FileNotFoundError:
            counted = b"0"
        if not counted.isdigit():
            raise ConfigError(
                f"{path} is damaged: it must hold the number of starts so far; remove it to count anew"
            )
        count = int(counted) + 1
        write_atomically(path, b"%d\n" % count)
        return Boot(BootId(uuid.uuid4().hex), count)


def cluster_folder(path: Path, cluster: str) -> Path:
    """Where the state of one cluster lies below a state folder (or a person's folder)."""
    return path / CLUSTERS / cluster


def sole_cluster(path: Path) -> Path:
    """The one cluster's folder below ``path``. Raises ConfigError when there is none, or more than one."""
    found = sorted((path / CLUSTERS).glob("*")) if (path / CLUSTERS).is_dir() else []
    joined = [each for each in found if IdentityFolder(each / "identity").is_joined]
    if not joined:
        raise ConfigError(
            f"{path} has joined no cluster yet; use an invitation: rjs join INVITATION {path} for a server, "
            f"rjs --home {path} join INVITATION for a person"
        )
    if len(joined) > 1:
        names = ", ".join(each.name for each in joined)
        raise ConfigError(
            f"{path} has joined several clusters ({names}) and this release serves one a folder; "
            f"move all but one out of {path / CLUSTERS}, a person's to a folder of its own (rjs --home)"
        )
    return joined[0]


def member_of(path: Path, role: Role) -> Member:
    """The member of the one cluster below ``path``. Raises ConfigError, naming the right command, when that
    member is not a ``role``."""
    member = IdentityFolder(sole_cluster(path) / "identity").member()
    if member.role is not role:
        right = f"; use: rjs {member.role} run {path}" if member.role in SERVERS else ""
        raise ConfigError(f"{path} is the folder of {member.name.uri()}, not of a {role}{right}")
    return member


def make_state_folder(path: Path) -> None:
    """Have a private folder for a server's state at ``path``; what was begun there before may go on.

    Raises ConfigError for a folder that holds something else: a server must not settle among a person's files.
    """
    found = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if found - {"lock"} and not found & {CONFIG_NAME, CLUSTERS}:
        raise ConfigError(
            f"{path} is no state folder, and holds other files, such as {min(found)!r}; name a folder that is empty "
            "or not there yet"
        )
    make_private_folder(path)


def private_folder(path: Path) -> Path:
    """``path``, made private if it was not there."""
    make_private_folder(path)
    return path


def person_identity(path: Path) -> IdentityFolder:
    """The keys and certificates in ``path``: a folder with ``signing.key``, or a person's own folder."""
    if (path / "signing.key").exists():
        return IdentityFolder(path)
    return IdentityFolder(sole_cluster(path) / "identity")


def signing_identity(path: Path, ask: AskPassphrase | None = None) -> Identity:
    """The signing key with its chain in ``path``, see ``person_identity``; ``ask`` gives its passphrase."""
    return person_identity(path).signing(ask)
