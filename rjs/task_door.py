"""A job's end of its door: a blocking client of ``job.*`` (docs/job-tokens.md), used through ``rjs.task.door()``.

Dials when it has something to ask, and anew when it was idle, the token was renewed, or the connection was lost.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import Any, TypeVar

from rjs import __version__
from rjs.task_token import Token, needed

T = TypeVar("T")

_CHUNK = 256 * 1024
_PROTOCOL = 1
_IDLE = 5.0  # seconds after which the compute server, which wants to hear something, is dialled anew
_PATIENCE = 30.0


class RefusedByDoorError(Exception):
    """The compute server said no; ``code`` says why, for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class Door:
    """The door of the attempt whose token is given. Not for several threads at once."""

    def __init__(self, token: Token, path: str) -> None:
        self._token = token
        self._path = path
        self._line: _Line | None = None

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def inputs(self) -> dict[str, int]:
        """The files of the job's bundle, with their sizes in bytes."""
        found: dict[str, int] = {}
        while True:
            reply = self.call({"t": "job.input.list", "first": len(found)})
            found.update(reply["files"])
            if not reply.get("more") or not reply["files"]:
                return found

    def read_input(self, name: str) -> bytes:
        """A file of the job's bundle, as it was signed. Raises RefusedByDoorError."""
        return self._read("job.input.read", name)

    def write_output(self, name: str, data: bytes) -> None:
        """Put a file below ``out/``, whole. Raises RefusedByDoorError."""
        self._write("job.output.write", name, data)

    def read_checkpoint(self, name: str) -> bytes:
        """A file of the checkpoint folder. Raises RefusedByDoorError."""
        return self._read("job.checkpoint.read", name)

    def write_checkpoint(self, name: str, data: bytes) -> None:
        """Put a file into the checkpoint folder, whole. Raises RefusedByDoorError."""
        self._write("job.checkpoint.write", name, data)

    def progress(self, fraction: float, text: str = "") -> None:
        """As ``rjs.task.progress``, but answered. Raises RefusedByDoorError."""
        self.call({"t": "job.progress", "fraction": float(fraction), "text": text})

    def call(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to one call. Raises RefusedByDoorError, and ConnectionError when no connection holds."""
        for last in (False, True):
            with suppress(*(() if last else (ConnectionError,))):
                return self._connected().ask(message)
            self.close()
        raise AssertionError("the last try returns or raises")

    def close(self) -> None:
        """Hang up; the next call dials again."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _read(self, method: str, name: str) -> bytes:
        parts: list[bytes] = []
        while not parts or len(parts[-1]) == _CHUNK:
            offset = _CHUNK * len(parts)
            parts.append(self.call({"t": method, "name": name, "offset": offset, "length": _CHUNK})["data"])
        return b"".join(parts)

    def _write(self, method: str, name: str, data: bytes) -> None:
        for offset in range(0, max(1, len(data)), _CHUNK):
            part, last = data[offset : offset + _CHUNK], offset + _CHUNK >= len(data)
            self.call({"t": method, "name": name, "offset": offset, "data": part, "last": last})

    def _connected(self) -> _Line:
        line = self._line
        if line is not None and (line.until != self._token.not_after or time.monotonic() > line.used + _IDLE):
            self.close()
        if self._line is None:
            self._line = _Line(self._token, self._path)
        return self._line


class _Line:
    """One connection, both hellos exchanged. Raises ConnectionError, RefusedByDoorError."""

    def __init__(self, token: Token, path: str) -> None:
        self._ssl, self._msgpack = needed("OpenSSL.SSL"), needed("msgspec.msgpack")
        self._buffer = b""
        self._number = 0
        self.until = token.not_after
        self.used = time.monotonic()
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            raw.connect(path)
            self._tls = self._ssl.Connection(token.context(), raw)
            self._tls.set_connect_state()
            self._guarded(self._tls.do_handshake)
            hello = {"t": "hello", "protocol": _PROTOCOL, "release": __version__, "cluster": token.cluster}
            self._send({**hello, "name": token.name, "boot": os.urandom(16).hex()})
            self._receive()
        except OSError as error:
            raw.close()
            raise ConnectionError(f"no door at {path}: {error}") from error
        except BaseException:
            raw.close()
            raise

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The reply to ``message``."""
        self.used = time.monotonic()
        self._number += 1
        self._send({**message, "rid": self._number})
        while True:
            reply = self._receive()
            if reply.get("re") == self._number:
                break
        if reply["t"] == "refused":
            raise RefusedByDoorError(reply["code"], reply["sentence"])
        if reply["t"] == "unsupported":
            raise RefusedByDoorError("unsupported", f"this release does not know {reply['what']}")
        return reply

    def close(self) -> None:
        """Hang up."""
        with suppress(Exception):
            self._tls.shutdown()
        self._tls.close()

    def _send(self, message: dict[str, Any]) -> None:
        frame: bytes = self._msgpack.encode(message)
        self._guarded(self._tls.sendall, len(frame).to_bytes(4, "big") + frame)

    def _receive(self) -> dict[str, Any]:
        """The next message that is no heartbeat, which is answered."""
        while True:
            length = int.from_bytes(self._take(4), "big")
            message: dict[str, Any] = self._msgpack.decode(self._take(length))
            if message["t"] == "bye":
                raise RefusedByDoorError(message["code"], message["sentence"])
            if message["t"] != "ping":
                return message
            self._send({"t": "pong", "n": message["n"]})

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._buffer += self._guarded(self._tls.recv, 65536)
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _guarded(self, call: Any, *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except self._ssl.Error as error:
            raise ConnectionError(f"the connection to the door ended: {error}") from error
