"""Every wrong certificate at every door of a running cluster: refused at once, in words in the door's log, and told
as far as TLS can tell. Who shows none, speaks an older TLS or something else, or says nothing, gets as far."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import LOOPBACK, PATIENCE, Cluster, running_cluster, wait_for
from strangers import TLS_1_2, TLS_1_3, call, context, frame, hello
from wrong_certificates import WRONG, EveryKey, wrong_table

from rjs.identity.certificates import Identity
from rjs.identity.names import Role
from rjs.limits import HANDSHAKE

pytestmark = pytest.mark.integration

DOORS = {"ws": Role.LUS, "lus": Role.CS, "cs1": Role.LUS}
"""Every listening door of this release, with a role that it serves."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made
        assert all(server.serves() for server in made.servers.values())


@pytest.fixture(scope="module")
def organisation(cluster: Cluster) -> EveryKey:
    """Its keys, all of them."""
    authority = next(cluster["ws"].folder.glob("clusters/*/identity/authority"))
    return EveryKey(cluster.folder / "ca", authority)


def port_of(cluster: Cluster, door: str) -> int:
    number: int = cluster[door].document()["port"]
    return number


def shown(identity: Identity | None, folder: Path, newest: ssl.TLSVersion = TLS_1_3) -> ssl.SSLContext:
    return context(ssl.PROTOCOL_TLS_CLIENT, identity, folder, newest)


class Log:
    """What a server logs from now on."""

    def __init__(self, cluster: Cluster, door: str) -> None:
        self._server = cluster[door]
        self._before = self._server.log.stat().st_size

    def leaves(self, *words: str, times: int = 1) -> None:
        """Waits for so many new lines with all these words."""

        wait_for(lambda: self._told(self._before, words) >= times, HANDSHAKE, self._server.tail)

    def has(self, *words: str) -> None:
        """Waits for a line with all these words, or finds an earlier one: what lasts is said once an hour."""
        wait_for(lambda: self._told(0, words), HANDSHAKE, self._server.tail)

    def _told(self, since: int, words: tuple[str, ...]) -> int:
        lines = self._server.log.read_bytes()[since:].decode(errors="replace").splitlines()
        return sum(all(word in line for word in words) for line in lines)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("wrong", "code"), wrong_table("calling"), ids=WRONG)
def test_a_wrong_certificate(
    cluster: Cluster, organisation: EveryKey, tmp_path: Path, door: str, wrong: str, code: str
) -> None:
    """The handshake refuses it: the log has the reason, the caller an alert, and nobody waits."""
    log = Log(cluster, door)
    identity = WRONG[wrong].make(organisation, DOORS[door])
    began = time.monotonic()
    told = call(port_of(cluster, door), shown(identity, tmp_path))
    assert "alert" in told
    assert time.monotonic() - began < HANDSHAKE
    log.has("became no session", LOOPBACK, f"identity.{code}: ")


def token(role: Role) -> Callable[[EveryKey], Identity]:
    return lambda organisation: organisation.member(role)


MEMBERS = {
    ("ws", "a compute server"): (token(Role.CS), "wrong-role"),
    ("ws", "a web server"): (token(Role.WS), "wrong-role"),
    ("lus", "a lookup server"): (token(Role.LUS), "wrong-role"),
    ("lus", "a web server"): (token(Role.WS), "wrong-role"),
    ("cs1", "a compute server"): (token(Role.CS), "wrong-role"),
    ("cs1", "a web server"): (token(Role.WS), "wrong-role"),
    ("cs1", "a user"): (token(Role.USER), "wrong-role"),
    ("cs1", "an operator"): (token(Role.ADMIN), "wrong-role"),
    ("cs1", "an invitation"): (lambda made: made.invitation(Role.CS).identity, "wrong-role"),
    ("cs1", "one expired within the grace"): (lambda made: made.expired(Role.LUS), "certificate-expired"),
    ("ws", "one with another's name"): (token(Role.LUS), "wrong-name"),
    ("lus", "one with another's name"): (token(Role.CS), "wrong-name"),
    ("cs1", "one with another's name"): (token(Role.LUS), "wrong-name"),
}


@pytest.mark.parametrize(("door", "who"), MEMBERS, ids=lambda each: each)
def test_a_genuine_certificate_at_the_wrong_door(
    cluster: Cluster, organisation: EveryKey, tmp_path: Path, door: str, who: str
) -> None:
    """TLS lets it in, the door does not: both ends have the same words for it."""
    make, code = MEMBERS[door, who]
    log = Log(cluster, door)
    told = call(port_of(cluster, door), shown(make(organisation), tmp_path))
    assert told.startswith(f"bye {code}: ")
    log.leaves("at the door", told.removeprefix("bye "))


@pytest.mark.parametrize("door", DOORS)
def test_no_certificate(cluster: Cluster, tmp_path: Path, door: str) -> None:
    """Nobody is anonymous."""
    log = Log(cluster, door)
    assert call(port_of(cluster, door), shown(None, tmp_path)) == "tlsv13 alert certificate required"
    log.leaves("became no session", "identity.no_certificate: ")


@pytest.mark.parametrize("door", DOORS)
def test_tls_12(cluster: Cluster, organisation: EveryKey, tmp_path: Path, door: str) -> None:
    """Nothing older than TLS 1.3 is spoken, whatever the certificate."""
    log = Log(cluster, door)
    old = shown(organisation.member(DOORS[door]), tmp_path, TLS_1_2)
    assert call(port_of(cluster, door), old) == "tlsv1 alert protocol version"
    log.leaves("became no session", "identity.tls_version: ")


NOISE = {
    "http": b"GET / HTTP/1.0\r\n\r\n",
    "random": os.urandom(5000),
    "our frames, without TLS": frame(hello("rjs://lus/" + "0" * 32)),
    "a record without end": b"\x16\x03\x01\xff\xff" + bytes(70_000),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("noise", NOISE)
def test_noise(cluster: Cluster, door: str, noise: str) -> None:
    """What is no TLS ends the connection at once, with OpenSSL's word for it in the log."""
    log = Log(cluster, door)
    with socket.create_connection((LOOPBACK, port_of(cluster, door)), PATIENCE) as connection:
        connection.sendall(NOISE[noise])
        assert heard(connection) < 1000
    log.leaves("became no session", "identity.tls")


@pytest.mark.parametrize("door", DOORS)
def test_a_resumed_session(cluster: Cluster, organisation: EveryKey, tmp_path: Path, door: str) -> None:
    """The session of a member resumes nothing, neither for that member nor for whoever stole it."""
    log, port = Log(cluster, door), port_of(cluster, door)
    tls = shown(organisation.member(DOORS[door]), tmp_path)
    with socket.create_connection((LOOPBACK, port), PATIENCE) as plain, tls.wrap_socket(plain) as first:
        assert first.recv(1)  # the server's hello: the certificate was judged
        session = first.session
    with (
        socket.create_connection((LOOPBACK, port), PATIENCE) as plain,
        tls.wrap_socket(plain, session=session) as second,
    ):
        assert second.recv(1)
        assert not second.session_reused
    expired = WRONG["expired beyond the grace"].make(organisation, DOORS[door])
    tls.load_cert_chain(shown_file(expired, tmp_path))
    assert "alert" in call(port, tls, session=session)
    log.has("became no session", "identity.expired: ")


def shown_file(identity: Identity, folder: Path) -> Path:
    """The file that ``context`` makes for an identity."""
    context(ssl.PROTOCOL_TLS_CLIENT, identity, folder)
    return folder / f"{identity.chain[0].serial_number:x}.pem"


def test_the_silent(cluster: Cluster, organisation: EveryKey, tmp_path: Path) -> None:
    """Who connects and says nothing, half a ClientHello, or after its handshake no hello, is sent away in time."""
    logs = {door: Log(cluster, door) for door in DOORS}
    began = time.monotonic()
    waiting = []
    for door, role in DOORS.items():
        address = LOOPBACK, port_of(cluster, door)
        tls = shown(organisation.member(role), tmp_path)
        quiet, half, complete = (socket.create_connection(address, PATIENCE) for _ in range(3))
        half.sendall(client_hello(tls)[:100])
        waiting += [quiet, half, tls.wrap_socket(complete)]
    for connection in waiting:
        with connection:
            heard(connection)
    assert time.monotonic() - began < 2 * HANDSHAKE
    for log in logs.values():
        log.leaves("became no session", f"no hello within {HANDSHAKE:.0f} s", times=3)


def client_hello(tls: ssl.SSLContext) -> bytes:
    """The first bytes of a handshake."""
    out = ssl.MemoryBIO()
    client = tls.wrap_bio(ssl.MemoryBIO(), out)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


def heard(connection: socket.socket) -> int:
    """How many bytes came before the server closed."""
    count = 0
    try:
        while data := connection.recv(1024):
            count += len(data)
    except ConnectionError:
        pass
    return count
