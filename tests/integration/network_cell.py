"""Runs a client in a network namespace with nothing but a loopback, beside the proxy that serves it.

    python network_cell.py '{"places": [...], "private": [...], "most": 1000}' curl -s http://data.example.org:8080/

The namespace and its listening socket are made as a sandbox makes them; the proxy is the compute server's own, and
dials from the namespace that this script was started in. Prints one JSON object: status, out, err, facts.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet import reactor as the_reactor
from twisted.internet.base import ReactorBase
from twisted.internet.threads import deferToThread

from cs.network_proxy import JobNetwork
from cs.network_proxy_clients import PROXY_HOST, PROXY_PORT, environment, java_options
from cs.network_proxy_desk import machine_now
from cs.network_proxy_rules import Reach
from rjs.descriptor.model import Permissions

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def enter(channel: socket.socket) -> None:
    """In the child: a namespace of its own, whose door goes out through ``channel``."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sH22x", b"lo", 0))
        fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))
    door = socket.create_server((PROXY_HOST, PROXY_PORT))
    socket.send_fds(channel, [b"d"], [door.fileno()])
    door.close()


def main(settings: dict[str, Any], command: list[str]) -> None:
    """Run the client to its end."""
    reactor = cast(ReactorBase, the_reactor)
    reach = Reach(frozenset(settings["places"]), frozenset(settings["private"]))
    prepared: Any = SimpleNamespace(
        walls=reach, descriptor=SimpleNamespace(permissions=Permissions(network=tuple(settings["places"])))
    )
    if command[0] == "java":
        command[1:1] = java_options(prepared)
    network = JobNetwork(reactor, "the client", settings["most"], lambda: reach, machine_now)
    ours, theirs = socket.socketpair()
    client = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment(prepared)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: enter(theirs),
    )
    network.listened(socket.recv_fds(ours, 1, 1)[1][0])
    ended = deferToThread(client.communicate, timeout=30)
    ended.addBoth(partial(tell, network, client))
    ended.addBoth(lambda _: reactor.stop())
    reactor.run()


def tell(network: JobNetwork, client: subprocess.Popen[str], said: Any) -> None:
    """What came of it."""
    network.end()
    out, err = said if isinstance(said, tuple) else ("", str(said))
    found = {"status": client.returncode, "out": out, "err": err, "facts": network.facts()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2:])
