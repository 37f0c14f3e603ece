"""A cluster of the real servers on the machines of ``machines``: one WS, one LUS, three CSs, and a person's jobs.

``stretch`` makes what happens every second happen every ten minutes: a month is some thousands of heartbeats then,
not millions. What is measured in certificates' lives is left as it is.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from machines import (
    AuthorityProcess,
    DeafObserver,
    LanLink,
    Machine,
    PretendingSpawner,
    StorageHere,
    World,
)
from twisted.internet.defer import Deferred
from watchdog.observers.api import BaseObserver

import cs.limits
import lus.limits
import ws.limits
from cs.app import ComputeServer
from cs.config import CsSettings
from cs.linpack_values import LinpackRecord
from cs.sandbox_choice import Choice
from cs.spawner.client import Spawner
from cs.trust_store import TrustFolder, grant_for
from lus.app import LookupServer
from lus.config import LusSettings
from rjs import limits
from rjs.bundle.attributes import job_attributes
from rjs.bundle.sign import sign_jar
from rjs.client import join
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.state import StateFolder, sole_cluster
from ws.app import WebServer, init
from ws.config import WsSettings
from ws.watcher import Watcher

STRETCH = 600
"""How many times as long the periods are that are seconds in production."""

PERIODS = {
    limits: "HEARTBEAT SILENCE HANDOVER_QUIET LUS_LEASE LUS_RENEWAL CS_LEASE LEASE_LOOK DISCOVERY_RENEWAL DISK_LOOK",
    lus.limits: "TICK CONTACT_FORGOTTEN CONTACT_SILENT DOOR_LOOK SERVED_ELSEWHERE",
    cs.limits: "TRUST_LOOK OFFER_LOOK SERVED_LOOK LUS_FORGOTTEN LUS_FIRST LUS_OTHER",
    ws.limits: "TICK RESCAN ORDERS CLOCK_PATIENCE",
}
LOOKS = {limits: "RENEWAL_LOOK REVOCATIONS_REISSUE DIAL_BACKOFF_MOST"}
"""Already minutes (or hardly ever waited for): stretched by a tenth of that, and still short beside a certificate."""

HANDOVER_MOST = 4 * 3600.0
"""Stretched less, to stay below the eight hours that a certificate has left at a handover."""

MFLOPS = LinpackRecord(
    n=1, solves=1, median_mflops=1000.0, best_mflops=1000.0, spread=0.0, residual=0.1, all_cores_mflops=1000.0,
    used_by_others=0.0, date="", cores=1, cpu_model="", numpy_version="", python_version="", blas="",
)  # fmt: skip


def stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    """See above; where a module took a name out of its limits, there too."""
    for factor, periods in ((STRETCH, PERIODS), (STRETCH / 60, LOOKS)):
        for module, names in periods.items():
            for name in names.split():
                _replace(monkeypatch, module, name, factor * getattr(module, name))
    _replace(monkeypatch, limits, "HANDOVER_MOST", HANDOVER_MOST)


def _replace(monkeypatch: pytest.MonkeyPatch, limits_module: Any, name: str, value: float) -> None:
    monkeypatch.setattr(limits_module, name, value)
    if limits_module is not limits:
        return
    for module in tuple(sys.modules.values()):
        ours = getattr(module, "__name__", "").partition(".")[0] in ("rjs", "lus", "cs", "ws")
        if ours and name in vars(module):
            monkeypatch.setattr(module, name, value)


class MonthCluster:
    """The machines ``ws``, ``lus``, ``cs-1`` to ``cs-3`` of ``world`` with their servers in ``apps``, and Ada."""

    def __init__(self, folder: Path, world: World, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.folder = folder
        self.world = world
        self.random = Random(seed)
        self.machines: dict[str, Machine] = {}
        self.apps: dict[str, Any] = {}
        self.spawners: dict[str, PretendingSpawner] = {}
        self.submitted: dict[str, int] = {}
        self._states: list[Any] = []
        _put_in_place(monkeypatch)
        monkeypatch.chdir(folder)
        self.operator = OperatorFolder.create(folder / "ca", "Institute of Months", world.start)
        self._start_ws()
        self._start_lus()
        self.ada = self._join_person()
        for number in (1, 2, 3):
            self._start_cs(f"cs-{number}")

    def close(self) -> None:
        """Stop every server as its process would, and give the folders back."""
        for machine in self.machines.values():
            machine.awake = True
        stopped = [Deferred.fromCoroutine(app.stop()) for app in reversed(self.apps.values())]
        self.world.pass_until(self.world.now + limits.STOPPING)
        for state in self._states:
            state.__exit__(None, None, None)
        assert all(each.called for each in stopped), "a server does not stop"

    def status(self, name: str) -> dict[str, Any]:
        """What ``rjs status`` would print of this server."""
        return self.machines[name].document()

    def submit(self, hours: Sequence[float], days: float = 14.0) -> str:
        """Put a job of one task for each of ``hours`` into ``jobs/``: so long each takes. Its name."""
        name = f"job-{len(self.submitted)}"
        tasks = ", ".join(f'["{each}"]' for each in hours)
        toml = f'name = "{name}"\nruntime = "python"\nentry = "job.py"\ntasks = [{tasks}]\n'
        toml += '[needs]\nmemory = "16 MiB"\ndisk = "1 MiB"\nwall_time = "200 h"\n'
        now, out = self.world.start + timedelta(seconds=self.world.now), io.BytesIO()
        entries = [("job.toml", toml.encode(), False), ("job.py", b"", False)]
        attributes = job_attributes(
            name, self.random.randbytes(16), now - timedelta(minutes=1), now + timedelta(days=days)
        )
        sign_jar(out, entries, key=self.ada.key, chain=self.ada.chain, attributes=attributes)
        (self.folder / "ws" / "home" / "ada" / "jobs" / f"{name}.jar").write_bytes(out.getvalue())
        self.submitted[name] = len(hours)
        return name

    def began(self) -> list[str]:
        """Job and task of each attempt that a spawner was given, as ``JOB-TASK``."""
        return [attempt for spawner in self.spawners.values() for attempt in spawner.began]

    def answers(self) -> list[str]:
        """Job and task of each answer that Ada has, as ``JOB-TASK``."""
        answers = self.folder / "ws" / "home" / "ada" / "ans"
        return [f"{path.parent.name}-{path.stem}" for path in sorted(answers.glob("*/*.jar"))]

    # --- building -------------------------------------------------------------------------------------

    def _start_ws(self) -> None:
        machine = self.machines["ws"] = self.world.machine("ws")
        address = f"{machine.host}:{WsSettings().port}"
        init(self.folder / "ws", self.operator.path, name="ws", addresses=[address], wall=machine.wall)
        state = self._enter("ws")
        self._start("ws", WebServer(machine, state, WsSettings(), state.next_boot(), machine.wall))

    def _start_lus(self) -> None:
        machine, state = self._joined(Role.LUS, "lus")
        self._start("lus", LookupServer(machine, state, LusSettings(), state.next_boot(), machine.wall))

    def _start_cs(self, name: str) -> None:
        machine, state = self._joined(Role.CS, name)
        pem = (self._person / "signing.pem").read_text()
        TrustFolder(state.cluster()).add(grant_for(pem, now=machine.wall()))
        spawner = self.spawners[name] = PretendingSpawner(machine)
        settings = CsSettings(sandbox="none", unconfined="i accept")
        app = ComputeServer(
            machine, state, settings, state.next_boot(), cast(Spawner, spawner), MFLOPS, None,
            Choice(None), machine.wall,
        )  # fmt: skip
        self._start(name, app)

    def _start(self, name: str, app: Any) -> None:
        self.apps[name] = app
        self.world.do(app.start())

    def _joined(self, role: Role, name: str) -> tuple[Machine, StateFolder]:
        machine = self.machines[name] = self.world.machine(name)
        (self.folder / name).mkdir(mode=0o700)
        self._join(machine, role, name, self.folder / name)
        return machine, self._enter(name)

    def _enter(self, name: str) -> StateFolder:
        state = StateFolder.enter(self.folder / name)
        self._states.append(state)
        return state

    def _join(self, machine: Machine, role: Role, name: str, folder: Path) -> None:
        address = f"{self.machines['ws'].host}:{WsSettings().port}"
        invitation = self.operator.invite(role, name, ws=[address], now=machine.wall())
        self.world.do(join(machine, invitation, folder, wall=machine.wall))

    @property
    def _person(self) -> Path:
        return sole_cluster(self.folder / "ada") / "identity"

    def _join_person(self) -> Identity:
        (self.folder / "ada").mkdir(mode=0o700)
        self._join(self.machines["ws"], Role.USER, "ada", self.folder / "ada")
        request = (self._person / "signing-request.pem").read_bytes()
        save_chain(self._person / "signing.pem", self.operator.issue(request, self.world.start))
        return IdentityFolder(self._person).signing()


def _put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the servers have from outside, in the only places that name it."""
    for role in ("ws", "lus", "cs"):
        monkeypatch.setattr(f"{role}.app.serve_status", _keep_document)
    for role in ("lus", "cs"):
        monkeypatch.setattr(f"{role}.app.Link", LanLink)
    for role in ("ws", "cs"):
        monkeypatch.setattr(f"{role}.app.StorageThread", StorageHere)
    monkeypatch.setattr("ws.authority.child.AuthorityProcess", AuthorityProcess)
    monkeypatch.setattr("ws.app.Watcher", partial(Watcher, observer=cast(BaseObserver, DeafObserver())))


def _keep_document(reactor: Machine, folder: Path, document: Any) -> None:
    reactor.document = document
