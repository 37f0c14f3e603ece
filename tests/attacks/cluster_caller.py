"""A stranger's client: calls a server with the key and chain in a folder, says one message, prints what came of it.

    python cluster_caller.py FOLDER NAME ROLE HOST PORT MESSAGE

``ROLE`` is the server's, ``MESSAGE`` a frame's content in hex. Prints the refusal, or ``accepted``.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

from twisted.internet.base import ReactorBase

from rjs.client import run_client
from rjs.errors import RjsError
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.keys import load_chain, load_private
from rjs.identity.names import Role
from rjs.identity.tls import client_context
from rjs.person_door import PersonDoor
from rjs.wire import messages as m
from rjs.wire.dial import dial
from rjs.wire.session import Self


async def call(
    reactor: ReactorBase, identity: Identity, name: str, role: Role, host: str, port: int, message: m.Message
) -> str:
    """What came of it."""
    me = Self(name, cluster_of(identity.root), uuid.uuid4().hex, 1, "0")
    door = PersonDoor(welcome=frozenset({role}))
    try:
        session = await dial(reactor, host, port, me, door, client_context(identity, role))
        await session.request(message, m.Done)
    except RjsError as error:
        return str(error)
    return "accepted"


def main() -> None:
    """As the module says."""
    folder, name, role, host, port, message = sys.argv[1:]
    identity = Identity(load_private(Path(folder, "caller.key")), load_chain(Path(folder, "caller.pem")))
    told = m.decode(bytes.fromhex(message))
    said = run_client(lambda reactor: call(reactor, identity, name, Role(role), host, int(port), told))
    sys.stdout.write(said)


if __name__ == "__main__":
    main()
