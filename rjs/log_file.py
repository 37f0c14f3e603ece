"""A server's log in files: rotated by size, for its owner alone, and never in the server's way.

    LogFile(path).write("a line\\n")        # path, path.1 (older) … path.9 (oldest)

A disk that takes nothing loses lines, not the server: how many is told once it takes some again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from rjs.errors import ConfigError
from rjs.limits import LOG_FILE, LOG_FILES, MIB

LogSetting = Annotated[
    str,
    Meta(
        description=f"File for the log, {LOG_FILES} of {LOG_FILE // MIB} MiB at most; relative to this state folder. "
        "Empty: standard error,\nwhere errors are told in any case."
    ),
]
"""What every server's ``config.toml`` says of it."""


class LogFile:
    """A text file that is written by one process, as ``textFileLogObserver`` wants it."""

    def __init__(self, path: Path, most: int = LOG_FILE, files: int = LOG_FILES) -> None:
        self._path = path
        self._most = most
        self._files = files
        self._size = 0
        self._descriptor = -1
        self._lost = 0

    def write(self, text: str) -> int:
        """Append ``text``, which is whole lines. Never raises OSError."""
        data = text.encode("utf-8", "replace")
        try:
            if self._descriptor < 0:
                self.open()
            if self._size + len(data) > self._most:
                self._rotate()
            if self._lost:
                self._append(b"(%d pieces of the log could not be written here)\n" % self._lost)
                self._lost = 0
            self._append(data)
        except OSError:
            self._lost += 1
            self.close()  # what is wrong may be the file: the next line opens it anew
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """A later write opens it again."""
        descriptor, self._descriptor, self._size = self._descriptor, -1, 0
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def open(self) -> None:
        """Open it now. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)
        self._size = os.fstat(self._descriptor).st_size

    def _append(self, data: bytes) -> None:
        while data:
            count = os.write(self._descriptor, data)
            self._size += count
            data = data[count:]

    def _rotate(self) -> None:
        self.close()
        for age in range(self._files - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._older(age - 1).replace(self._older(age))
        self.open()

    def _older(self, age: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{age}") if age else self._path


def opened_log(folder: Path, setting: str) -> LogFile | None:
    """The log that a server's settings name, None for standard error. Raises ConfigError where none can be there."""
    if not setting:
        return None
    log = LogFile(folder / setting)
    try:
        log.open()
    except (OSError, ValueError) as error:  # ValueError: a name with a zero in it
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"log: {folder / setting} cannot be written: {why}; name another file") from None
    return log
