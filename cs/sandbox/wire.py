"""Messages on the sockets of zygotes and cells: JSON in packets, descriptors along. Standard library only.

The spawner writes what a zygote and a warden read. What comes back may be of a warden that its bundle has turned
(a module loaded in advance is the bundle's code), so the spawner takes it for hostile: one packet, a known shape.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple

PACKET = 64 * 1024
"""Bytes of one packet at most: some fit into a socket's buffer at once."""

PACKETS = 128
"""Packets of one message at most: a request of the compute server's, escaped as badly as can be."""

DESCRIPTORS = 8
"""Descriptors that come with one message at most."""

_MORE, _LAST = b"+", b"."


class WireError(Exception):
    """The other end does not keep to the rules, or is longer than its time."""


class Received(NamedTuple):
    """A message and the descriptors that came with it, which are the receiver's to close."""

    message: dict[str, Any]
    descriptors: list[int]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends: packets arrive whole and in order, or not at all."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Send ``message``; ``descriptors`` stay open here. Raises WireError when it is too long, and OSError."""
    body = json.dumps(message).encode()
    pieces = [body[start : start + PACKET - 1] for start in range(0, len(body), PACKET - 1)]
    if len(pieces) > PACKETS:
        raise WireError(f"a message of {len(body)} bytes is longer than {PACKETS} packets")
    for piece in pieces[:-1]:
        socket.send_fds(connection, [_MORE + piece], descriptors)
        descriptors = ()
    socket.send_fds(connection, [_LAST + pieces[-1]], descriptors)


def receive(connection: socket.socket, packets: int = PACKETS) -> Received | None:
    """The next message, of at most so many packets; None at the end of the connection.

    Raises WireError, and OSError (TimeoutError when the socket has a time-out).
    """
    descriptors: list[int] = []
    try:
        body = _body(connection, packets, descriptors)
        message = None if body is None else json.loads(body)
    except BaseException as error:
        close_all(descriptors)
        if isinstance(error, (ValueError, RecursionError)):
            raise WireError("what came is no JSON") from None
        raise
    if isinstance(message, dict):
        return Received(message, descriptors)
    close_all(descriptors)
    if body is not None:
        raise WireError("what came is no message")
    return None


def close_all(descriptors: Sequence[int]) -> None:
    """Close what came with a message."""
    for descriptor in descriptors:
        os.close(descriptor)


def _body(connection: socket.socket, packets: int, descriptors: list[int]) -> bytes | None:
    """The bytes of the next message; its descriptors are added to those given."""
    body = bytearray()
    for _ in range(packets):
        data, came, flags, _ = socket.recv_fds(connection, PACKET, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
        descriptors += came
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            raise WireError("a packet is too long, or has too many descriptors")
        if not data:
            return None
        body += data[1:]
        if data[:1] == _LAST:
            return bytes(body)
    raise WireError(f"a message is longer than {packets} packets")
