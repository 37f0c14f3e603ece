"""The hello at the start of a session: what it says, whom it keeps out, and how far apart the two clocks are.

Pure: the session sends, receives and closes. What a hello says is checked against the certificate, which alone is
believed; the time in it is believed by nobody, and told to people.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any, Protocol

import attrs

from rjs import limits
from rjs.errors import RefusedError
from rjs.identity.names import Role
from rjs.identity.peers import PeerIdentity
from rjs.wire import messages as m


@attrs.frozen
class Self:
    """Who we are in our hellos. ``boot_count`` rises with every start of this server."""

    name: str
    cluster: str
    boot: str
    boot_count: int
    release: str

    def hello(self, dial: int, now: dt.datetime) -> m.Hello:
        """Our first frame, on the ``dial``-th connection that this process dialled (0: it was accepted)."""
        return m.Hello(
            protocol=limits.PROTOCOL,
            release=self.release,
            cluster=self.cluster,
            name=self.name,
            boot=self.boot,
            boot_count=self.boot_count,
            dial=dial,
            now=max(0.0, now.timestamp()),
        )


@attrs.frozen
class Clocks:
    """Two clocks at the moment when a hello came: what each said, and the seconds by which the peer's is ahead."""

    theirs: dt.datetime
    ours: dt.datetime
    ahead: float

    @property
    def disagree(self) -> bool:
        """Whether people should hear of it."""
        return abs(self.ahead) > limits.CLOCKS_APART

    def words(self) -> str:
        """What both said, when they disagree; else nothing."""
        if not self.disagree:
            return ""
        return (
            f"its clock said {self.theirs:%Y-%m-%d %H:%M:%S}Z when ours said {self.ours:%Y-%m-%d %H:%M:%S}Z: set the "
            f"one that is wrong"
        )


def clocks(hello: m.Hello, now: dt.datetime, travel: float) -> Clocks | None:
    """The two clocks when ``hello`` was received, ``travel`` seconds at most after it was written.

    The difference is the least that is possible. None for a peer that does not say the time, or none that there is.
    """
    if not hello.now:
        return None
    try:
        theirs = dt.datetime.fromtimestamp(hello.now, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    least = hello.now - now.timestamp()
    most = least + max(0.0, travel)
    return Clocks(theirs, now, least if least > 0 else min(0.0, most))


class Met(Protocol):
    """What clocks are read of: a session that was opened."""

    clocks: Clocks | None

    @property
    def peer(self) -> PeerIdentity:
        """Who is at the other end."""
        ...


def clock_facts(sessions: Iterable[Met], refused: str = "") -> dict[str, Any]:
    """What a server's status says of clocks: the seconds by which each peer's is ahead of ours, and in words what is
    wrong; ``refused`` is that of a peer that was not let in."""
    met = [(each.peer.common_name, each.clocks) for each in sessions if each.clocks is not None]
    wrong = [f"{name}: {clocks.words()}" for name, clocks in met if clocks.disagree]
    return {
        "ahead": {name: round(clocks.ahead, 1) for name, clocks in met},
        "trouble": "; ".join([*wrong, *([refused] if refused else [])]),
    }


def unwelcome(
    identity: PeerIdentity, hello: m.Hello, welcome: Collection[Role], me: Self, clocks: Clocks | None
) -> RefusedError | None:
    """Why whoever said ``hello`` is not let in, if so; the order of the checks is that of the protocol."""
    uri = identity.certified.uri()
    if identity.name.role is Role.EXPIRED and Role.EXPIRED not in welcome:
        until, apart = identity.chain[0].not_valid_after_utc, clocks and clocks.words()
        do = f"before that is renewed: {apart}" if apart else "renew it first"
        return RefusedError("certificate-expired", f"the certificate of {uri} expired at {until}: {do}")
    if identity.name.role not in welcome:
        served = ", ".join(sorted(welcome))
        return RefusedError("wrong-role", f"{uri} is not served at this door; it serves: {served}")
    if hello.name != uri:
        return RefusedError("wrong-name", f"the hello says {hello.name}, the certificate {uri}")
    if hello.cluster != me.cluster:
        return RefusedError("wrong-cluster", f"this is cluster {me.cluster}, not {hello.cluster}")
    if hello.protocol < limits.OLDEST_PROTOCOL:
        return RefusedError(
            "old-protocol",
            f"release {hello.release} speaks protocol {hello.protocol}, this release {me.release} "
            f"needs {limits.OLDEST_PROTOCOL}: upgrade the older side",
        )
    return None
