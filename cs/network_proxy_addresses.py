"""Which addresses a granted name may lead to: those of the public Internet, and what the owner said beyond. Pure.

A name's addresses are whatever its holder says, so a grant for a name is none for the owner's machine or networks.
The tables are our own: what ``ipaddress`` calls global or private differs between versions of Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal

import attrs

from cs.network_proxy_rules import NotCarriedError, Reach

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Kind = Literal["public", "private", "loopback", "link-local", "special", "no host's"]


@attrs.frozen
class Machine:
    """This machine's own addresses, and the networks that it is on."""

    addresses: frozenset[Address] = frozenset()
    networks: tuple[Network, ...] = ()


_IPV4: Final[Sequence[tuple[str, Kind]]] = (
    ("0.0.0.0/8", "no host's"),  # "this host": Linux connects it to loopback
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),  # clouds answer there with their machines' keys
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("100.64.0.0/10", "private"),  # shared by a provider's customers, RFC 6598; also some VPNs' own
    ("192.0.0.0/24", "special"),  # protocols' own, RFC 6890
    ("192.0.2.0/24", "special"),  # documentation, RFC 5737; so too the two below
    ("198.51.100.0/24", "special"),
    ("203.0.113.0/24", "special"),
    ("192.88.99.0/24", "special"),  # relays of 6to4, RFC 7526
    ("198.18.0.0/15", "special"),  # benchmarks, RFC 2544
    ("224.0.0.0/4", "no host's"),  # multicast
    ("240.0.0.0/4", "no host's"),  # reserved, and broadcast
)
_IPV6: Final[Sequence[tuple[str, Kind]]] = (
    ("::/128", "no host's"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("fc00::/7", "private"),  # unique local, RFC 4193
    ("fec0::/10", "private"),  # site-local, RFC 3879
    ("ff00::/8", "no host's"),  # multicast
    ("64:ff9b:1::/48", "private"),  # a network's own translation, RFC 8215
    ("2001:db8::/32", "special"),  # documentation; so too 3fff::/20
    ("3fff::/20", "special"),
    ("2001::/32", "public"),  # Teredo: judged by what is in it, as are 6to4 (2002::/16) and the ones below
    ("2001::/23", "special"),  # protocols' own, RFC 6890
    ("64:ff9b::/96", "public"),  # NAT64, RFC 6052
    ("::ffff:0:0/96", "public"),  # mapped
    ("2000::/3", "public"),
    ("::/0", "special"),  # nothing else is given to anybody
)
_IPV4_TABLE: Final = tuple((IPv4Network(network), kind) for network, kind in _IPV4)
_IPV6_TABLE: Final = tuple((IPv6Network(network), kind) for network, kind in _IPV6)

_LAST_32: Final = tuple(
    map(IPv6Network, ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "::/96"))
)  # mapped, translated (RFC 2765), NAT64, compatible (RFC 4291)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1


def plain(text: str) -> Address:
    """The address, without a scope. Raises ValueError."""
    address = ip_address(text)
    return IPv6Address(address.packed) if isinstance(address, IPv6Address) else address


def kind_of(address: Address) -> Kind:
    """What an address is by itself. One that holds an IPv4 address, and so may lead to it, is public if both are."""
    kinds = [_own_kind(each) for each in (address, *_within(address))]
    return next((kind for kind in kinds if kind != "public"), "public")


def _own_kind(address: Address) -> Kind:
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _IPV4_TABLE if address in network), "public")
    return next(kind for network, kind in _IPV6_TABLE if address in network)


def _within(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that an IPv6 address holds."""
    if isinstance(address, IPv4Address):
        return
    number = int(address)
    if any(address in network for network in _LAST_32) and number > 0xFFFF:  # not ::1
        yield IPv4Address(number & 0xFFFFFFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        yield IPv4Address(number & 0xFFFFFFFF)


def allowed(addresses: Iterable[Address], place: str, reach: Reach, machine: Machine) -> tuple[Address, ...]:
    """Those of the addresses of ``place``, in their order, that may be dialled for a job.

    Raises NotCarriedError ``address-denied`` where there is none, with the reason of the first.
    """
    reasons = {address: _denied(address, place, reach, machine) for address in addresses}
    found = tuple(address for address, reason in reasons.items() if not reason)
    if not found:
        why = next(iter(reasons.values()), "no address")
        raise NotCarriedError("address-denied", f"{place} leads to {why}")
    return found


def _denied(address: Address, place: str, reach: Reach, machine: Machine) -> str:
    """Why not; empty if it may be.

    1. What is no host's address is never dialled.
    2. An address that was granted itself is.
    3. This machine's own addresses are not, whatever they are.
    4. Addresses of networks that this machine is on, and private ones, are if the name was granted as private.
    5. Public ones are.
    """
    kind, held = kind_of(address), {address, *_within(address)}
    if kind == "no host's":  # 1
        return "an address that is no host's"
    if place.rpartition(":")[0].strip("[]") == str(address):  # 2
        return ""
    itself = "which the owner can grant only by itself, as ADDRESS:PORT"
    if kind == "loopback" or held & machine.addresses:  # 3
        return f"the machine that runs the job, {itself}"
    near = any(each in network for each in held for network in machine.networks)
    if kind == "private" or (kind == "public" and near):  # 4
        lacking = "a private address or a neighbour of this machine; the owner can grant it with --private"
        return "" if place in reach.private else lacking
    return "" if kind == "public" else f"a {kind} address, {itself}"  # 5
