"""The settings of a WS, with their defaults: what ``config.toml`` may say."""

from __future__ import annotations

from typing import Annotated

import msgspec

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class WsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this web server. Restart it after a change."""

    listen: Annotated[
        str, msgspec.Meta(description="Address to listen on; empty: every address of this machine.")
    ] = ""
    port: Annotated[
        Port, msgspec.Meta(description="TCP port for LUSs, people, admins and invitations; 0: any free one.")
    ] = 9000
    homes: Annotated[
        str, msgspec.Meta(description="Folder with the users' homes; relative to this state folder.")
    ] = "home"
