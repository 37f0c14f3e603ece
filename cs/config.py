"""The settings of a CS, with their defaults: what ``config.toml`` may say."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from cs import limits
from rjs.limits import LUS_ADDRESSES, MIB
from rjs.log_file import LogSetting

ACCEPTED = "i accept"


class CsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of this compute server. Restart it after a change."""

    unconfined: Annotated[
        Literal["", "i accept"],
        msgspec.Meta(
            description="Where jobs cannot be confined, the server does not start: a job of a signer whom you trust\n"
            'could read and change your files. Set "i accept" to compute all the same. What can be confined is.'
        ),
    ] = ""
    sandbox: Annotated[
        Literal["auto", "own", "bubblewrap", "none"],
        msgspec.Meta(
            description='How jobs are confined. "auto": the first way that holds on this machine; "own": by our own\n'
            'system calls; "bubblewrap": by that program. "none": not at all, which unconfined has to accept.'
        ),
    ] = "auto"
    listen: Annotated[
        str, msgspec.Meta(description="Address to listen on; empty: every address of this machine.")
    ] = ""
    port: Annotated[
        int,
        msgspec.Meta(ge=0, le=65535, description="TCP port for LUSs; 0: any free one, which is announced."),
    ] = 9002
    interfaces: Annotated[
        list[str],
        msgspec.Meta(
            description="IP addresses of this machine on whose networks it announces itself; empty: all of them.\n"
            '["127.0.0.1"] keeps everything on this machine.'
        ),
    ] = msgspec.field(default_factory=list)
    lus: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"^.+:[0-9]{1,5}\Z", max_length=262)]],
        msgspec.Meta(
            max_length=LUS_ADDRESSES,
            description="HOST:PORT of lookup servers to dial beside those that announce themselves here: for\n"
            "networks that keep multicast from this machine.",
        ),
    ] = msgspec.field(default_factory=list)
    memory: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="MiB that one task may use at most; 0: half of this machine's memory."
        ),
    ] = 0
    java: Annotated[
        str,
        msgspec.Meta(
            description="Program or folder of the Java for Java jobs; empty: the one of JAVA_HOME or PATH;\n"
            '"none": Java jobs do not run here.'
        ),
    ] = ""
    cores: Annotated[
        int,
        msgspec.Meta(
            ge=0, le=limits.CORES, description="Processor threads offered to one task; 0: all that there are."
        ),
    ] = 0
    disk: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="MiB of disk that one task may use at most, as far as they are free when it starts; 0: half\n"
            "of what is free then.",
        ),
    ] = 0
    wall_time: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="Seconds by the clock that one task may take at most; 0: what it states."
        ),
    ] = 0
    cpu_time: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="Seconds of processor time that one task may take at most; 0: what it states."
        ),
    ] = 0
    processes: Annotated[
        int, msgspec.Meta(ge=0, description="Processes that one task may have at once; 0: what it states.")
    ] = 0
    descriptors: Annotated[
        int,
        msgspec.Meta(
            ge=0, description="Open files that each process of a task may have at most; 0: what it states."
        ),
    ] = 0
    files: Annotated[
        int,
        msgspec.Meta(ge=0, description="Files that one task may have on disk at most; 0: what it states."),
    ] = 0
    network: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="MiB that one task may send and receive, both together, at the places that you granted its\n"
            "signer. 0: nothing, whatever you granted.",
        ),
    ] = limits.NETWORK_BYTES // MIB
    cache: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            description="MiB of jobs' files kept on disk for their next tasks; those in use are never removed, and\n"
            "a job of which more is needed is refused.",
        ),
    ] = limits.CACHE // MIB
    grace: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            le=limits.GRACE_MOST,
            description="Seconds that a task has to write its checkpoint and end when it has to leave this machine:\n"
            "its signer is trusted no more, or the server stops. Then it is killed.",
        ),
    ] = limits.GRACE
    log: LogSetting = ""
