"""Lookup servers: while none serves us, dials those of ``config.toml`` and those that announce themselves.

    lookup = LookupServers(reactor, me, door, tasks, creator, serving, numbers)
    lookup.always(["lus.example:9001"])                     # a firewall or a router keeps multicast from us
    link.browse(Service.LUS, cluster, lookup.seen)

LUSs dial us too: whichever side can, dials. So one that announces itself has a moment in which to come, and the one
that served us last comes before the others: a connection that merely broke changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import attrs
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, TimeoutError
from twisted.logger import Logger

from cs import limits
from rjs.background import Tasks, sleep
from rjs.discovery import Seen
from rjs.errors import UnreachableError
from rjs.identity.tls import ClientContext
from rjs.wire.dial import Backoff, dial, host_and_port, jittered
from rjs.wire.duplicates import DialNumbers
from rjs.wire.handover import hold
from rjs.wire.refusals import same_words
from rjs.wire.session import Door, Self, Session

_log = Logger("cs.lookup_servers")


@attrs.define(eq=False)
class LookupServer:
    """Where one may be dialled. ``id`` and ``at``, when it was last heard, are those of an announcement;
    ``met`` is the id of who was there last."""

    name: str
    addresses: Sequence[tuple[str, int]]
    id: str | None = None
    at: float = 0.0
    met: str = ""
    trouble: str = ""


@attrs.define(eq=False)
class LookupServers:
    """Those that may be dialled, by name. ``serving``: the session of the LUS that is served now."""

    reactor: ReactorBase
    me: Self
    door: Door
    tasks: Tasks
    creator: Callable[[str | None], ClientContext]
    serving: Callable[[], Session | None]
    numbers: DialNumbers = attrs.field(factory=DialNumbers)
    known: dict[str, LookupServer] = attrs.field(factory=dict)
    _last: str = ""

    def always(self, addresses: Sequence[str]) -> None:
        """Dial these HOST:PORT whenever none is served."""
        for address in dict.fromkeys(addresses):
            self._begin(LookupServer(address, [host_and_port(address)]))

    def seen(self, seen: Seen) -> None:
        """An announcement was heard."""
        lus = self.known.get(seen.id)
        addresses = [(address, seen.port) for address in seen.addresses]
        if lus is not None:
            lus.addresses, lus.at = addresses, self.reactor.seconds()
        elif sum(each.id is not None for each in self.known.values()) < limits.LOOKUP_SERVERS:
            self._begin(LookupServer(seen.id, addresses, seen.id, self.reactor.seconds()))

    def _begin(self, lus: LookupServer) -> None:
        self.known[lus.name] = lus
        self.tasks.spawn(f"lookup server {lus.name}", self._keep(lus))

    async def _keep(self, lus: LookupServer) -> None:
        """Dial it whenever none is served, until it is long unheard."""
        backoff = Backoff()
        try:
            await sleep(self.reactor, self._courtesy(lus))
            while lus.id is None or self.reactor.seconds() - lus.at < limits.LUS_FORGOTTEN:
                served = self.serving()
                if served is not None:
                    await self._until_lost(served)
                    await sleep(self.reactor, self._courtesy(lus))
                    continue
                await sleep(self.reactor, backoff.pause(await self._served(lus)))
        finally:
            del self.known[lus.name]

    async def _served(self, lus: LookupServer) -> float:
        """Dial it; the seconds for which its session held, 0 when there was none."""
        session, began = await self._dial(lus), self.reactor.seconds()
        if session is None:
            return 0.0
        lus.met = session.peer.name.id
        lus.trouble = await hold(self.reactor, session, partial(self._dial, lus))
        return self.reactor.seconds() - began

    def _courtesy(self, lus: LookupServer) -> float:
        """Seconds to wait before it is dialled: for it to dial us, and for the one that served us last."""
        if self._last not in ("", lus.id, lus.met):
            return jittered(limits.LUS_OTHER)
        return 0.0 if lus.id is None else jittered(limits.LUS_FIRST)

    async def _until_lost(self, served: Session) -> None:
        self._last = served.peer.name.id
        while self.serving() is served:
            try:
                await served.gone().addTimeout(limits.SERVED_LOOK, self.reactor)
            except TimeoutError:
                continue
            return  # whatever the shell believes of a session that has ended

    async def _dial(self, lus: LookupServer) -> Session | None:
        """A session at the first of its addresses that answers. With a certificate that has expired it is dialled
        too: it carries our renewal."""
        faults: list[str] = []
        for host, port in lus.addresses:
            try:
                return await dial(
                    self.reactor, host, port, self.me, self.door, self.creator(lus.id), self.numbers.next(),
                    to_renew=True,
                )  # fmt: skip
            except CancelledError:
                raise
            except UnreachableError as error:
                faults.append(str(error))
            except Exception as error:
                _log.failure("dialling {host}:{port} met a defect", host=host, port=port)
                faults.append(f"a defect on this side: {error}")
        trouble = "; ".join(faults)
        if same_words(trouble) != same_words(lus.trouble):
            _log.info("cannot reach the lookup server {name}: {trouble}", name=lus.name, trouble=trouble)
        lus.trouble = trouble
        return None
