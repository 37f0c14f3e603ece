"""Finding each other on a LAN by DNS-SD over mDNS. The only door to zeroconf.

    link = Link(reactor, interfaces=())
    link.announce(Announcement(Service.CS, id=…, boot=…, cluster=…, port=…))
    link.browse(Service.LUS, cluster, on_seen)
    …
    await link.stop()

What is announced is public and unproven: a hint where to dial. Who answers there is proved by TLS, and whether
it lives is decided by sessions and leases. That nothing is seen means nothing.
"""

from rjs.discovery.link import Link
from rjs.discovery.records import Announcement, Seen, Service

__all__ = ["Announcement", "Link", "Seen", "Service"]
