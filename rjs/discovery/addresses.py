"""Which of our addresses to announce, and which announced ones are on a network that we are on.

Only on-link addresses are ever dialled on an announcement's word: a stranger on the LAN must not make servers
connect to hosts of its choice elsewhere, nor to this machine's own loopback.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface

import attrs
import ifaddr

from rjs import limits
from rjs.errors import ConfigError

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface


@attrs.frozen
class OwnAddresses:
    """The addresses, with their networks, that this machine uses to meet others."""

    interfaces: tuple[Interface, ...]

    def to_announce(self) -> tuple[str, ...]:
        """Addresses under which others may find us, the more widely valid first, without scope."""
        ordered = sorted((own.ip for own in self.interfaces), key=lambda ip: (ip.is_link_local, ip.version))
        plain = dict.fromkeys(str(ip).partition("%")[0] for ip in ordered)
        return tuple(plain)[: limits.ANNOUNCED_ADDRESSES]

    def on_link(self, addresses: Iterable[Address]) -> tuple[str, ...]:
        """Those that are on a network of ours, in the order given; link-local IPv6 only with a scope."""
        return tuple(str(address) for address in addresses if self._is_on_link(address))

    def _is_on_link(self, address: Address) -> bool:
        if isinstance(address, IPv6Address):
            if address.is_link_local and address.scope_id is None:
                return False
            address = IPv6Address(address.packed)  # networks compare without scope
        return any(address in own.network for own in self.interfaces)


def choose(found: Iterable[Interface], wanted: Iterable[str]) -> OwnAddresses:
    """The addresses to use among those ``found`` on this machine.

    ``wanted`` restricts them to the listed ones; when empty, all but loopback are used, or loopback when there
    is nothing else: a machine without a network is a cluster of its own.
    """
    interfaces = tuple(found)
    listed = {ip_address(address) for address in wanted}
    if listed:
        return OwnAddresses(tuple(own for own in interfaces if _plain(own.ip) in listed))
    return OwnAddresses(tuple(own for own in interfaces if not own.ip.is_loopback) or interfaces)


def read_interfaces() -> tuple[Interface, ...]:
    """What this machine's network interfaces have now."""
    found: list[Interface] = []
    for adapter in ifaddr.get_adapters():
        for own in adapter.ips:
            address = own.ip if isinstance(own.ip, str) else own.ip[0]
            found.append(ip_interface(f"{address.partition('%')[0]}/{own.network_prefix}"))
    return tuple(found)


def check_wanted(wanted: Iterable[str]) -> None:
    """Raise ConfigError, naming every entry of a list of interfaces that is not an IP address."""
    wrong = [entry for entry in wanted if not _is_address(entry)]
    if wrong:
        raise ConfigError(
            f"interfaces must be IP addresses of this machine, not {', '.join(map(repr, wrong))}"
        )


def _is_address(entry: str) -> bool:
    try:
        return bool(ip_address(entry))
    except ValueError:
        return False


def _plain(address: Address) -> Address:
    return IPv6Address(address.packed) if isinstance(address, IPv6Address) else address
