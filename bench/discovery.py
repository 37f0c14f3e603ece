"""How long it takes from a compute server's announcement until a lookup server has it registered.

    python bench/discovery.py --servers 30 --interfaces 127.0.0.1

The lookup server's own door, board, browser and dialling are in one process with ``--servers`` announcements,
one after the other: each opens its sockets, announces over multicast DNS, is dialled over TLS, describes itself.
Time is from the call that announces, its thread and sockets included. ``--interfaces`` names own addresses.
"""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from twisted.internet.base import ReactorBase

from lus.api import CsDoor
from lus.board import Board
from lus.bundle_cache import BundleCache
from lus.contacts import Contacts
from lus.shell import Shell
from rjs.background import Tasks, ThreadWorkers, sleep
from rjs.cli.console import print_table
from rjs.client import run_client
from rjs.discovery import Announcement, Link, Service
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.identity.tls import client_context, server_context
from rjs.ids import BootId, ServerId
from rjs.needs import Offer
from rjs.wire.dial import Acceptor
from rjs.wire.messages import CsState
from rjs.wire.session import Session
from rjs.wire.testing import Member, RecordingDoor, cluster_id

LOOK = 0.002
"""Seconds between looks at the registry: finer than what is measured."""
PATIENCE = 30.0


class Describing(RecordingDoor):
    """A compute server's door: it describes itself, and nothing more."""

    def opened(self, session: Session) -> None:
        """As a CS does first of all."""
        session.tell(CsState(name="cs", mflops=1.0, offer=Offer(), trust_epoch=0, busy=False))


class Lookup:
    """The parts of a lookup server that find and register."""

    def __init__(
        self, reactor: ReactorBase, organisation: Organisation, folder: Path, on: Sequence[str]
    ) -> None:
        me = Member.of(organisation, organisation.member(Role.LUS))
        self.tasks, self.board = Tasks("bench"), Board()
        shell = Shell(self.board, reactor, self.tasks)
        bundles = BundleCache(folder, ThreadWorkers(reactor), self.tasks, reactor, lambda: None)
        door = CsDoor(shell, bundles)
        contacts = Contacts(
            reactor, me.hello, door, self.tasks, lambda cs: client_context(me.identity, Role.CS, cs), lambda cs: None,
            current=shell.servers.get, numbers=door.numbers,
        )  # fmt: skip
        self.link = Link(reactor, on)
        self.link.browse(Service.CS, cluster_id(organisation), contacts.seen)


async def measure(reactor: ReactorBase, servers: int, on: Sequence[str], folder: Path) -> list[float]:
    """Seconds from announcement to registration of each server."""
    organisation = Organisation(dt.datetime.now(dt.UTC))
    lookup = Lookup(reactor, organisation, folder, on)
    await sleep(reactor, 1.0)  # its browser is there
    took = [await announced(reactor, organisation, lookup, on, number) for number in range(servers)]
    await lookup.link.stop()
    await lookup.tasks.stop()
    return took


async def announced(
    reactor: ReactorBase, organisation: Organisation, lookup: Lookup, on: Sequence[str], number: int
) -> float:
    """Seconds until this server is registered, which leaves then."""
    cs = Member.of(organisation, organisation.member(Role.CS), boot=number + 1)
    acceptor = Acceptor(reactor, cs.hello, Describing([Role.LUS]), server_context(cs.identity, Role), 64)
    port, name = acceptor.listen(0, ""), ServerId(cs.hello.name.rpartition("/")[2])
    began = reactor.seconds()
    link = Link(reactor, on)
    link.announce(Announcement(Service.CS, name, BootId(cs.hello.boot), cluster_id(organisation), port))
    while lookup.board.registry.get(name) is None:
        if reactor.seconds() - began > PATIENCE:
            raise SystemExit(f"server {number} was not registered within {PATIENCE:.0f} s")
        await sleep(reactor, LOOK)
    took = reactor.seconds() - began
    await acceptor.close("measured")
    await link.stop()
    return took


def main() -> None:
    """Print the median and the 95th percentile."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", type=int, default=30)
    parser.add_argument("--interfaces", nargs="*", default=["127.0.0.1"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took = run_client(lambda reactor: measure(reactor, options.servers, options.interfaces, Path(folder)))
    p95 = statistics.quantiles(took, n=20, method="inclusive")[-1]
    values = {"median": statistics.median(took), "95th percentile": p95, "worst": max(took)}
    print_table(
        ["announcement to registered", "ms"], [[name, f"{1000 * each:.0f}"] for name, each in values.items()]
    )


if __name__ == "__main__":
    main()
