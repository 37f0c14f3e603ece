"""The settings of a WS, with their defaults: what ``config.toml`` may say."""

from __future__ import annotations

from typing import Annotated

import msgspec

from rjs.limits import JOB_TOKEN_LIFETIME
from rjs.log_file import LogSetting
from ws.authority.limits import LONGEST_LIFETIME, SHORTEST_JOB_LIFETIME, SHORTEST_LIFETIME

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class WsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this web server. Restart it after a change."""

    listen: Annotated[
        str, msgspec.Meta(description="Address to listen on; empty: every address of this machine.")
    ] = ""
    port: Annotated[
        Port, msgspec.Meta(description="TCP port for LUSs, people, admins and invitations; 0: any free one.")
    ] = 9000
    token_lifetime: Annotated[
        int,
        msgspec.Meta(
            ge=SHORTEST_LIFETIME,
            le=LONGEST_LIFETIME,
            description="Seconds that members' certificates live; they renew themselves at two thirds of that.",
        ),
    ] = LONGEST_LIFETIME
    job_token_lifetime: Annotated[
        int,
        msgspec.Meta(
            ge=SHORTEST_JOB_LIFETIME,
            le=JOB_TOKEN_LIFETIME,
            description="Seconds that job tokens live, never longer than token_lifetime; they renew themselves too.",
        ),
    ] = JOB_TOKEN_LIFETIME
    authority_user: Annotated[
        str,
        msgspec.Meta(
            description="Account for the process that holds the key of the token authority, if root starts this "
            "server; empty: this server's own."
        ),
    ] = ""
    homes: Annotated[
        str, msgspec.Meta(description="Folder with the users' homes; relative to this state folder.")
    ] = "home"
    log: LogSetting = ""
