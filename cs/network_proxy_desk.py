"""The networks of confined jobs: who may reach what is the owner's word at that moment, not at the start.

desk = NetworkDesk(reactor, trust.current, most, wall)
network = desk.begin(prepared)              # before its process starts
spawner.listened = network.listened
...
network.end()                               # when the process has ended
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_interface
from typing import Any

import attrs
from twisted.internet.base import ReactorBase

from cs.network_proxy import JobNetwork
from cs.network_proxy_addresses import Machine, plain
from cs.network_proxy_rules import Reach
from cs.prepared import Prepared
from cs.trust import Allowed, TrustStore
from rjs.discovery.addresses import read_interfaces
from rjs.network_places import network_place
from rjs.wall_time import Wall, utc_now


def machine_now() -> Machine:
    """This machine's addresses and the networks that it is on, as they are now."""
    found = [ip_interface(own.with_prefixlen) for own in read_interfaces()]
    return Machine(frozenset(plain(str(own.ip)) for own in found), tuple(own.network for own in found))


@attrs.define(eq=False)
class NetworkDesk:
    """Makes a ``JobNetwork`` for each attempt. ``most``: bytes that one may carry."""

    reactor: ReactorBase
    trust: Callable[[], TrustStore]
    most: int
    wall: Wall = utc_now
    machine: Callable[[], Machine] = machine_now
    current: JobNetwork | None = None
    """The one of the attempt that was begun last."""

    def begin(self, prepared: Prepared) -> JobNetwork:
        """For an attempt whose process is about to start."""
        attempt = prepared.attempt
        name = f"task {attempt.task} of {attempt.job[:16]}"
        self.current = JobNetwork(self.reactor, name, self.most, lambda: self.reach(prepared), self.machine)
        return self.current

    def reach(self, prepared: Prepared) -> Reach:
        """What it may reach now: the places that it asked for, while the owner grants them all."""
        asked = prepared.descriptor.permissions
        decision = self.trust().allows(prepared.bundle.signer, asked, self.wall())
        if not isinstance(decision, Allowed):
            return Reach()
        return Reach(frozenset(map(network_place, asked.network)), frozenset(decision.grant.private))

    def document(self) -> dict[str, Any]:
        """For status: the traffic of the attempt that was begun last."""
        return {} if self.current is None else self.current.facts()
