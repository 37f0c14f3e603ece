"""Network places: ``host:port`` as descriptors ask for them and owners grant them, in one form that compares. Pure.

A place is one host and one port. There are no wildcards, ranges or prefixes, and a name is never resolved here: a
grant for a name is for that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from rjs.errors import RefusedError

_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.ASCII)
_NAME = 253  # characters of the longest host name (RFC 1035, section 2.3.4)


class PlaceRefusedError(RefusedError):
    """This is no network place."""


def network_place(text: str) -> str:
    """The one form of a place: the host in small letters, addresses in their canonical form (IPv6 in brackets).

    Raises PlaceRefusedError ``network-place``.
    """
    if not text.isascii():  # some letters beyond ASCII become others when they are made small
        raise _refused(text, "it needs ASCII letters; write an international name as xn--…")
    host, colon, port = text.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535:
        raise _refused(text, "it needs a port from 1 to 65535")
    return f"{_host(host.lower(), text)}:{port}"


def ungranted(asked: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """The places of ``asked``, in the order asked, that ``granted`` does not have; what is no place is never
    granted."""
    have = set(granted)
    return tuple(place for place in asked if _form(place) not in have)


def _form(place: str) -> str | None:
    try:
        return network_place(place)
    except PlaceRefusedError:
        return None


def _host(host: str, text: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError:
            raise _refused(text, "its IPv6 address is none") from None
        if (
            address.scope_id is not None or address.ipv4_mapped is not None
        ):  # other names of what has one already
            raise _refused(text, "an IPv6 address here has no scope and is no IPv4 address in disguise")
        return f"[{address}]"
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):  # resolvers take 127.1 and 0x7f000001 for addresses, too
        try:
            return str(IPv4Address(host))
        except AddressValueError:
            raise _refused(text, "its IPv4 address is none") from None
    if len(host) > _NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(text, "its host is no name of letters, digits and hyphens, and no address")
    return host


def _refused(text: str, why: str) -> PlaceRefusedError:
    return PlaceRefusedError(
        "network-place", f"{text[:100]!a} is no network place such as data.example.org:443: {why}"
    )
