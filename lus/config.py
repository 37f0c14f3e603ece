"""The settings of a LUS, with their defaults: what ``config.toml`` may say."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rjs.log_file import LogSetting


class LusSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this lookup server. Restart it after a change."""

    listen: Annotated[
        str, msgspec.Meta(description="Address to listen on; empty: every address of this machine.")
    ] = ""
    port: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=65535, description="TCP port for compute servers; 0: any free one, which is announced."
        ),
    ] = 9001
    proxy: Annotated[
        str,
        msgspec.Meta(
            description='HTTP proxy by which the web server is reached, "http://host:port" or\n'
            '"http://user:password@host:port" (then let nobody else read this file); empty: none.'
        ),
    ] = ""
    interfaces: Annotated[
        list[str],
        msgspec.Meta(
            description="IP addresses of this machine on whose networks it announces itself and looks for\n"
            'compute servers; empty: all of them. ["127.0.0.1"] keeps everything on this machine.'
        ),
    ] = msgspec.field(default_factory=list)
    log: LogSetting = ""
