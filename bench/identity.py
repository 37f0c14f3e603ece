"""What identity costs: certificates issued a second, and full mutual handshakes a second beside ``openssl s_server``.

    python bench/identity.py --certificates 1000 --handshakes 500

*Issuing* asks the real authority process for renewals of as many members, all at once; every one is checked, signed
and durable in its log. *Handshakes* are of one client (OpenSSL through Python's ``ssl``, one connection after the
other, each full, until the server has answered), one against a process with our acceptor, one against ``openssl
s_server``, and so on, with the same certificates. The rate is that of the median handshake, which other load on the
machine moves least; CPU is the server's own, for each.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import psutil
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.posixbase import PosixReactorBase

from rjs.cli.console import print_table
from rjs.client import run_client
from rjs.errors import ConfigError
from rjs.identity.authority import TokenAuthority
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import load_chain, load_private, new_key, save_chain, save_private
from rjs.identity.names import RjsName, Role
from rjs.identity.renewal import RenewalRequest, ask_renewal
from rjs.identity.testing import Organisation
from rjs.identity.tls import server_context
from rjs.wire.dial import Acceptor
from rjs.wire.testing import Member
from ws.authority.child import AuthorityChild
from ws.authority.limits import ISSUED_AT_ONCE, LONGEST_LIFETIME
from ws.authority.messages import Begin

LOOPBACK = "127.0.0.1"
MOST = 64
"""Sessions of our acceptor at once."""
START = 20.0
"""Seconds in which a server must be up."""


@attrs.frozen
class Figure:
    """One row: how many, how many a second, and the server's CPU milliseconds for each."""

    what: str
    count: int
    rate: float
    cpu: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Certificates and full mutual handshakes a second.")
    parser.add_argument("--certificates", type=int, default=1000)
    parser.add_argument("--handshakes", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    if not 0 < given.certificates <= ISSUED_AT_ONCE:
        parser.error(f"the authority issues at most {ISSUED_AT_ONCE} at once")
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder:
        rows = [
            issuing(Path(folder), given.certificates),
            *handshakes(Path(folder), given.handshakes),
        ]
    if given.json:
        sys.stdout.write(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")
        return
    cells: list[Sequence[str | int]] = [
        [row.what, row.count, f"{row.rate:.0f}", f"{row.cpu:.2f}"] for row in rows
    ]
    print_table(["WHAT", "COUNT", "A SECOND", "CPU ms EACH"], cells)
    print(f"\nopenssl s_server makes {rows[2].rate / rows[1].rate:.2f} times as many handshakes")


# --- issuing --------------------------------------------------------------------------------------------


def issuing(folder: Path, count: int) -> Figure:
    """Renewals of ``count`` members through the authority's process."""
    now = dt.datetime.now(dt.UTC)
    operator = OperatorFolder.create(folder / "ca", "Institute", now)
    identity = IdentityFolder(folder / "identity")
    member = identity.found(operator, "web server", [f"{LOOPBACK}:9000"], now)
    requests = renewals(identity, count, now)
    begin = Begin(str(identity.authority), "", member.name.uri(), "web server", LONGEST_LIFETIME)
    seconds, cpu = run_client(lambda reactor: issued(reactor, begin, requests))
    return Figure("certificates issued", count, count / seconds, 1000 * cpu / count)


def renewals(identity: IdentityFolder, count: int, now: dt.datetime) -> list[RenewalRequest]:
    """The signed requests of as many compute servers."""
    tokens = TokenAuthority.open(identity.authority)
    members = [tokens.own_identity(RjsName(Role.CS, f"{n:032x}"), f"cs {n}", now) for n in range(count)]
    return [ask_renewal(each, new_key(), now) for each in members]


async def issued(
    reactor: ReactorBase, begin: Begin, requests: Sequence[RenewalRequest]
) -> tuple[float, float]:
    """Seconds until all are issued, and the authority's CPU seconds."""
    assert isinstance(reactor, PosixReactorBase)
    authority = AuthorityChild(reactor, begin)
    await authority.start()
    assert authority.pid is not None
    process = psutil.Process(authority.pid)
    before, began = cpu_of(process), time.perf_counter()
    await gatherResults([Deferred.fromCoroutine(authority.renew(each)) for each in requests])
    seconds, cpu = time.perf_counter() - began, cpu_of(process) - before
    await authority.close()
    return seconds, cpu


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds that it has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


# --- handshakes -----------------------------------------------------------------------------------------


def handshakes(folder: Path, count: int) -> list[Figure]:
    """Our acceptor and ``openssl s_server``, in turn."""
    organisation = Organisation(dt.datetime.now(dt.UTC))
    for name, role in (("server", Role.WS), ("client", Role.LUS)):
        identity = organisation.member(role)
        save_private(folder / f"{name}.key", identity.key)
        save_chain(folder / f"{name}.pem", identity.chain)
        save_chain(folder / "root.pem", [identity.root])
    ports = free_port(), free_port()
    (folder / "port").write_text(str(ports[0]))
    ours = [sys.executable, __file__, "--serve", str(folder)]
    theirs = [
        "openssl", "s_server", "-accept", f"{LOOPBACK}:{ports[1]}", "-tls1_3", "-no_ticket", "-quiet", "-rev",
        "-cert", f"{folder}/server.pem", "-cert_chain", f"{folder}/server.pem", "-key", f"{folder}/server.key",
        "-CAfile", f"{folder}/root.pem", "-Verify", "3", "-verify_return_error",
    ]  # fmt: skip
    with running(ours, ports[0]) as one, running(theirs, ports[1]) as two:
        tls, servers = client(folder), (one, two)
        before = [cpu_of(each) for each in servers]
        seconds = [[timed(tls, port) for port in ports] for _ in range(count)]
        used = [cpu_of(each) - earlier for each, earlier in zip(servers, before, strict=True)]
    return [
        Figure(what, count, 1 / statistics.median(pair[side] for pair in seconds), 1000 * used[side] / count)
        for side, what in enumerate(("full handshakes, rjs", "full handshakes, openssl s_server"))
    ]


def timed(tls: ssl.SSLContext, port: int) -> float:
    """The seconds of one handshake."""
    began = time.perf_counter()
    shake_hands(tls, port)
    return time.perf_counter() - began


def shake_hands(tls: ssl.SSLContext, port: int) -> None:
    """One full handshake; the server judged us when its first byte is here (s_server wants a line to speak)."""
    with (
        socket.create_connection((LOOPBACK, port), START) as plain,
        tls.wrap_socket(plain) as connection,
    ):
        connection.sendall(b"\0\n")
        assert connection.recv(1) and not connection.session_reused


def client(folder: Path) -> ssl.SSLContext:
    """A member that judges the server's chain, as ours do."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.load_verify_locations(folder / "root.pem")
    tls.load_cert_chain(folder / "client.pem", folder / "client.key")
    return tls


@contextmanager
def running(argv: Sequence[str], port: int) -> Iterator[psutil.Process]:
    """A server, once it accepts connections on ``port``."""
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((LOOPBACK, port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise ConfigError(f"{argv[0]} did not start")
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        number: int = probe.getsockname()[1]
        return number


def serve(folder: Path) -> None:
    """Our acceptor, with the certificates in ``folder``, until killed."""
    chain = load_chain(folder / "server.pem")
    identity = Identity(load_private(folder / "server.key"), chain)
    organisation: Any = attrs.make_class("Root", {"root": attrs.field()})(root=chain[-1])
    me = Member.of(organisation, identity)
    port = int((folder / "port").read_text())

    async def listening(reactor: ReactorBase) -> None:
        acceptor = Acceptor(reactor, me.hello, me.door, server_context(identity, Role), MOST)
        acceptor.listen(port, LOOPBACK)
        await Deferred()

    run_client(listening)


if __name__ == "__main__":
    main()
