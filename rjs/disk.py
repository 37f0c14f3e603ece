"""The disk under a server's state: whether it takes what must be written, and what a server does where it does not.

    watch = DiskWatch(folder, workers)
    tasks.repeat(reactor, "disk", limits.DISK_LOOK, watch.look)
    …
    watch.check_room()        # before anything new is taken in

What was begun goes on while there is any room: the reserve is for that. A server whose journal could not be written
begins anew (``restart``): it waits until the disk takes its writes again (``await_disk``), then reads its journal.
All that it had said was on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import attrs
import msgspec
from twisted.logger import Logger

from rjs import limits
from rjs.background import Workers
from rjs.errors import OverloadedError
from rjs.sizes import size_text
from rjs.status import SOCKET

_log = Logger("rjs.disk")

_PROBE: Final = ".probe"
_PROBED: Final = b"\0" * 4096
_AGAIN: Final = "RJS_STARTED_AGAIN"
_LOOK: Final = 0.01


@attrs.frozen
class DiskState:
    """What the disk takes: all that comes where ``code`` is empty. ``writable``: it took a small file just now.
    ``free`` in bytes, ``files`` that may still be made."""

    code: str
    sentence: str
    writable: bool
    free: int
    files: int


def look(folder: Path, reserve: int = limits.DISK_RESERVE) -> DiskState:
    """How things stand with the disk that ``folder`` is on. Writes and removes a small file; raises nothing."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return _sick(folder, error, 0, 0)
    free = found.f_bavail * found.f_frsize
    files = found.f_favail if found.f_files else sys.maxsize  # some file systems count none
    try:
        _probe(folder)
    except OSError as error:
        return _sick(folder, error, free, files)
    if free < reserve or files < limits.DISK_FILES:
        left = f"{size_text(free)} and {files} files" if files < limits.DISK_FILES else size_text(free)
        sentence = f"the disk of {folder} has room for {left} more: make room; what was begun goes on"
        return DiskState("disk-low", sentence, True, free, files)
    return DiskState("", "", True, free, files)


def _probe(folder: Path) -> None:
    """Raises OSError where a small file cannot be written durably."""
    path = folder / _PROBE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, _PROBED)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    finally:
        with suppress(OSError):
            path.unlink()


def _sick(folder: Path, error: OSError, free: int, files: int) -> DiskState:
    code, remedy = _REMEDIES.get(error.errno or 0, _REMEDIES[errno.EIO])
    sentence = f"{folder} takes no writes ({error.strerror or error}): {remedy}; it goes on by itself then"
    return DiskState(code, sentence, False, free, files)


_REMEDIES: Final = {
    errno.ENOSPC: ("disk-full", "make room"),
    errno.EDQUOT: ("disk-full", "make room, or have the quota raised"),
    errno.EROFS: (
        "disk-read-only",
        "look at the system's log for the fault, then mount it anew",
    ),
    errno.EMFILE: ("no-descriptors", "allow this process more open files (ulimit -n)"),
    errno.ENFILE: ("no-descriptors", "allow this machine more open files"),
    errno.EIO: ("disk-failing", "look at the system's log; the disk may be at its end"),
}


def is_of_disk(error: OSError) -> bool:
    """Whether this says that the disk takes nothing, or nothing more can be opened: no fault of what was written."""
    return error.errno in _REMEDIES


@attrs.define(eq=False)
class DiskWatch:
    """Looks at the disk of ``folder`` now and then, and knows how it stood. ``changed`` is told of each change."""

    folder: Path
    workers: Workers
    changed: Callable[[DiskState], object] = lambda state: None
    state: DiskState = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = look(self.folder)

    async def look(self) -> None:
        """Look now."""
        before, self.state = self.state, await self.workers.run(look, self.folder)
        if before.code != self.state.code:
            if self.state.code:
                _log.error("{sentence}", sentence=self.state.sentence)
            else:
                _log.info("the disk of {folder} takes writes again", folder=self.folder)
            self.changed(self.state)

    def check_room(self) -> None:
        """Raises OverloadedError while nothing new is to be taken in."""
        if self.state.code:
            raise OverloadedError(self.state.code, self.state.sentence)

    def document(self) -> dict[str, Any]:
        """For the status."""
        return facts(self.state)


def facts(state: DiskState) -> dict[str, Any]:
    """What a status document says of the disk. ``free`` in bytes."""
    return {"fault": state.code, "sentence": state.sentence, "free": state.free}


# --- starting again -------------------------------------------------------------------------------------


def restart(why: str) -> NoReturn:
    """Begin anew in this process: memory is ahead of the disk, and what is there is all that was told to anybody."""
    _log.critical("starting anew: {why}", why=why)
    sys.stderr.flush()
    again = os.environ | {_AGAIN: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], again)  # noqa: S606 - what we are already


def await_disk(folder: Path, role: str) -> None:
    """Return once the disk of a server's state folder takes writes. Until then log and status say why it waits.

    After a ``restart`` the children of the process before are seen off first.
    """
    if os.environ.pop(_AGAIN, ""):
        _reap()
    told = ""
    while folder.is_dir() and not (state := look(folder)).writable:
        if state.sentence != told:
            sys.stderr.write(f"{state.code}: {state.sentence}\n")
            told = state.sentence
        document = {"role": role, "waits": state.sentence, "disk": facts(state)}
        until = time.monotonic() + limits.DISK_LOOK
        with suppress(OSError):
            _answer(folder, msgspec.json.encode(document), until)
        time.sleep(max(0.0, until - time.monotonic()))


def _reap() -> None:
    """The children end by themselves, for their ends of what they shared with us were closed."""
    deadline = time.monotonic() + limits.DISK_CHILDREN
    with suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(_LOOK)


def _answer(folder: Path, document: bytes, until: float) -> None:
    """Answer whoever asks for the status, if no other process holds the folder. Raises OSError."""
    with (folder / "lock").open("rb") as lock, socket.socket(socket.AF_UNIX) as door:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        door.bind(str(path))
        path.chmod(0o600)
        door.listen()
        while (left := until - time.monotonic()) > 0:
            door.settimeout(left)
            connection, _ = door.accept()
            with connection:
                connection.settimeout(left)
                connection.sendall(document)
