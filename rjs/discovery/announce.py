"""Keeping one announcement on the LAN. Runs in the Link's thread."""

from __future__ import annotations

from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from rjs import limits
from rjs.discovery.addresses import OwnAddresses
from rjs.discovery.records import Announcement


class Announcer:
    """Registers an announcement, repeats it, and follows the machine's addresses."""

    def __init__(self, announcement: Announcement) -> None:
        self.announcement = announcement
        """What to announce from the next renewal on; its name stays."""
        self._registered: ServiceInfo | None = None
        self._announced: tuple[Announcement, tuple[str, ...]] | None = None

    async def renew(self, multicast: AsyncZeroconf, own: OwnAddresses) -> None:
        """Send the announcement once more: whoever was cut off, or did not listen then, hears it now.

        Registering is not probed for a name that is taken, as the name is a UUID: that makes it instant.
        """
        announced = (self.announcement, own.to_announce())
        if self._registered is not None and announced == self._announced:
            zeroconf = multicast.zeroconf
            zeroconf.async_send(zeroconf.generate_service_broadcast(self._registered, None))
            return
        info = _service_info(*announced)
        if self._registered is None:
            await multicast.async_register_service(info, cooperating_responders=True)
        else:
            await multicast.async_update_service(info)
        self._registered, self._announced = info, announced

    async def stop(self) -> None:
        """Forget the registration: closing ``multicast`` says goodbye."""
        self._registered = None


def _service_info(announcement: Announcement, addresses: tuple[str, ...]) -> ServiceInfo:
    return ServiceInfo(
        announcement.service.value,
        announcement.name,
        port=announcement.port,
        properties=announcement.text,
        server=announcement.host,
        host_ttl=limits.ANNOUNCEMENT_TTL,
        other_ttl=limits.ANNOUNCEMENT_TTL,
        parsed_addresses=list(addresses),
    )
