"""Knocks at doors: TCP, TLS with the real certificate, and the peer's hello; then it leaves.

It never says hello itself: so the server that is knocked at opens no session, no lease and no registration change,
and a running server whose certificate is used here keeps its own session. Its log has one line with our reason.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import attrs
from OpenSSL import SSL
from twisted.python.failure import Failure

from rjs import limits
from rjs.doctor.rules.clock import Skew
from rjs.doctor.rules.doors import Bound, Knock, Met, PortFacts
from rjs.errors import ProtocolError
from rjs.identity.certificates import Identity
from rjs.identity.names import Role
from rjs.identity.peers import PeerIdentity
from rjs.identity.tls import client_context, refusal
from rjs.wall_time import utc_now
from rjs.wire import messages as m
from rjs.wire.dial import host_and_port
from rjs.wire.greeting import clocks
from rjs.wire.proxy import Proxy, ProxyError, connect_fault, connect_head

PATIENCE = 5.0
"""Seconds for one door: name, connection, TLS and hello together. A LAN needs milliseconds, a WAN under one."""
AT_ONCE = 16
"""Doors that are knocked at together, and in all: the whole doctor has 20 seconds."""


@attrs.frozen
class Answered:
    """A knock, and what the peer's clock said, if it said so."""

    knock: Knock
    skew: Skew | None = None


@attrs.frozen
class Door:
    """Where to knock, who should answer there, and the HTTP proxy on the way."""

    role: Role
    address: str
    proxy: Proxy | None = None


def knock_at(doors: Sequence[Door], identity: Identity) -> list[Answered]:
    """Knock at each with this certificate, all at once; in their order. Bounded by PATIENCE."""
    found: dict[Door, Answered] = {}

    def knock(door: Door) -> None:
        found[door] = _knock(door, identity)

    tried = doors[:AT_ONCE]
    threads = [threading.Thread(target=knock, args=(door,), daemon=True) for door in tried]
    for thread in threads:
        thread.start()
    end = time.monotonic() + PATIENCE + 1
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return [found.get(door) or _unknown(door) for door in tried]


def _unknown(door: Door) -> Answered:
    """Its thread has not come back: only the system's look for a name takes no time limit."""
    return Answered(
        Knock(door.role.value, door.address, Met.NO_NAME, f"nothing found within {PATIENCE:.0f} s")
    )


def _knock(door: Door, identity: Identity) -> Answered:
    began, role, address = time.monotonic(), door.role, door.address
    try:
        connection = _through(door.proxy, address) if door.proxy else _connected(*host_and_port(address))
    except ProxyError as error:
        return Answered(Knock(role.value, address, Met.PROXY, str(error)))
    except OSError as error:
        return Answered(Knock(role.value, address, _met(error), error.strerror or str(error)))
    with connection:
        try:
            talk = _Talk(connection, client_context(identity, role), began + PATIENCE)
            hello = talk.hear_hello()
        except _Ended as ended:
            return Answered(Knock(role.value, address, ended.met, ended.words, ended.code))
        took = time.monotonic() - began
        name = f"{talk.peer.common_name} ({hello.name})"
    knock = Knock(role.value, address, Met.HELLO, peer=name, seconds=took)
    read = clocks(hello, utc_now(), took)
    return Answered(knock, None if read is None else Skew(talk.peer.common_name, -read.ahead))


def _connected(host: str, port: int) -> socket.socket:
    return socket.create_connection((host, port), PATIENCE)


def _through(proxy: Proxy, address: str) -> socket.socket:
    """A connection by way of the proxy. Raises ProxyError where it does not lead there."""
    try:
        connection = _connected(proxy.host, proxy.port)
        connection.sendall(connect_head(proxy, address))
        head = b""
        while b"\r\n\r\n" not in head and len(head) <= limits.PROXY_HEAD:
            part = connection.recv(1)  # not a byte of what follows: TLS reads that
            if not part:
                raise ProxyError(f"the proxy {proxy} closed the connection without an answer")
            head += part
    except OSError as error:
        raise ProxyError(f"the proxy {proxy} cannot be reached: {error.strerror or error}") from error
    if fault := connect_fault(head):
        connection.close()
        raise ProxyError(f"the proxy {proxy} did not connect us to {address}: {fault}")
    return connection


def _met(error: OSError) -> Met:
    if isinstance(error, socket.gaierror):
        return Met.NO_NAME
    if isinstance(error, ConnectionRefusedError):
        return Met.REFUSED
    if isinstance(error, TimeoutError) or error.errno in (errno.ETIMEDOUT, errno.EPERM, errno.EACCES):
        return Met.TIMEOUT  # EPERM: our own firewall drops it
    return Met.NO_ROUTE


class _Ended(Exception):  # noqa: N818 - the end of a talk is not always an error
    def __init__(self, met: Met, words: str, code: str = "") -> None:
        super().__init__(words)
        self.met, self.words, self.code = met, words, code


class _Talk:
    """One TLS connection by hand, in blocking steps: Twisted's reactor is not needed for a knock."""

    def __init__(self, connection: socket.socket, context: Any, deadline: float) -> None:
        self._socket = connection
        self._deadline = deadline
        self._tls = cast(SSL.Connection, context.clientConnectionForTLS(None))
        self._tls.set_connect_state()

    @property
    def peer(self) -> PeerIdentity:
        """Who the certificate says is there; only after ``hear_hello``."""
        return cast(PeerIdentity, cast(Any, self._tls).peer)

    def hear_hello(self) -> m.Hello:
        """The peer's first message: it comes after it has taken our certificate. Raises _Ended."""
        self._step(self._tls.do_handshake)
        header = self._read(4)
        length = int.from_bytes(header, "big")
        if length > limits.HELLO_FRAME:
            raise _Ended(Met.NOT_TLS, f"its first frame has {length} bytes")
        try:
            hello = m.decode(self._read(length))
        except (ProtocolError, m.UnknownMessageError) as error:
            raise _Ended(Met.NOT_TLS, str(error)) from error
        self._leave()
        if isinstance(hello, m.Bye):
            raise _Ended(Met.UNWANTED, hello.sentence, hello.code)
        if not isinstance(hello, m.Hello):
            raise _Ended(Met.NOT_TLS, f"its first message is {m.tag_of(hello)}")
        return hello

    def _leave(self) -> None:
        """Say why we go: the other side's log shall not wonder."""
        said = m.encode(m.Bye(code="knocked", sentence="rjs doctor looked whether this door opens"))
        self._tls.send(len(said).to_bytes(4, "big") + said)
        self._tls.shutdown()
        self._flush()

    def _read(self, count: int) -> bytes:
        got = bytearray()
        while len(got) < count:
            got += cast(bytes, self._step(partial(self._tls.recv, count - len(got))))
        return bytes(got)

    def _step(self, step: Any) -> object:
        """Do one thing of TLS, however many bytes must go and come for it."""
        while True:
            try:
                done = step()
                self._flush()
                return done
            except SSL.WantReadError:
                self._flush()
                self._receive()
            except SSL.ZeroReturnError:
                raise _Ended(Met.SILENT, "it closed the connection") from None
            except SSL.Error as error:
                self._flush()  # our alert: it hears why
                raise self._refused(error) from error

    def _refused(self, error: SSL.Error) -> _Ended:
        refused = refusal(Failure(error))
        if refused is None:
            return _Ended(Met.SILENT, "it closed the connection")
        by_peer = refused.code in ("identity.refused_by_peer", "identity.no_certificate")
        return _Ended(Met.UNWANTED if by_peer else Met.DISTRUSTED, refused.sentence, refused.code)

    def _flush(self) -> None:
        try:
            while True:
                self._socket.sendall(self._tls.bio_read(65536))
        except SSL.WantReadError:
            return
        except OSError:
            return  # it left: what it said is still to be read

    def _receive(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise _Ended(Met.SILENT, f"nothing within {PATIENCE:.0f} s")
        self._socket.settimeout(left)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise _Ended(Met.SILENT, f"nothing within {PATIENCE:.0f} s") from None
        except OSError as error:
            raise _Ended(Met.SILENT, f"it dropped the connection: {error.strerror}") from error
        if not data:
            raise _Ended(Met.SILENT, "it closed the connection")
        self._tls.bio_write(data)


# --- our own port -----------------------------------------------------------------------------------------


def look_at_port(listen: str, port: int, runs: bool) -> PortFacts:
    """Whether the server's port answers from here, or, where it does not run, could be taken."""
    if runs:
        return _dialled(listen, port)
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((listen, port))
        except OSError as error:
            words = error.strerror or str(error)
            return PortFacts(listen, port, _BIND.get(error.errno or 0, Bound.NOT_OURS), words)
    return PortFacts(listen, port, Bound.FREE)


_BIND = {
    errno.EADDRINUSE: Bound.TAKEN,
    errno.EACCES: Bound.NOT_ALLOWED,
    errno.EPERM: Bound.NOT_ALLOWED,
    errno.EADDRNOTAVAIL: Bound.NOT_OURS,
}


def _dialled(listen: str, port: int) -> PortFacts:
    """A server that listens on every address answers on loopback too."""
    host = listen or "127.0.0.1"
    try:
        socket.create_connection((host, port), PATIENCE).close()
    except OSError as error:
        return PortFacts(listen, port, Bound.DEAF, error.strerror or str(error))
    return PortFacts(listen, port, Bound.SERVED)
