"""A server's place on the LAN: one thread in which everything of zeroconf happens.

The reactor's side only hands over values and gets values back; no call here blocks it. The thread looks at the
machine's network every few seconds, so that a cable plugged in later, a new address or a network that was down
at the start need nobody's attention.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zeroconf import InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncZeroconf

from rjs import limits
from rjs.background import FromThreads
from rjs.discovery.addresses import OwnAddresses, check_wanted, choose, read_interfaces
from rjs.discovery.announce import Announcer
from rjs.discovery.browse import Browser
from rjs.discovery.records import Announcement, Seen, Service
from rjs.ids import ClusterId

_log = Logger("rjs.discovery")


class Link:
    """Announces and browses until stopped. To be used from the reactor's thread."""

    def __init__(self, reactor: FromThreads, interfaces: Sequence[str] = ()) -> None:
        """Join the LAN on the interfaces with the given addresses, or on all of them when none is given.

        With ``["127.0.0.1"]`` nothing leaves the machine. Raises ConfigError for what is no IP address.
        """
        check_wanted(interfaces)
        self._reactor = reactor
        self._interfaces = list(interfaces)
        self._parts: list[Announcer | Browser] = []
        self._own: OwnAddresses | None = None
        self._changes = asyncio.Event()
        self._stopping = False
        self._stopped: Deferred[None] = Deferred()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="discovery", daemon=True)
        self._thread.start()

    def announce(self, announcement: Announcement) -> None:
        """Announce this until the end, in place of what was announced under the same name. Others hear it in
        milliseconds, and again every few seconds."""
        self._in_thread(partial(self._replace, announcement))

    def browse(self, service: Service, cluster: ClusterId, on_seen: Callable[[Seen], None]) -> None:
        """Call ``on_seen`` in the reactor's thread for each server of ``cluster`` that announces itself.

        It is called when anything about a server is new, and again every few seconds while it is heard.
        Never called: nobody is there, or the network does not carry multicast; silence proves nothing.
        """
        hand_over = partial(self._reactor.callFromThread, _tell, on_seen)
        self._in_thread(partial(self._parts.append, Browser(service, cluster, hand_over)))

    def stop(self) -> Deferred[None]:
        """Say goodbye on the LAN; fires when the thread has ended. ``on_seen`` may still be called before."""
        if not self._stopping:
            self._stopping = True
            self._in_thread(lambda: None)
        return self._stopped

    def _replace(self, announcement: Announcement) -> None:
        for part in self._parts:
            if isinstance(part, Announcer) and part.announcement.name == announcement.name:
                part.announcement = announcement
                return
        self._parts.append(Announcer(announcement))

    def _in_thread(self, change: Callable[[], None]) -> None:
        def apply() -> None:
            change()
            self._changes.set()

        self._loop.call_soon_threadsafe(apply)

    # --- in the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._stay())
        finally:
            self._reactor.callFromThread(self._finish)

    async def _stay(self) -> None:
        """Be on the LAN until stopped, however often the network refuses."""
        while not self._stopping:
            self._changes.clear()
            try:
                await self._visit()
            except (OSError, RuntimeError) as error:  # an interface went as we came
                # words only: the error's frames hold zeroconf's sockets, and whoever keeps the event keeps those
                _log.warn("the network cannot be used for discovery yet: {error}", error=str(error))
                await self._pause()
            except Exception:
                _log.failure("discovery failed and starts anew")
                await self._pause()

    async def _visit(self) -> None:
        """Open the sockets, renew everything again and again, say goodbye; while we have no address, only wait.

        zeroconf opens sockets before it looks at the addresses, and leaves them open where one is not there.
        """
        own = self._look_around()
        if not own.interfaces:
            await self._pause()
            return
        multicast = AsyncZeroconf(self._choice(own), ip_version=self._ip_version())
        try:
            while not self._stopping and own.interfaces:
                self._changes.clear()
                await multicast.async_update_interfaces(self._choice(own))
                for part in tuple(self._parts):
                    await part.renew(multicast, own)
                await self._pause()
                own = self._look_around()
        finally:
            for part in self._parts:
                await part.stop()
            await multicast.async_close()

    async def _pause(self) -> None:
        """Until the next renewal is due, or something is asked of us."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changes.wait(), limits.DISCOVERY_RENEWAL)

    def _look_around(self) -> OwnAddresses:
        """The machine's addresses, which come and go; the log says so when they changed."""
        own, before = choose(read_interfaces(), self._interfaces), self._own
        self._own = own
        if own == before:
            return own
        if own.interfaces:
            _log.info("announcing and looking for others from {own}", own=", ".join(own.to_announce()))
        else:
            wanted = ", ".join(self._interfaces) or "any address"
            _log.warn("no network interface has {wanted}: nobody can find us, nor we them", wanted=wanted)
        return own

    def _choice(self, own: OwnAddresses) -> InterfaceChoice | list[str]:
        """All interfaces, or those of the wanted addresses that are there."""
        return [str(each.ip) for each in own.interfaces] if self._interfaces else InterfaceChoice.All

    def _ip_version(self) -> IPVersion | None:
        """Both versions where the kernel has IPv6; None lets zeroconf take what the listed addresses are."""
        if self._interfaces:
            return None
        try:
            socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        except OSError:
            return IPVersion.V4Only
        return IPVersion.All

    def _finish(self) -> None:
        self._thread.join()
        self._stopped.callback(None)


def _tell(on_seen: Callable[[Seen], None], gathered: tuple[Seen, ...]) -> None:
    for seen in gathered:
        try:
            on_seen(seen)
        except Exception:
            _log.failure("what to do with a server that was seen failed")
