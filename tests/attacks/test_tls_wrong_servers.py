"""Every wrong certificate where a lookup server or a person dials: refused before anything is asked, with the reason
in words, and the wrong server gets an alert. Servers that speak something else, or nothing, hold nobody up."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
from cluster import Cluster, running_cluster, wait_for
from strangers import TLS_1_2, WrongServer, context, meeting
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from wrong_certificates import WRONG, EveryKey, wrong_table

from rjs import limits
from rjs.errors import UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.identity.tls import ClientContext, client_context
from rjs.wire.dial import dial
from rjs.wire.testing import Member

THE_CS = uuid.uuid4().hex


@attrs.frozen
class End:
    """One who dials: as whom, and what it is looking for, as the product's code says it."""

    caller: Role
    server: Role
    context: Callable[[Identity], ClientContext]


ENDS = {
    "lookup server to web server": End(Role.LUS, Role.WS, lambda me: client_context(me, Role.WS)),
    "lookup server to compute server": End(
        Role.LUS, Role.CS, lambda me: client_context(me, Role.CS, THE_CS, or_expired=True)
    ),
    "person to web server": End(Role.USER, Role.WS, lambda me: client_context(me, Role.WS)),
}


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, which these tests turn by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    return reactor


def refused(reactor: ReactorBase, organisation: Organisation, end: End, server: WrongServer) -> str:
    """The words with which dialling ends, within the time that a handshake may take."""
    caller = Member.of(organisation, organisation.member(end.caller))
    attempt = dial(
        reactor, "127.0.0.1", server.port, caller.hello, caller.door, end.context(caller.identity), 1
    )
    outcome: list[Any] = []
    Deferred.fromCoroutine(attempt).addBoth(outcome.append)
    began = reactor.seconds()
    while not outcome or not server.told:
        assert reactor.seconds() - began < 2 * limits.HANDSHAKE, f"it hangs: {outcome} {server.told}"
        reactor.iterate(0.02)
    error = outcome[0].value
    assert isinstance(error, UnreachableError) and caller.door.events == []
    return str(error)


def secured(identity: Identity, folder: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> WrongServer:
    return WrongServer(meeting(context(ssl.PROTOCOL_TLS_SERVER, identity, folder, newest)))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("wrong", "code"), wrong_table("serving"), ids=WRONG)
def test_a_wrong_certificate(
    reactor: ReactorBase, organisation: Organisation, tmp_path: Path, end: str, wrong: str, code: str
) -> None:
    """Whoever dials refuses it in its own words, and says nothing; the server hears an alert."""
    with secured(WRONG[wrong].make(organisation, ENDS[end].server), tmp_path) as server:
        words = refused(reactor, organisation, ENDS[end], server)
    assert words.startswith(f"identity.{code}: ")
    assert "alert" in server.told[0]


IMPOSTORS = {
    "lookup server": (lambda made: made.member(Role.LUS), "role"),
    "user": (lambda made: made.member(Role.USER), "role"),
    "another compute server": (lambda made: made.member(Role.CS), "id"),
    "an invitation": (lambda made: made.invitation(Role.CS).identity, "usage"),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("who", IMPOSTORS)
def test_a_genuine_certificate_of_somebody_else(
    reactor: ReactorBase, organisation: Organisation, tmp_path: Path, end: str, who: str
) -> None:
    """A member that is not the one that is looked for is refused by its name."""
    make, code = IMPOSTORS[who]
    with secured(make(organisation), tmp_path) as server:
        words = refused(reactor, organisation, ENDS[end], server)
    expected = "role" if code == "id" and ENDS[end].server is Role.WS else code
    assert words.startswith(f"identity.{expected}: ")
    assert "alert" in server.told[0]


@pytest.mark.parametrize("end", ENDS)
def test_a_server_of_tls_12(
    reactor: ReactorBase, organisation: Organisation, tmp_path: Path, end: str
) -> None:
    """Nothing older than TLS 1.3 is spoken to anybody."""
    wanted = ENDS[end]
    genuine = organisation.member(wanted.server, THE_CS if wanted.server is Role.CS else None)
    with secured(genuine, tmp_path, TLS_1_2) as server:
        assert refused(reactor, organisation, wanted, server).startswith("identity.tls_version: ")
    assert "unsupported protocol" in server.told[0]


def garbage(connection: socket.socket) -> str:
    """Answers with what is no TLS."""
    connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + os.urandom(100))
    return "said"


def silence(connection: socket.socket) -> str:
    """Listens, and says nothing."""
    with suppress(ConnectionError):
        while connection.recv(1 << 16):
            pass
    return "heard"


def farewell(connection: socket.socket) -> str:
    """Closes at once."""
    return "closed"


@pytest.mark.parametrize(
    ("manner", "words"),
    [(garbage, "identity.tls"), (silence, "said no hello within"), (farewell, "connection")],
    ids=["garbage", "silence", "closes"],
)
def test_a_server_without_tls(
    reactor: ReactorBase, organisation: Organisation, manner: Callable[[socket.socket], str], words: str
) -> None:
    """It is given up in time, in words."""
    with WrongServer(manner) as server:
        assert words in refused(reactor, organisation, ENDS["lookup server to web server"], server)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), []) as made:
        yield made


@pytest.mark.integration
def test_a_real_lookup_server_and_a_real_command(cluster: Cluster, tmp_path: Path) -> None:
    """With wrong servers in the web server's place, the lookup server's log and status say what is wrong, a command
    ends with status 3 and the reason; both come back to the genuine one."""
    authority = next(cluster["ws"].folder.glob("clusters/*/identity/authority"))
    organisation = EveryKey(cluster.folder / "ca", authority)
    cluster["ws"].stop()
    for wrong in ("another organisation", "expired beyond the grace", "for clients only"):
        code = f"identity.{WRONG[wrong].serving}: "
        identity = WRONG[wrong].make(organisation, Role.WS)
        tls = context(ssl.PROTOCOL_TLS_SERVER, identity, tmp_path)
        with WrongServer(meeting(tls), cluster.port) as server:
            wait_for(partial(in_trouble, cluster, code), story=cluster["lus"].tail)
            assert code in cluster["lus"].tail()
            assert code in cluster.ada.rjs("status", status=3).stderr
        assert server.told and all("alert" in each or each == "closed" for each in server.told)
    cluster["ws"].start()
    wait_for(lambda: cluster["lus"].document()["ws"]["connected"], story=cluster["lus"].tail)
    cluster.ada.rjs("status")


def in_trouble(cluster: Cluster, code: str) -> bool:
    """Whether the lookup server's status says why it has no web server."""
    return code in cluster["lus"].document()["ws"]["trouble"]
