"""The settings of a LUS, with their defaults: what ``config.toml`` may say."""

from __future__ import annotations

from typing import Annotated

import msgspec


class LusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this lookup server. Restart it after a change."""

    interfaces: Annotated[
        list[str],
        msgspec.Meta(
            description="IP addresses of this machine on whose networks compute servers are looked for;\n"
            'empty: all of them. ["127.0.0.1"] keeps everything on this machine.'
        ),
    ] = msgspec.field(default_factory=list)
