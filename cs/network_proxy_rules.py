"""What a job may say to its proxy, and what becomes of it: a request's head, refusals, how much is carried. Pure.

A request is ``CONNECT host:port``, or one of plain HTTP in absolute form (``GET http://host/path``), which is what
clients send to a proxy. Both carry bytes to one place alone. Of the second kind one request is forwarded for each
connection, with a head of our own making, so that no two ends can read it differently (RFC 9112, sections 6.3, 7.6.1
and 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from cs import limits
from rjs.errors import RefusedError
from rjs.network_places import PlaceRefusedError, network_place
from rjs.sizes import size_text

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110, section 5.6.2
_LINE: Final = re.compile(rb"(" + _TOKEN + rb"{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])")
_NAME: Final = re.compile(_TOKEN + rb"{1,100}")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_ABSOLUTE: Final = re.compile(r"http://([^/?#]*)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_PORT_GIVEN: Final = re.compile(r":[0-9]+\Z", re.ASCII)

_OURS: Final = frozenset(
    {
        b"host",
        b"content-length",
        b"connection",
        b"proxy-connection",
        b"keep-alive",
        b"te",
        b"trailer",
        b"upgrade",
    }
    | {b"http2-settings", b"proxy-authorization", b"proxy-authenticate", b"via"}
)
"""Fields that are for the next hop only, or that we state ourselves."""

_STATUS: Final[Mapping[str, int]] = {
    "bad-request": 400,
    "not-granted": 403,
    "address-denied": 403,
    "network-used-up": 403,
    "too-slow": 408,
    "length-needed": 411,
    "head-too-long": 431,
    "unreachable": 502,
    "no-answer": 504,
}


class NotCarriedError(RefusedError):
    """The proxy does not carry this; the job reads why."""

    @property
    def status(self) -> int:
        """Of HTTP."""
        return _STATUS[self.code]

    def response(self) -> bytes:
        """What the job is answered. The sentence is in the first line, too: clients show no more of a CONNECT."""
        sentence = self.sentence.encode("ascii", "replace").decode()
        words = "".join(each if each.isprintable() else "?" for each in sentence)[: limits.NETWORK_WORDS]
        body = f"{self.code}: {words}\n"
        lines = [
            f"HTTP/1.1 {self.status} {words}",
            "Content-Type: text/plain; charset=us-ascii",
            f"Content-Length: {len(body)}",
            "Connection: close",
            "",
            body,
        ]
        return "\r\n".join(lines).encode()


@attrs.frozen
class Reach:
    """What a job may reach now, in the form of ``rjs.network_places``; ``private``: the places among them whose
    names may lead to addresses of the owner's own networks."""

    places: frozenset[str] = frozenset()
    private: frozenset[str] = frozenset()

    def check(self, place: str) -> None:
        """Raises NotCarriedError ``not-granted``."""
        if place not in self.places:
            raise NotCarriedError(
                "not-granted",
                f"{place} is no place that this job asked for in [permissions] network, and that the owner granted",
            )


@attrs.frozen
class Asked:
    """What a job asks: to be joined to ``place``. ``head`` is what goes there first; ``body`` is how many bytes of
    the job's follow it, None for a tunnel, which takes whatever comes."""

    place: str
    head: bytes = b""
    body: int | None = None


CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
"""What the job is told when its tunnel stands."""


def read_request(head: bytes) -> Asked:
    """What the head of a request, without the empty line at its end, asks for.

    1. It is a request line and fields of HTTP/1, no more than NETWORK_FIELDS, each on one line.
    2. Its length is stated once or not at all: not by coding, not by two fields.
    3. Its target is ``host:port`` for CONNECT, or absolute with ``http://``: a place, without user or password.
    4. CONNECT has no body.

    Raises NotCarriedError.
    """
    line, *rest = head.split(b"\r\n")
    request = _LINE.fullmatch(line)
    if request is None:  # 1
        raise _bad("the first line is no request of HTTP/1.0 or HTTP/1.1")
    method, target, version = request[1].decode(), request[2].decode(), request[3].decode()
    fields = _fields(rest)
    body = _body(fields)  # 2
    if method != "CONNECT":
        return _plain(method, target, version, fields, body)
    if body:  # 4
        raise _bad("CONNECT has no body")
    return Asked(_place(target))  # 3


def _fields(lines: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Each field's name and value as they came."""
    if len(lines) > limits.NETWORK_FIELDS:
        raise NotCarriedError(
            "head-too-long", f"a request has at most {limits.NETWORK_FIELDS} header fields here"
        )
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise _bad("a header field is not of the form Name: value, on one line")
        fields.append((name, value.strip(b" \t")))
    return fields


def _body(fields: Sequence[tuple[bytes, bytes]]) -> int | None:
    """The length that is stated; None without one, which means 0 (RFC 9112, section 6.3)."""
    names = [name.lower() for name, _ in fields]
    if names.count(b"host") > 1:
        raise _bad("there is more than one Host")
    if b"transfer-encoding" in names:
        raise NotCarriedError(
            "length-needed", "a body needs its length here (Content-Length), or send it through CONNECT"
        )
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise _bad("its Content-Length is not one number")
    return int(lengths[0]) if lengths else None


def _plain(
    method: str, target: str, version: str, fields: Sequence[tuple[bytes, bytes]], body: int | None
) -> Asked:
    """A request of plain HTTP: the same one as its server wants it, alone on its connection."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise _bad("this is a proxy: ask with CONNECT host:port, or for http://host/path, without a fragment")
    authority, path, query = absolute[1], absolute[2] or "", absolute[3] or ""
    place = _place(authority if _PORT_GIVEN.search(authority) else f"{authority}:80")
    if not path and not (method == "OPTIONS" and not query):
        path = "/"
    lines = [
        f"{method} {path + query or '*'} HTTP/1.{version}".encode(),
        b"Host: " + place.removesuffix(":80").encode(),
        *(name + b": " + value for name, value in _forwarded(fields)),
        *([] if body is None else [b"Content-Length: %d" % body]),
        b"Via: 1.1 rjs",
        b"Connection: close",
    ]
    return Asked(place, b"\r\n".join([*lines, b"", b""]), body or 0)


def _forwarded(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what is for this hop alone: the fields known as such, and those that ``Connection`` names."""
    named = {
        each.strip(b" \t").lower()
        for name, value in fields
        if name.lower() == b"connection"
        for each in value.split(b",")
    }
    return [(name, value) for name, value in fields if name.lower() not in _OURS | named]


def _place(text: str) -> str:
    if "@" in text:
        raise _bad("a place has no user and password")  # which are not repeated
    try:
        return network_place(text)
    except PlaceRefusedError as error:
        raise _bad(error.sentence) from None


def _bad(sentence: str) -> NotCarriedError:
    return NotCarriedError("bad-request", sentence)


@attrs.define
class Traffic:
    """Connections to one place, and bytes that went there and came back."""

    connections: int = 0
    sent: int = 0
    received: int = 0


@attrs.define
class Meter:
    """What an attempt has carried, and the most that it may, in bytes of both directions together."""

    most: int
    used: int = 0
    places: dict[str, Traffic] = attrs.field(factory=dict)

    def check(self) -> None:
        """Raises NotCarriedError ``network-used-up`` when nothing more is carried."""
        if self.used >= self.most:
            raise self._used_up()

    def opened(self, place: str) -> None:
        """Another connection to it."""
        self._of(place).connections += 1

    def sent(self, place: str, size: int) -> None:
        """So many bytes are to go there. Raises NotCarriedError when they may not: then nothing may any more."""
        self._take(size)
        self._of(place).sent += size

    def received(self, place: str, size: int) -> None:
        """So many bytes came from there. Raises as ``sent``."""
        self._take(size)
        self._of(place).received += size

    def facts(self) -> dict[str, Any]:
        """For status and log."""
        return {
            "used": self.used,
            "most": self.most,
            "places": {place: attrs.asdict(traffic) for place, traffic in self.places.items()},
        }

    def _of(self, place: str) -> Traffic:
        return self.places.setdefault(place, Traffic())

    def _take(self, size: int) -> None:
        if self.used + size > self.most:
            self.used = self.most
            raise self._used_up()
        self.used += size

    def _used_up(self) -> NotCarriedError:
        return NotCarriedError(
            "network-used-up",
            f"this task has sent and received what it may, {size_text(self.most)}; the owner of the machine can "
            "set another bound (network in config.toml)",
        )


@attrs.define
class Pace:
    """Connections that may be taken: a burst, and so many a second after it."""

    at: float
    left: float = limits.NETWORK_BURST

    def taken(self, now: float) -> float:
        """One was taken at ``now``; the seconds until the next may be, 0 for at once."""
        self.left = min(limits.NETWORK_BURST, self.left + (now - self.at) * limits.NETWORK_A_SECOND)
        self.at = now
        self.left -= 1
        return max(0.0, (1 - self.left) / limits.NETWORK_A_SECOND) if self.left < 1 else 0.0
