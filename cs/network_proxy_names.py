"""Looking up the names that a job asks its proxy for: each once, by the server's own resolver."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from cs import limits
from cs.network_proxy_addresses import Address, plain
from cs.network_proxy_rules import NotCarriedError


class Names:
    """The addresses of names, each looked up once: whoever asks later, or meanwhile, gets the first answer. A name
    that has none is looked up again."""

    def __init__(self, reactor: ReactorBase) -> None:
        self._reactor = reactor
        self._known: dict[str, tuple[Address, ...]] = {}
        self._waiting: dict[str, list[Deferred[None]]] = {}
        self._threads = DeferredSemaphore(limits.NETWORK_LOOKUPS)

    async def addresses(self, host: str) -> tuple[Address, ...]:
        """Of a name, or of an address: itself. Raises NotCarriedError ``unreachable`` where there is none."""
        with suppress(ValueError):
            return (plain(host),)
        if host not in self._known:
            await self._looked_up(host)
        if host not in self._known:
            raise NotCarriedError("unreachable", f"the name {host} has no address")
        return self._known[host]

    def _looked_up(self, host: str) -> Deferred[None]:
        """Fires when it was; cancelling it leaves the others waiting."""
        waiting: Deferred[None] = Deferred()
        if host in self._waiting:
            self._waiting[host].append(waiting)
        else:
            self._waiting[host] = [waiting]
            resolution = _Resolution(partial(self._found, host))
            self._threads.acquire().addCallback(lambda _: resolution.begin(self._reactor, host))
        return waiting

    def _found(self, host: str, addresses: tuple[Address, ...]) -> None:
        self._threads.release()
        if addresses:
            self._known[host] = addresses
        for waiting in self._waiting.pop(host):
            if not waiting.called:  # else it was cancelled
                waiting.callback(None)


@implementer(IResolutionReceiver)
class _Resolution:
    """Collects what the reactor's resolver finds."""

    def __init__(self, done: Callable[[tuple[Address, ...]], None]) -> None:
        self._done = done
        self._found: dict[Address, None] = {}

    def begin(self, reactor: ReactorBase, host: str) -> None:
        """Look ``host`` up; ``done`` is called with its addresses, none if there are none."""
        reactor.nameResolver.resolveHostName(self, host)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N802, N803 - Twisted's door
        """Twisted's door."""

    def addressResolved(self, address: IAddress) -> None:  # noqa: N802 - Twisted's door
        """Twisted's door."""
        if len(self._found) < limits.NETWORK_ADDRESSES:
            self._found[plain(address.host)] = None  # type: ignore[attr-defined]  # of IP, as was asked

    def resolutionComplete(self) -> None:  # noqa: N802 - Twisted's door
        """Twisted's door."""
        self._done(tuple(self._found))
