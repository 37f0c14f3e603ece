"""The ways to the web server: its own addresses, or a lookup server that carries what is signed.

A way is only where to dial: who answers there is proved by TLS, and must be of the way's role. A lookup server
carries enrolments and renewals, which it can neither alter nor redirect, and nothing else of a person's.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import attrs
from twisted.internet.base import ReactorBase

from rjs import __version__
from rjs.background import sleep
from rjs.discovery import Link, Seen, Service
from rjs.errors import RefusedError, UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.names import Role
from rjs.identity.tls import client_context
from rjs.ids import ClusterId
from rjs.limits import LAN_LOOK, LUS_ADDRESSES
from rjs.wall_time import Wall, utc_now
from rjs.wire.dial import OwnCertificateError, dial, host_and_port
from rjs.wire.proxy import Proxy
from rjs.wire.session import Door, Self, Session

T = TypeVar("T")

_TRIED = 2
"""Addresses of one announced server that are tried: an IPv4 and an IPv6 one, most often."""

_REMEDY = (
    "see that the web server runs and is reached from here, or from a lookup server on this LAN (the operator names "
    "one with rjs ca invite --lus HOST:PORT)"
)

CARRIES_NOT = frozenset({"ws-away", "too-many-visitors", "unsupported"})
"""Codes with which a lookup server says that it cannot carry a request now, but another way may."""


@attrs.frozen
class Caller:
    """Who dials: under which name, with which key and certificate, in which cluster."""

    identity: Identity
    name: str
    cluster: str


@attrs.frozen
class Way:
    """Where to dial, and the role of who must answer there; a host of IPv6 stands without brackets."""

    role: Role
    host: str
    port: int
    proxy: Proxy | None = None

    @property
    def address(self) -> str:
        """The address as people write it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"the {'web' if self.role is Role.WS else 'lookup'} server at {self.address}"


def ways_of(ws: Iterable[str] = (), lus: Iterable[str] = (), proxy: Proxy | None = None) -> list[Way]:
    """The ways by these addresses of the form HOST:PORT, the web server's, through ``proxy``, first."""
    direct = [Way(Role.WS, *host_and_port(address), proxy) for address in ws]
    return direct + [Way(Role.LUS, *host_and_port(address)) for address in lus]


async def announced_ways(
    reactor: ReactorBase, cluster: ClusterId, interfaces: Sequence[str] = ()
) -> list[Way]:
    """The ways by lookup servers that announce themselves on the LAN, heard within ``LAN_LOOK`` seconds.

    What is announced is a hint of anybody's, so there are no more of them than addresses in an invitation.
    """
    found: dict[str, Seen] = {}

    def seen(each: Seen) -> None:
        if each.id in found or len(found) < LUS_ADDRESSES:
            found[each.id] = each

    link = Link(reactor, interfaces)
    try:
        link.browse(Service.LUS, cluster, seen)
        await sleep(reactor, LAN_LOOK)
    finally:
        await link.stop()
    return [Way(Role.LUS, host, each.port) for each in found.values() for host in each.addresses[:_TRIED]]


async def by_first_way(
    reactor: ReactorBase,
    caller: Caller,
    ways: Sequence[Way],
    work: Callable[[Session], Awaitable[T]],
    door: Door,
    *,
    to_renew: bool = False,
    wall: Wall = utc_now,
) -> tuple[T, Way]:
    """The result of ``work`` over a session by the first way that leads to the web server, and that way.

    ``to_renew`` see ``dial``. Raises UnreachableError, naming every way and its fault, when none does, and
    OwnCertificateError before any is tried.
    """
    me = Self(caller.name, caller.cluster, uuid.uuid4().hex, 0, __version__)
    faults = []
    for way in ways:
        try:
            context = client_context(caller.identity, way.role, wall=wall)
            session = await dial(
                reactor, way.host, way.port, me, door, context, to_renew=to_renew, proxy=way.proxy
            )
        except OwnCertificateError:
            raise
        except UnreachableError as error:
            faults.append(_fault(way, error))
            continue
        try:
            return await work(session), way
        except RefusedError as refused:
            if way.role is not Role.LUS or refused.code not in CARRIES_NOT:
                raise
            faults.append(f"{way}: {refused.sentence}")
        finally:
            session.close("done", "the command is done")
            await session.gone()
    raise UnreachableError("cannot reach the web server; " + ("; ".join(faults) or "no way to it is known"))


async def by_any_way(
    ask: Callable[..., Awaitable[tuple[T, Way]]],
    known: Sequence[Way],
    more: Callable[[], Awaitable[list[Way]]] | None,
    tell: Callable[[str], object],
) -> tuple[T, Way]:
    """``ask`` by the ways that are known, and then by those that ``more`` finds on the LAN; what it gives.

    ``tell`` hears in words what is tried next. Raises UnreachableError with what each way said and what to do.
    """
    try:
        return await ask(known)
    except OwnCertificateError:
        raise
    except UnreachableError as error:
        if more is None:
            raise
        said = str(error)
    tell(f"{said}; looking for {LAN_LOOK:.0f} s for lookup servers of this LAN")
    found = [each for each in await more() if each not in known]
    if not found:
        raise UnreachableError(
            f"{said}; no lookup server of this cluster announces itself on this LAN; {_REMEDY}"
        )
    try:
        return await ask(found)
    except UnreachableError as error:
        raise UnreachableError(f"{said}; {error}; {_REMEDY}") from error


def _fault(way: Way, error: UnreachableError) -> str:
    """What a way said, which names the web server's address itself where nobody listens."""
    return str(error) if way.role is Role.WS and way.address in str(error) else f"{way}: {error}"
