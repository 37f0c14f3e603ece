"""How the server of a folder reaches others, for commands that do it while that server does not run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rjs.cli.group import role_entry

if TYPE_CHECKING:
    from rjs.identity.names import Role


def reach_of(role: Role, folder: Path) -> dict[str, Any]:
    """By ``config.toml``: ``interfaces``, on whose networks it looks for others (a web server has no such setting),
    and the ``proxy`` to the web server, which a lookup server may have. Raises ConfigError."""
    from rjs.config import read_config
    from rjs.wire.proxy import read_proxy

    settings = read_config(role_entry(f"{role}.settings"), folder)
    interfaces, proxy = getattr(settings, "interfaces", ()), getattr(settings, "proxy", "")
    return {"interfaces": interfaces, "proxy": read_proxy(proxy)}
