"""A lookup server and a web server, as real processes, with a thousand compute servers and a million tasks.

    python bench/scale.py                                        # everything; some minutes
    python bench/scale.py --sessions 1000 --tasks 0 --queued 0   # one part alone
    python bench/scale.py --sessions 1000 --announced --tasks 0 --queued 0
    python bench/scale.py --quick

*Sessions*: simulated compute servers (``cs/simulated.py``), all in this process, dial the lookup server at once,
over TLS, with certificates of their own. Timed is until its status counts them all as registered: that holds every
handshake, of both ends, on this one machine. With ``--announced`` they listen, each on a port of its own, and
announce themselves over multicast DNS on loopback, where the lookup server hears and dials them. Then its processor
time and memory are read while there are heartbeats and nothing else. Beside it, the same number of connections to
Twisted's own TLS server, which sends back the same number of bytes as often: the floor. *Tasks*: one job, whose
tasks the simulated servers answer as soon as they have them, with signed answers. Memory is read after a fifth of
them and at the end. *Queue*: one job of ``--queued`` tasks and 1,000 jobs that have as many together, with no
compute server there; submitted over one session, then the web server is killed and started.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import cast

import attrs
import psutil
from twisted.internet.base import ReactorBase
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IReactorTCP, ITransport
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory

from cs.simulated import Enrolled, SimulatedServer
from rjs.background import Tasks, sleep
from rjs.cli.console import print_table, say
from rjs.client import digest_of, run_client, with_own_ws
from rjs.discovery import Link
from rjs.identity.authority import TokenAuthority
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import load_chain, load_private, new_key, save_chain, save_private, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.tls import client_context, server_context
from rjs.ids import ServerId
from rjs.limits import HEARTBEAT, KIB, MIB
from rjs.local_cluster import LOOPBACK, LocalCluster, place
from rjs.packing import gather, write_signed
from rjs.person_door import PersonDoor
from rjs.revocations import RevocationBook
from rjs.state import cluster_folder
from rjs.status import read_status
from rjs.storage import open_database
from rjs.wire import messages as m
from rjs.wire.session import Session
from ws import store

PATIENCE = 1800.0
"""Seconds until a measurement is given up."""
LOOK = 0.1
"""Seconds between two looks at a server's status."""
SETTLE = 3.0
"""Seconds, at most, before memory and processor time are read: what a burst left behind is done by then."""
JOBS = 1_000
"""Jobs that have the second half of what is queued."""
BEATS = b"x" * 32
"""As many bytes as a ping and a pong."""


@attrs.frozen
class Row:
    """One line of the table; ``met`` is None where there is no target."""

    what: str
    target: str
    measured: str
    met: bool | None = None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A thousand sessions, a million tasks.")
    parser.add_argument("--sessions", type=int, default=1_000, help="0: leave sessions and tasks out")
    parser.add_argument(
        "--announced", action="store_true", help="they are dialled, on the word of multicast DNS"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="for which heartbeats are measured")
    parser.add_argument("--tasks", type=int, default=100_000, help="0: leave this part out")
    parser.add_argument("--queued", type=int, default=1_000_000, help="twice; 0: leave this part out")
    parser.add_argument("--quick", action="store_true", help="100 sessions, 2,000 tasks, 50,000 queued")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        run_client(partial(serve_floor, folder=given.serve))
        return
    if given.quick:
        given.sessions, given.seconds, given.tasks, given.queued = 100, 5.0, 2_000, 50_000
    with (
        tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder,
        LocalCluster(Path(folder) / "cluster", workers=0) as cluster,
    ):
        rows = run_client(partial(measured, cluster=cluster, given=given))
    if given.json:
        sys.stdout.write(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")
        return
    say(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    met = {True: "met", False: "NOT MET", None: ""}
    print_table(
        ["WHAT", "TARGET", "MEASURED", ""],
        [[row.what, row.target, row.measured, met[row.met]] for row in rows],
    )


async def measured(reactor: ReactorBase, cluster: LocalCluster, given: argparse.Namespace) -> list[Row]:
    """All rows that were asked for."""
    await cluster.start(reactor)
    rows: list[Row] = []
    if given.sessions:
        who = await enrolled(reactor, cluster, given.sessions)
        servers = Servers(reactor, cluster, who, announced=given.announced)
        rows += await sessions(reactor, cluster, servers, given.seconds)
        if given.tasks:
            rows += await tasks(reactor, cluster, servers, given.tasks)
        await servers.stop()
    if given.queued:
        rows += await queue(reactor, cluster, given.queued)
    return rows


# --- simulated compute servers --------------------------------------------------------------------------


async def enrolled(reactor: ReactorBase, cluster: LocalCluster, count: int) -> list[Enrolled]:
    """So many compute servers that the web server knows, written into its database: joining is not measured here."""
    say(f"enrolling {count} compute servers")
    cluster.end("ws")
    operator, now = OperatorFolder.open(cluster.folder / "ca"), dt.datetime.now(dt.UTC)
    state = cluster_folder(cluster.folder / "ws", operator.cluster)
    tokens = TokenAuthority.open(IdentityFolder(state / "identity").authority)
    database = open_database(state / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID)
    database.execute("BEGIN")
    found = []
    for number in range(count):
        invitation = operator.invite(Role.CS, f"simulated {number}", ws=["127.0.0.1:1"], now=now)
        name, key = invitation.name.caller(), new_key()
        answer = Identity(key, invitation.certify_answer(key.public_key(), now))
        token = tokens.own_identity(RjsName(Role.CS, invitation.subject.id), f"simulated {number}", now)
        joining = store.Joining(
            name.uri(), Role.CS.value, invitation.subject.id, f"simulated {number}", spki_digest(token.key),
            spki_digest(key), None,
        )  # fmt: skip
        assert store.record_member(database, joining, now.timestamp())
        found.append(Enrolled(ServerId(invitation.subject.id), token, answer))
    database.execute("COMMIT")
    database.close()
    await cluster.run_again(reactor, "ws")
    return found


class Servers:
    """The simulated compute servers of this process."""

    def __init__(
        self, reactor: ReactorBase, cluster: LocalCluster, enrolled: Sequence[Enrolled], *, announced: bool
    ) -> None:
        self._tasks = Tasks("simulated servers")
        self._link = Link(reactor, [LOOPBACK]) if announced else None
        operator = OperatorFolder.open(cluster.folder / "ca")
        book = RevocationBook(operator.root, cluster.folder / "simulated.revocations")
        lus = [(LOOPBACK, read_status(cluster.folder / "lus")["port"])]
        self.enrolled = enrolled
        self.all = [SimulatedServer(reactor, each, operator.cluster, book, lus) for each in enrolled]

    def start(self) -> None:
        """They all dial, or announce themselves."""
        for each in self.all:
            if self._link is not None:
                self._link.announce(each.listen())
            else:
                self._tasks.spawn("a simulated server", each.run())

    async def stop(self) -> None:
        """They all go."""
        for each in self.all:
            if each.session is not None:
                each.session.close("closing", "the benchmark is over")
            await each.shut()
        if self._link is not None:
            await self._link.stop()
        await self._tasks.stop()


# --- sessions -------------------------------------------------------------------------------------------


async def sessions(
    reactor: ReactorBase, cluster: LocalCluster, servers: Servers, seconds: float
) -> list[Row]:
    """Registration, and what live sessions cost."""
    count, lus, settle = len(servers.all), psutil.Process(cluster.pid("lus")), min(SETTLE, seconds)
    await sleep(reactor, settle)
    before = lus.memory_info().rss
    say(f"{count} compute servers come")
    began = reactor.seconds()
    servers.start()
    await until(reactor, cluster, lambda: all(each.session is not None for each in servers.all))
    await until(reactor, cluster, lambda: registered(cluster) == count)
    took = reactor.seconds() - began
    await sleep(reactor, settle)
    used = await cpu_share(reactor, lus, seconds)
    memory = (lus.memory_info().rss - before) / count
    lost = count - registered(cluster)
    say(f"{count} connections to Twisted's TLS server")
    floor_used, floor_memory = await floor(reactor, cluster, servers.enrolled, seconds)
    return [
        Row(f"{count:,} compute servers registered", "< 10 s", f"{took:.1f} s", took < 10 and not lost),
        Row(f"LUS, {count:,} sessions: of a core", "< 20 %", f"{used:.1%}", used < 0.2 and not lost),
        Row("  Twisted's TLS server", "", f"{floor_used:.1%}"),
        Row("LUS, memory of a session", "< 64 KiB", f"{memory / KIB:.1f} KiB", memory < 64 * KIB),
        Row("  Twisted's TLS server", "", f"{floor_memory / KIB:.1f} KiB"),
    ]


def registered(cluster: LocalCluster) -> int:
    """The compute servers that the LUS counts, but those that are lost."""
    return sum(each["state"] != "lost" for each in read_status(cluster.folder / "lus")["servers"])


async def cpu_share(reactor: ReactorBase, process: psutil.Process, seconds: float) -> float:
    """The part of a core that it uses for so long."""
    before, began = cpu_of(process), time.perf_counter()
    await sleep(reactor, seconds)
    return (cpu_of(process) - before) / (time.perf_counter() - began)


def cpu_of(process: psutil.Process) -> float:
    """CPU seconds that it has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


async def until(reactor: ReactorBase, cluster: LocalCluster, reached: Callable[[], bool]) -> None:
    """Look now and then until it is so."""
    deadline = reactor.seconds() + PATIENCE
    while not reached():
        cluster.check()
        if reactor.seconds() > deadline:
            raise TimeoutError("this takes too long; the servers' logs may say why")
        await sleep(reactor, LOOK)


# --- the floor ------------------------------------------------------------------------------------------


class Echo(Protocol):
    """Sends back what comes."""

    def dataReceived(self, data: bytes) -> None:
        """Twisted's door."""
        assert self.transport is not None
        self.transport.write(data)


async def serve_floor(reactor: ReactorBase, folder: Path) -> None:
    """Twisted's TLS server with our certificates, until killed; the port is told in a file."""
    identity = Identity(load_private(folder / "floor.key"), load_chain(folder / "floor.pem"))
    factory = TLSMemoryBIOFactory(server_context(identity, Role), False, Factory.forProtocol(Echo), reactor)
    port = IReactorTCP(reactor).listenTCP(0, factory, backlog=1024, interface=LOOPBACK)  # type: ignore[arg-type]  # its door is that of any factory
    (folder / "floor.port.part").write_text(str(port.getHost().port))  # type: ignore[attr-defined]  # it is TCP
    (folder / "floor.port.part").rename(folder / "floor.port")
    await sleep(reactor, PATIENCE)


async def floor(
    reactor: ReactorBase, cluster: LocalCluster, callers: Sequence[Enrolled], seconds: float
) -> tuple[float, float]:
    """Its part of a core, and bytes of memory a connection."""
    folder, now = cluster.folder, dt.datetime.now(dt.UTC)
    operator = OperatorFolder.open(folder / "ca")
    authority = IdentityFolder(cluster_folder(folder / "ws", operator.cluster) / "identity").authority
    own = TokenAuthority.open(authority).own_identity(RjsName(Role.LUS, uuid.uuid4().hex), "floor", now)
    save_private(folder / "floor.key", own.key)
    save_chain(folder / "floor.pem", own.chain)
    with running([sys.executable, "-P", __file__, "--serve", str(folder)]) as process:
        await until(reactor, cluster, (folder / "floor.port").exists)
        port, before = int((folder / "floor.port").read_text()), process.memory_info().rss
        connections, beating = [await called(reactor, port, each.token) for each in callers], Tasks("floor")
        beating.repeat(reactor, "beats", HEARTBEAT, partial(beat, connections))
        await sleep(reactor, min(SETTLE, seconds))
        used = await cpu_share(reactor, process, seconds)
        memory = (process.memory_info().rss - before) / len(callers)
        await beating.stop()
    return used, memory


async def called(reactor: ReactorBase, port: int, who: Identity) -> ITransport:
    """A connection to the floor's server."""
    factory = TLSMemoryBIOFactory(client_context(who, Role.LUS), True, Factory.forProtocol(Protocol), reactor)
    return cast(ITransport, await TCP4ClientEndpoint(reactor, LOOPBACK, port).connect(factory))  # TLS is one


def beat(connections: Sequence[ITransport]) -> None:
    """What every session does in a second, as bytes."""
    for each in connections:
        each.write(BEATS)


@contextmanager
def running(argv: Sequence[str]) -> Iterator[psutil.Process]:
    """A process, killed in the end."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


# --- tasks ----------------------------------------------------------------------------------------------


async def tasks(reactor: ReactorBase, cluster: LocalCluster, servers: Servers, count: int) -> list[Row]:
    """One job, answered at once by all; what LUS and WS hold after a fifth of it, and after all."""
    processes = {role: psutil.Process(cluster.pid(role)) for role in ("lus", "ws")}
    say(f"{count:,} tasks")
    bundle = pack(cluster, "answered", count)
    began, used = reactor.seconds(), {role: cpu_of(each) for role, each in processes.items()}
    place(bundle, cluster.jobs)
    await until(reactor, cluster, lambda: answered(servers) >= count // 5)
    early = {role: each.memory_info().rss for role, each in processes.items()}
    await until(reactor, cluster, lambda: answered(servers) == count)
    took = reactor.seconds() - began
    late = {role: each.memory_info().rss for role, each in processes.items()}
    cpu = {role: 1000 * (cpu_of(each) - used[role]) / count for role, each in processes.items()}
    rows = [Row(f"{count:,} tasks, answered at once", "", f"{count / took:.0f} tasks/s")]
    for role in processes:
        grown = late[role] - early[role]
        told = f"{early[role] / MIB:.1f} to {late[role] / MIB:.1f} MiB"
        rows.append(
            Row(
                f"{role.upper()} after {count // 5:,} and after all",
                "+ < 5 %",
                told,
                grown < 0.05 * early[role],
            )
        )
        rows.append(Row("  its processor time of a task", "", f"{cpu[role]:.2f} ms"))
    return rows


def answered(servers: Servers) -> int:
    """Answers that the WS has."""
    return sum(each.committed for each in servers.all)


def pack(cluster: LocalCluster, name: str, count: int) -> Path:
    """A bundle of so many tasks."""
    program, signer = cluster.folder / "noop.py", cluster.signer()
    program.write_text("pass\n")
    bundle = cluster.folder / f"{name}.jar"
    write_signed(
        gather(program, tasks=count, name=name), bundle, key=signer.key, chain=signer.chain,
        now=dt.datetime.now(dt.UTC), nonce=os.urandom(16), valid=dt.timedelta(days=1),
    )  # fmt: skip
    return bundle


# --- the queue ------------------------------------------------------------------------------------------


async def queue(reactor: ReactorBase, cluster: LocalCluster, count: int) -> list[Row]:
    """Memory of what is queued, how long submitting takes, and starting again with all of it."""
    each_has = max(1, count // JOBS)
    say(f"packing {JOBS + 1:,} jobs")
    large = pack(cluster, "large", each_has * JOBS)
    small = [pack(cluster, f"small-{number}", each_has) for number in range(JOBS)]
    say("submitting them")
    ws, door = psutil.Process(cluster.pid("ws")), PersonDoor()
    memory, seconds = [ws.memory_info().rss], list[float]()

    async def submit(session: Session) -> None:
        for bundles in ([large], small):
            for bundle in bundles:
                seconds.append(await submitted(session, door, bundle))
            await sleep(reactor, SETTLE)
            memory.append(ws.memory_info().rss)

    await with_own_ws(reactor, cluster.identity(), submit, door)
    say("starting the web server again")
    cluster.end("ws", killed=True)
    began = reactor.seconds()
    await cluster.run_again(reactor, "ws")
    again = reactor.seconds() - began
    jobs = read_status(cluster.folder / "ws")["jobs"]
    of_one, of_many = ((late - early) / (each_has * JOBS) for early, late in pairwise(memory))
    median, p99 = statistics.median(seconds[1:]), statistics.quantiles(seconds[1:], n=100)[98]
    copied = statistics.median(copy_time(each) for each in small[:100])
    return [
        Row(f"memory of a task, 1 job of {each_has * JOBS:,}", "< 500 B", f"{of_one:.1f} B", of_one < 500),
        Row(f"memory of a task, {JOBS:,} jobs of {each_has:,}", "< 500 B", f"{of_many:.1f} B", of_many < 500),
        Row("submitting one of these, median", "< 50 ms", f"{1000 * median:.1f} ms", median < 0.05),
        Row("  99th percentile", "", f"{1000 * p99:.1f} ms"),
        Row("  the same bytes written and synced, median", "", f"{1000 * copied:.1f} ms"),
        Row(f"killed, and serving again with {jobs:,} jobs", "< 10 s", f"{again:.1f} s", again < 10),
    ]


async def submitted(session: Session, door: PersonDoor, bundle: Path) -> float:
    """Seconds until it is accepted, which is durable."""
    began = time.perf_counter()
    sha256, size = digest_of(bundle)
    door.upload, door.upload_key = bundle, sha256
    await session.request(m.JobSubmit(name=bundle.name, size=size, sha256=sha256), m.JobAccepted)
    return time.perf_counter() - began


def copy_time(bundle: Path) -> float:
    """Seconds of writing its bytes to another file, durably."""
    data, began = bundle.read_bytes(), time.perf_counter()
    with bundle.with_suffix(".copy").open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
