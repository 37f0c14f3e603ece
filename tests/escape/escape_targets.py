"""What lies around a cell for the taking, made by the account itself: but for the walls, a job reaches all of it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from escape_account import Account

from cs.workplace import remove_tree

_VICTIM = """
import ctypes, json, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
libc = ctypes.CDLL(None)
libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER_ANY, where Yama stands
secret = ctypes.create_string_buffer(b"the owner's secret")
key, queue, memory = int(sys.argv[1]), sys.argv[2].encode(), sys.argv[3]
made = [libc.shmget(key, 4096, 0o1600), libc.semget(key, 1, 0o1600), libc.msgget(key, 0o1600)]
queued = libc.mq_open(queue, os.O_CREAT | os.O_RDWR, 0o600, None)
open("/dev/shm/" + memory, "x").close()
print(json.dumps([ctypes.addressof(secret), *made, queued]), flush=True)
signal.sigwait({signal.SIGTERM})
libc.shmctl(made[0], 0, None), libc.semctl(made[1], 0, 0), libc.msgctl(made[2], 0, None)
libc.mq_unlink(queue)
os.unlink("/dev/shm/" + memory)
"""


@contextmanager
def targets(account: Account) -> Iterator[dict[str, Any]]:
    """Everything that ``probes/reach.py`` reaches for, as what it is told. All is gone afterwards."""
    with ExitStack() as held:
        yield {
            "folder": str(account.folder / "home"),
            "secrets": held.enter_context(secrets(account)),
            **held.enter_context(_victim(account)),
            **held.enter_context(_listeners(account)),
        }


@contextmanager
def secrets(account: Account) -> Iterator[dict[str, str]]:
    """Files of the account: its own, its server's keys and state, another bundle's attempt at this moment."""
    places = {
        "the home": "home/.ssh/id_ed25519",
        "the token key": "home/rjs/cs/keys/token.pem",
        "the state": "home/rjs/cs/state.sqlite",
        "another bundle": "work/other/task/job/secret",
    }
    with account.acting():
        for name in places.values():
            path = account.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("the owner's secret")
            path.chmod(0o600)
    yield {what: str(account.folder / name) for what, name in places.items()}
    with account.acting():
        remove_tree(account.folder / "home")


@contextmanager
def _victim(account: Account) -> Iterator[dict[str, Any]]:
    """A process of the account with a secret in its memory, and what it made in the kernel."""
    key, queue, memory = (
        0x524A5300 + os.getpid() % 256,
        f"/rjs-escape-{os.getpid()}",
        f"rjs-escape-{os.getpid()}",
    )
    process = account.start("-c", _VICTIM, str(key), queue, memory)
    assert process.stdout is not None
    try:
        address, *made = json.loads(process.stdout.readline())
        assert -1 not in made, made
        yield {"victim": process.pid, "address": address, "key": key, "queue": queue, "memory": memory}
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@contextmanager
def _listeners(account: Account) -> Iterator[dict[str, Any]]:
    """One of each kind that has an address; anybody may connect."""
    abstract = f"rjs-escape-{os.getpid()}"
    paths = [account.folder / "home" / "listener", Path("/tmp") / f"rjs-escape-{os.getpid()}.sock"]
    addresses: list[tuple[int, Any]] = [
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_INET6, ("::1", 0)),
        (socket.AF_UNIX, "\0" + abstract),
        *((socket.AF_UNIX, str(path)) for path in paths),
    ]
    with ExitStack() as held:
        made = []
        for family, address in addresses:
            made.append(held.enter_context(socket.socket(family, socket.SOCK_STREAM)))
            made[-1].bind(address)
            made[-1].listen()
        for path in paths:
            held.callback(path.unlink)
            path.chmod(0o777)
        ports = [each.getsockname()[1] for each in made[:2]]
        yield {
            "port": ports[0],
            "port6": ports[1],
            "abstract": abstract,
            "path": str(paths[0]),
            "tmp path": str(paths[1]),
        }
