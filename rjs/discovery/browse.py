"""Listening for the announcements of one service and one cluster. Runs in the Link's thread."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.logger import Logger
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from rjs import limits
from rjs.discovery.addresses import OwnAddresses
from rjs.discovery.records import NotOursError, Seen, Service, parse_announcement, parse_name
from rjs.ids import ClusterId, ServerId

_log = Logger("rjs.discovery")

_ANSWER_WITHIN = 1500
"""Milliseconds to wait for the missing records of an announcement: less than a renewal."""

_READ_ADDRESSES = 64
"""Addresses of one announcement that are looked at: a host with more is an attack on our time."""


class Browser:
    """Turns announcements into Seen values, handed over in batches.

    A server is handed over when anything about it is new, and again at a renewal when it was heard since.
    zeroconf reports neither what it knows already nor, for minutes, what is gone: hence an own memory of what
    was heard when, and a fresh query at every renewal (measured: a host that announced itself while cut off
    is otherwise never found).
    """

    def __init__(
        self, service: Service, cluster: ClusterId, hand_over: Callable[[tuple[Seen, ...]], None]
    ) -> None:
        self._service = service
        self._cluster = cluster
        self._hand_over = hand_over
        self._query: AsyncServiceBrowser | None = None
        self._own = OwnAddresses(())
        self._known: OrderedDict[ServerId, tuple[Seen, float]] = OrderedDict()
        self._fresh: dict[ServerId, Seen] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def renew(self, multicast: AsyncZeroconf, own: OwnAddresses) -> None:
        """Ask the LAN again, and look again at everything that it told so far."""
        self._own = own
        if self._query is not None:
            await self._query.async_cancel()
        self._query = AsyncServiceBrowser(multicast.zeroconf, self._service.value, handlers=[self._changed])

    async def stop(self) -> None:
        """Stop asking and listening, until the next renewal."""
        if self._query is not None:
            await self._query.async_cancel()
            self._query = None
        for asking in self._asking:
            asking.cancel()

    def _changed(self, zeroconf: Zeroconf, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        """zeroconf heard something new under ``name``, or has it in its cache when a renewal begins."""
        if state_change is ServiceStateChange.Removed:
            return  # a goodbye proves nothing: anyone can say it
        try:
            parse_name(self._service, name)
        except NotOursError as error:
            _log.debug("ignored an announcement: {error}", error=error)
            return
        info = AsyncServiceInfo(self._service.value, name)
        if info.load_from_cache(zeroconf):
            self._consider(zeroconf, info)
        elif len(self._asking) < limits.ASKED_AT_ONCE:
            asking = asyncio.ensure_future(self._ask(zeroconf, info))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)

    async def _ask(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        if await info.async_request(zeroconf, _ANSWER_WITHIN):
            self._consider(zeroconf, info)

    def _consider(self, zeroconf: Zeroconf, info: AsyncServiceInfo) -> None:
        found = info.ip_addresses_by_version(IPVersion.All)[:_READ_ADDRESSES]
        addresses = self._own.on_link(found)
        try:
            seen = parse_announcement(
                self._service, self._cluster, info.name, info.text, info.port, addresses
            )
        except NotOursError as error:
            _log.debug("ignored an announcement: {error}", error=error)
            return
        pointer = zeroconf.cache.current_entry_with_name_and_alias(self._service.value, info.name)
        heard = pointer.created if pointer is not None else 0.0
        if self._known.get(seen.id) != (seen, heard):
            self._remember(seen, heard)

    def _remember(self, seen: Seen, heard: float) -> None:
        self._known[seen.id] = (seen, heard)
        self._known.move_to_end(seen.id)
        if len(self._known) > limits.SEEN_SERVERS:
            forgotten, _ = self._known.popitem(last=False)
            self._fresh.pop(forgotten, None)
        if not self._fresh:
            asyncio.get_running_loop().call_later(limits.SEEN_GATHERING, self._flush)
        self._fresh[seen.id] = seen

    def _flush(self) -> None:
        gathered, self._fresh = tuple(self._fresh.values()), {}
        if gathered:
            self._hand_over(gathered)
