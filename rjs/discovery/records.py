"""What an announcement says, as records and back: pure, strict, made for hostile input.

An announcement is one DNS-SD instance. Its name is the server's id, its host is ``<id>.local.``, and its TXT
record (RFC 6763 section 6) holds ``id``, ``boot``, ``cluster``, ``v``, the wire protocol's version, and of a CS
``lus``, whom it serves. Further keys are for later releases and ignored.
"""

from __future__ import annotations

import re
from enum import Enum

import attrs

from rjs import limits
from rjs.errors import RefusedError
from rjs.ids import BootId, ClusterId, ServerId


class Service(Enum):
    """Who announces itself, as the type of its DNS-SD service."""

    CS = "_rjs-cs._tcp.local."
    LUS = "_rjs-lus._tcp.local."


class NotOursError(RefusedError):
    """An announcement that is not a well-formed one of our cluster; it is ignored."""


@attrs.frozen
class Announcement:
    """What a server tells the LAN of itself."""

    service: Service
    id: ServerId
    boot: BootId
    cluster: ClusterId
    port: int
    version: int = limits.PROTOCOL
    serves: ServerId | None = None
    """Of a CS: the LUS that it serves now."""

    @property
    def name(self) -> str:
        """The instance's full name."""
        return f"{self.id}.{self.service.value}"

    @property
    def host(self) -> str:
        """The name of its addresses: its own, so that two servers of a machine may announce different ones."""
        return f"{self.id}.local."

    @property
    def text(self) -> bytes:
        """The TXT record."""
        entries = [f"id={self.id}", f"boot={self.boot}", f"cluster={self.cluster}", f"v={self.version}"]
        if self.serves is not None:
            entries.append(f"lus={self.serves}")
        return b"".join(bytes([len(entry)]) + entry.encode("ascii") for entry in entries)


@attrs.frozen
class Seen:
    """A server that announced itself to us: where it may be dialled. Nothing of it is proven."""

    service: Service
    id: ServerId
    boot: BootId
    addresses: tuple[str, ...]
    """On-link addresses, newest first, a link-local one with its scope (``fe80::1%2``)."""
    port: int
    version: int
    serves: ServerId | None = None
    """Of a CS: the LUS that it says it serves."""


def parse_name(service: Service, name: str) -> ServerId:
    """The id in an instance's full name. Raises NotOursError."""
    instance, dot, kind = name.partition(".")
    if (dot, kind) != (".", service.value):
        raise NotOursError("announcement.name", "the name is of another service")
    return ServerId(_matching(_ID, instance, "name"))


def parse_text(text: bytes) -> dict[str, str]:
    """The entries of a TXT record. Raises NotOursError for one that is cut, too long, repeated or not ASCII."""
    if len(text) > limits.ANNOUNCED_TEXT:
        raise NotOursError("announcement.text", f"the TXT record has {len(text)} bytes")
    entries: dict[str, str] = {}
    position = 0
    while position < len(text):
        end = position + 1 + text[position]
        key, found, value = text[position + 1 : end].partition(b"=")
        if end > len(text) or not found or not key.isascii() or not value.isascii():
            raise NotOursError("announcement.text", "the TXT record is malformed")
        if key.decode() in entries:
            raise NotOursError("announcement.text", "the TXT record repeats a key")
        entries[key.decode()] = value.decode()
        position = end
    return entries


def parse_announcement(
    service: Service, cluster: ClusterId, name: str, text: bytes, port: int | None, addresses: tuple[str, ...]
) -> Seen:
    """What was announced under ``name``. Raises NotOursError unless every field is well-formed and ours.

    ``addresses`` are those that may be dialled, newest first.
    """
    server = parse_name(service, name)
    entries = parse_text(text)
    if entries.get("id") != server:
        raise NotOursError("announcement.id", "the id is not the name")
    if entries.get("cluster") != cluster:
        raise NotOursError("announcement.cluster", "it belongs to another cluster")
    boot = BootId(_matching(_ID, entries.get("boot", ""), "boot"))
    version = int(_matching(_VERSION, entries.get("v", ""), "version"))
    if port is None or not 0 < port < 65536:
        raise NotOursError("announcement.port", f"the port is {port}")
    if not addresses:
        raise NotOursError("announcement.address", "no address of it is on a network of ours")
    serves = ServerId(_matching(_ID, entries["lus"], "lus")) if "lus" in entries else None
    return Seen(service, server, boot, addresses[: limits.ANNOUNCED_ADDRESSES], port, version, serves)


_ID = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"[1-9][0-9]{0,3}")


def _matching(pattern: re.Pattern[str], value: str, what: str) -> str:
    if not pattern.fullmatch(value):
        raise NotOursError(f"announcement.{what}", f"the {what} is malformed")
    return value
