"""A whole cluster on this machine: separate processes with their own state folders, on loopback only.

The demo shows one, benchmarks measure one. Everything is made the way an operator makes it: an organisation
root, invitations, joining; only that one person plays all the parts.

    with LocalCluster(folder, workers=3) as cluster:
        await cluster.start(reactor)
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from cryptography import x509
from twisted.internet.base import ReactorBase

from rjs.background import sleep
from rjs.client import join
from rjs.config import write_config
from rjs.errors import RjsError, UnreachableError
from rjs.files import make_private_folder
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.limits import LOCAL_START, LOCAL_STOP
from rjs.roles import role_entry
from rjs.state import cluster_folder
from rjs.status import read_status

LOOPBACK = "127.0.0.1"
ACCOUNT = "demo"
_PR_SET_PDEATHSIG = 1


class LocalCluster:
    """A WS, a LUS and some CSs below ``folder``, and one person, ``demo``, whose key every CS trusts.

    ``settings`` are more of the CSs' ``config.toml``.
    """

    def __init__(
        self, folder: Path, workers: int, settings: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self.folder = folder
        self.workers = workers
        self._settings = dict(settings)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def jobs(self) -> Path:
        """Where the person's bundles go."""
        return self.folder / "ws" / "home" / ACCOUNT / "jobs"

    @property
    def answers(self) -> Path:
        """Where the person's answers come."""
        return self.folder / "ws" / "home" / ACCOUNT / "ans"

    @property
    def person(self) -> Path:
        """The person's own folder (``rjs --home``)."""
        return self.folder / "person"

    def root(self) -> x509.Certificate:
        """The organisation root that answers are verified against."""
        return OperatorFolder.open(self.folder / "ca").root

    def identity(self) -> IdentityFolder:
        """The person's keys."""
        operator = OperatorFolder.open(self.folder / "ca")
        return IdentityFolder(cluster_folder(self.person, operator.cluster) / "identity")

    def signer(self) -> Identity:
        """The person's signing key."""
        return self.identity().signing()

    async def start(self, reactor: ReactorBase) -> None:
        """Found, join and start everything; returns when every CS is registered. Raises RjsError."""
        make_private_folder(self.folder)
        now = dt.datetime.now(dt.UTC)
        operator = OperatorFolder.create(self.folder / "ca", "RJS demo", now)
        port = _free_port()
        address = f"{LOOPBACK}:{port}"
        role_entry("ws.init")(
            self.folder / "ws",
            operator.path,
            name="demo web server",
            addresses=[address],
            listen=LOOPBACK,
            port=port,
        )
        self._run("ws")
        await self._until(reactor, "ws", lambda _: True)
        here = {"interfaces": [LOOPBACK], "listen": LOOPBACK, "port": 0}
        await self._join(reactor, operator, Role.LUS, "lus", address, here)
        self._run("lus")
        for name in self.names():
            await self._join(reactor, operator, Role.CS, name, address, here | self._settings)
        await self._join_person(reactor, operator, address)
        for name in self.names():
            self._trust(name, operator)
            self._run(name)
        await self._until(reactor, "lus", lambda status: len(status["servers"]) == self.workers)

    def names(self) -> list[str]:
        """The CSs."""
        return [f"cs-{number}" for number in range(1, self.workers + 1)]

    def stop(self) -> None:
        """End every process, in the order in which they depend on each other; certain after LOCAL_STOP."""
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(LOCAL_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def check(self) -> None:
        """Raises RjsError with the end of its log when a server has ended."""
        for name, process in self._processes.items():
            status = process.poll()
            if status is not None:
                tail = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                raise RjsError(f"the process {name} ended with status {status}; the end of its log:\n{tail}")

    def pid(self, name: str) -> int:
        """The process of a server that runs."""
        return self._processes[name].pid

    def end(self, name: str, *, killed: bool = False) -> None:
        """End one server: told to, or ``killed``."""
        process = self._processes.pop(name)
        if killed:
            process.kill()
        else:
            process.terminate()
        process.wait(LOCAL_STOP)

    async def run_again(self, reactor: ReactorBase, name: str) -> None:
        """Start a server that was ended; returns when it serves. Raises RjsError."""
        self._run(name)
        await self._until(reactor, name, lambda _: True)

    # --- inner --------------------------------------------------------------------------------------

    def _run(self, name: str) -> None:
        role = name.partition("-")[0]
        argv = [sys.executable, "-P", "-m", "rjs", role, "run", str(self.folder / name)]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on, in order
                preexec_fn=_end_with_parent,
            )

    async def _join(
        self,
        reactor: ReactorBase,
        operator: OperatorFolder,
        role: Role,
        name: str,
        address: str,
        settings: dict[str, Any],
    ) -> None:
        folder = self.folder / name
        make_private_folder(folder)
        write_config(role_entry(f"{role}.settings"), folder, settings)
        invitation = operator.invite(role, name, ws=[address], now=dt.datetime.now(dt.UTC))
        await join(reactor, invitation, folder, interfaces=[LOOPBACK])

    async def _join_person(self, reactor: ReactorBase, operator: OperatorFolder, address: str) -> None:
        invitation = operator.invite(Role.USER, ACCOUNT, ws=[address], now=dt.datetime.now(dt.UTC))
        await join(reactor, invitation, self.person, interfaces=[LOOPBACK])
        identity = self.identity().path
        request = (identity / "signing-request.pem").read_bytes()
        save_chain(identity / "signing.pem", operator.issue(request, dt.datetime.now(dt.UTC)))

    def _trust(self, name: str, operator: OperatorFolder) -> None:
        pem = (self.identity().path / "signing.pem").read_text()
        grant = role_entry("cs.grant_for")(pem, now=dt.datetime.now(dt.UTC))
        role_entry("cs.trust_store")(cluster_folder(self.folder / name, operator.cluster)).add(grant)

    async def _until(self, reactor: ReactorBase, name: str, ready: Callable[[Any], bool]) -> None:
        deadline = reactor.seconds() + LOCAL_START
        while reactor.seconds() < deadline:
            self.check()
            with contextlib.suppress(UnreachableError):
                if ready(read_status(self.folder / name)):
                    return
            await sleep(reactor, 0.05)
        raise RjsError(f"the cluster was not ready within {LOCAL_START:.0f} s; its logs are in {self.folder}")


def _free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _end_with_parent() -> None:
    """A cluster of a killed demo must not live on: the kernel ends each server with us (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def place(bundle: Path, jobs: Path) -> None:
    """Put a bundle into ``jobs/`` as scp would: it appears under its name, whole or growing."""
    with bundle.open("rb") as source, (jobs / bundle.name).open("xb") as target:
        while chunk := source.read(65536):
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
