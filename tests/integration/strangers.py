"""Clients and servers that are not ours: plain OpenSSL with whatever certificate, and a word on what came of it.

    told = call(port, context(ssl.PROTOCOL_TLS_CLIENT, identity, folder))
    with WrongServer(meeting(context(ssl.PROTOCOL_TLS_SERVER, identity, folder))) as server:
        ...

They judge no certificate, and nothing that they do waits for longer than ``PATIENCE``.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster import LOOPBACK, PATIENCE
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from rjs.identity.certificates import Identity
from rjs.wire import messages as m
from rjs.wire.frames import HEADER

TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def context(
    side: int, identity: Identity | None, folder: Path, newest: ssl.TLSVersion = TLS_1_3
) -> ssl.SSLContext:
    """TLS that shows this identity, judges nobody, and speaks ``newest`` at most."""
    made = ssl.SSLContext(side)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.maximum_version = newest
    if identity is not None:
        path = folder / f"{identity.chain[0].serial_number:x}.pem"
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(key + b"".join(each.public_bytes(Encoding.PEM) for each in identity.chain))
        made.load_cert_chain(path)
    return made


def call(
    port: int, tls: ssl.SSLContext, name: str = "rjs://nobody/", session: ssl.SSLSession | None = None
) -> str:
    """What a server said to a stranger who dialled, said hello as ``name``, and listened to the end: the words of a
    TLS alert, ``bye CODE: SENTENCE`` of one who was let in so far, or ``closed``."""
    try:
        with (
            socket.create_connection((LOOPBACK, port), PATIENCE) as plain,
            tls.wrap_socket(plain, session=session) as connection,
        ):
            connection.sendall(frame(hello(name)))
            return farewell(connection)
    except ssl.SSLError as error:
        return (error.reason or str(error)).lower().replace("_", " ")
    except ConnectionError:
        return "closed"


def hello(name: str) -> m.Hello:
    """A hello that no certificate fits."""
    return m.Hello(protocol=1, release="0", cluster="0" * 16, name=name, boot="0" * 32)


def frame(message: m.Message) -> bytes:
    """A message as it crosses."""
    content = m.encode(message)
    return len(content).to_bytes(HEADER, "big") + content


def farewell(connection: ssl.SSLSocket) -> str:
    """The last message before the other end closed."""
    buffer, last = bytearray(), "closed"
    while data := connection.recv(1 << 16):
        buffer += data
        while len(buffer) >= HEADER:
            end = HEADER + int.from_bytes(buffer[:HEADER], "big")
            if len(buffer) < end:
                break
            message = m.decode(bytes(buffer[HEADER:end]))
            del buffer[:end]
            if isinstance(message, m.Bye):
                last = f"bye {message.code}: {message.sentence}"
    return last


class WrongServer:
    """Listens on ``port`` (0: any) of loopback and meets every caller with ``meet``; ``told`` keeps what each said.

    Used as a context manager; its end closes the port.
    """

    def __init__(self, meet: Callable[[socket.socket], str], port: int = 0) -> None:
        self.told: list[str] = []
        self._meet = meet
        self._listener = socket.create_server((LOOPBACK, port))
        self._listener.settimeout(0.1)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        """Where it listens."""
        number: int = self._listener.getsockname()[1]
        return number

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join(PATIENCE)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(PATIENCE)
                    self.told.append(self._meet(connection))


def meeting(tls: ssl.SSLContext) -> Callable[[socket.socket], str]:
    """How a server that speaks TLS meets a caller: as ``call`` does, the other way round."""

    def meet(connection: socket.socket) -> str:
        try:
            with tls.wrap_socket(connection, server_side=True) as secured:
                secured.sendall(frame(hello("rjs://nobody/")))
                return farewell(secured)
        except ssl.SSLError as error:
            return (error.reason or str(error)).lower().replace("_", " ")
        except ConnectionError:
            return "closed"

    return meet
