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
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger

from rjs.errors import ConfigError, UnreachableError
from rjs.limits import STATUS_DOCUMENT, STATUS_PATIENCE
from rjs.needs import Offer

SOCKET = "status.sock"
"""The socket's name in the state folder."""

_PATH = 100  # bytes; the shortest limit of a platform is 104, with the final zero

_log = Logger("rjs.status")


def offer_facts(offer: Offer) -> dict[str, Any]:
    """What a compute server offers one task, as status documents state it. Bytes, processor threads, versions."""
    return {**msgspec.structs.asdict(offer), "platform": str(offer.platform)}


class _Answer(Protocol):
    def __init__(self, document: Callable[[], object]) -> None:
        self._document = document

    def connectionMade(self) -> None:
        assert self.transport is not None
        try:
            self.transport.write(msgspec.json.encode(self._document()))
        except Exception:  # whoever asks must not wait for an answer that will not come
            _log.failure("cannot tell the status")
        self.transport.loseConnection()


class _Answers(Factory[_Answer]):
    noisy = False

    def __init__(self, document: Callable[[], object]) -> None:
        self._document = document

    def buildProtocol(self, addr: object) -> _Answer:
        return _Answer(self._document)


def serve_status(reactor: ReactorBase, folder: Path, document: Callable[[], object]) -> IListeningPort:
    """Answer every connection with ``document()`` as JSON. Raises ConfigError when no socket can be made there."""
    path = folder / SOCKET
    if len(os.fsencode(path)) > _PATH:
        raise ConfigError(f"{path} is too long for a Unix socket; use a state folder with a shorter path")
    with contextlib.suppress(FileNotFoundError):
        path.unlink()  # a killed server's; the folder's lock says that it is nobody's now
    try:
        return IReactorUNIX(reactor).listenUNIX(str(path), _Answers(document), mode=0o600)  # type: ignore[arg-type]  # a Factory of one protocol
    except CannotListenError as error:
        raise ConfigError(f"cannot make the socket {path}: {error.socketError}") from error


def read_status(folder: Path, start: str = "") -> Any:
    """The document of the server whose state folder this is. Raises UnreachableError when it does not run, naming the
    command ``start`` that starts it, or cannot tell."""
    document = bytearray()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(STATUS_PATIENCE)
        try:
            connection.connect(str(folder / SOCKET))
            while part := connection.recv(65536):
                document += part
                if len(document) > STATUS_DOCUMENT:
                    raise UnreachableError(f"{folder}: the status is larger than {STATUS_DOCUMENT} bytes")
        except TimeoutError:
            raise UnreachableError(
                f"the server in {folder} did not answer within {STATUS_PATIENCE:.0f} s"
            ) from None
        except OSError as error:
            remedy = f"; start it: {start}" if start else ""
            raise UnreachableError(
                f"no server runs in {folder} ({error.strerror or error}){remedy}"
            ) from error
    try:
        told = msgspec.json.decode(document)
    except msgspec.DecodeError:
        raise UnreachableError(f"the server in {folder} cannot tell its status; its log says why") from None
    if isinstance(told, dict) and "waits" in told:
        raise UnreachableError(f"the server in {folder} does not serve yet: {told['waits']}")
    return told
