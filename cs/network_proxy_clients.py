"""How a confined job's clients learn of its proxy: variables that most programs read, and Java's properties. Pure.

curl, wget, git, pip, and Python's ``urllib`` and ``requests`` read the variables; Java reads none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cs.prepared import Prepared

PROXY_HOST: Final = "127.0.0.1"
PROXY_PORT: Final = 3128
"""Where the proxy listens inside of a sandbox."""

_INSIDE: Final = ("localhost", "127.0.0.1", "[::1]")
"""The job's own loopback is reached directly, unless the owner's was granted under that name."""


def environment(prepared: Prepared) -> Mapping[str, str]:
    """What to add to the environment of an attempt; nothing for one without a proxy."""
    places = _places(prepared)
    if not places:
        return {}
    proxy = f"http://{PROXY_HOST}:{PROXY_PORT}"
    inside = ",".join(host.strip("[]") for host in _inside(places))
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    return {**dict.fromkeys(names, proxy), **dict.fromkeys(("no_proxy", "NO_PROXY"), inside)}


def java_options(prepared: Prepared) -> tuple[str, ...]:
    """The same for a Java virtual machine: options to put before the job's own."""
    places = _places(prepared)
    if not places:
        return ()
    return (
        *(
            f"-D{scheme}.proxy{what}"
            for scheme in ("http", "https")
            for what in (f"Host={PROXY_HOST}", f"Port={PROXY_PORT}")
        ),
        f"-Dhttp.nonProxyHosts={'|'.join(_inside(places))}",
    )


def _places(prepared: Prepared) -> tuple[str, ...]:
    """What it reaches through a proxy: all that it asked for, where it is confined."""
    return () if prepared.walls is None else prepared.descriptor.permissions.network


def _inside(places: Iterable[str]) -> list[str]:
    granted = {place.lower().rpartition(":")[0] for place in places}
    return [host for host in _INSIDE if host not in granted]
