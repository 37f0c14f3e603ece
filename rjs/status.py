"""A server's local status: one JSON document a connection, over a 0600 Unix socket in its state folder.

Only the account that runs the server can ask. The document is made at each question from what is true then.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol

from rjs.errors import ConfigError, UnreachableError
from rjs.limits import STATUS_DOCUMENT, STATUS_PATIENCE

SOCKET = "status.sock"
"""The socket's name in the state folder."""


class _Answer(Protocol):
    def __init__(self, document: Callable[[], object]) -> None:
        self._document = document

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(msgspec.json.encode(self._document()))
        self.transport.loseConnection()


class _Answers(Factory[_Answer]):
    noisy = False

    def __init__(self, document: Callable[[], object]) -> None:
        self._document = document

    def buildProtocol(self, addr: object) -> _Answer:
        return _Answer(self._document)


def serve_status(reactor: ReactorBase, folder: Path, document: Callable[[], object]) -> IListeningPort:
    """Answer every connection with ``document()`` as JSON. Raises ConfigError when the path is too long."""
    path = folder / SOCKET
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # a killed server's; the folder's lock says that it is nobody's now
    if len(os.fsencode(path)) > 100:
        raise ConfigError(f"{path} is too long for a Unix socket; use a state folder with a shorter path")
    return IReactorUNIX(reactor).listenUNIX(str(path), _Answers(document), mode=0o600)  # type: ignore[arg-type]  # a Factory of one protocol


def read_status(folder: Path) -> Any:
    """The document of the server whose state folder this is. Raises UnreachableError when it does not run."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(STATUS_PATIENCE)
        try:
            connection.connect(str(folder / SOCKET))
            parts: list[bytes] = []
            while part := connection.recv(65536):
                parts.append(part)
                if sum(map(len, parts)) > STATUS_DOCUMENT:
                    raise UnreachableError(f"{folder}: the status is larger than {STATUS_DOCUMENT} bytes")
        except OSError as error:
            raise UnreachableError(f"no server runs in {folder} ({error.strerror or error})") from error
    return msgspec.json.decode(b"".join(parts))
