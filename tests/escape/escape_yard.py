"""Where hostile jobs run for real: a spawner of an ordinary account, and attempts at the scripts in ``probes/``.

The same script runs *inside* a cell, by one of the two ways, and *outside*, as the same account without a sandbox:
what it can do there shows that it is the walls that keep it from doing so inside.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import attrs
from escape_account import SYSTEM_PYTHON, Account

from cs.spawner.messages import (
    Ended,
    Failed,
    Inbox,
    Limits,
    Report,
    Run,
    Sandbox,
    Script,
    Started,
    Stop,
    Wall,
    frame,
)
from cs.workplace import Workplace, remove_tree
from rjs.attempts import AttemptId, Fence
from rjs.limits import MIB

Way = Literal["own", "bubblewrap"]
WAYS: tuple[Way, ...] = ("own", "bubblewrap")
PATIENCE = 30.0
"""Seconds until an attempt that should have come to an end is a failure of the test."""

_BOOT = "import sys; from cs.spawner.main import main; sys.exit(main(sys.argv[1:]))"


class Spawner:
    """A spawner process of the account, and our end of its socket."""

    def __init__(self, account: Account) -> None:
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(PATIENCE)
        self._inbox = Inbox()
        self._reports: list[Report] = []
        with theirs:
            numbers = str(theirs.fileno()), str(os.getpid())
            self.process = account.start("-c", _BOOT, *numbers, pass_fds=(theirs.fileno(),))

    def start(self, request: Run) -> Started:
        """Send the request, which must be accepted."""
        self._socket.sendall(frame(request))
        first = self._first(Started, Failed)
        assert isinstance(first, Started), first
        return first

    def wait(self) -> Ended:
        """How the attempt that was started ends."""
        ended = self._first(Ended)
        assert isinstance(ended, Ended)
        return ended

    def run(self, request: Run) -> Ended:
        """How an attempt ends, which must have started."""
        self.start(request)
        return self.wait()

    def stop(self, grace: float) -> None:
        """Ask for the end of what runs."""
        self._socket.sendall(frame(Stop(grace)))

    def _first(self, *kinds: type[Report]) -> Report:
        """The next report of one of ``kinds``. Raises TimeoutError, or EOFError when the spawner is gone."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            while self._reports:
                report = self._reports.pop(0)
                if type(report) in kinds:
                    return report
            if not (data := self._socket.recv(65536)):
                raise EOFError("the spawner is gone")
            self._reports += self._inbox.reports(data)
        raise TimeoutError(f"none of {kinds} came")

    def close(self) -> None:
        """Let it go, as a server that ends does; it has ended when this returns."""
        self._socket.close()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()


@attrs.frozen
class Outcome:
    """How an attempt ended, what its script told (``probing.tell``), and what it left."""

    ended: Ended
    told: dict[str, Any]
    place: Workplace

    @property
    def stderr(self) -> str:
        """What it complained."""
        return self.place.stderr.read_text(errors="replace")


class Yard:
    """Attempts of one account: their folders as a compute server makes them, and what the account has besides."""

    def __init__(self, account: Account, probes: Path, binds: tuple[Wall, ...]) -> None:
        """``probes`` is what the job folder of each attempt holds, ``binds`` what every cell has of the machine."""
        self.account = account
        self.work = account.folder / "work"
        self._probes = probes
        self._binds = binds
        self._count = 0

    def place(self, bundle: str = "bundle") -> Workplace:
        """A new attempt's folder, as a compute server makes it; the bundle's earlier one is emptied for it."""
        self._count += 1
        with self.account.acting():
            self.work.mkdir(mode=0o700, exist_ok=True)
            place = Workplace(self.work, AttemptId(bundle, self._count, Fence(1, self._count, 1)))
            place.create()
            shutil.copytree(self._probes, place.job)
            place.add_answer_folders(java=False)
        return place

    def clear(self) -> None:
        """Remove all attempts, whatever they left."""
        with self.account.acting():
            remove_tree(self.work)

    def inside(self, way: Way, place: Workplace, script: str, *arguments: str, **allowed: Any) -> Run:
        """An attempt at ``script`` in a cell of the bundle that the place belongs to."""
        sandbox = Sandbox(
            key=place.path.name,
            binds=(*self._binds, Wall(str(place.task), "/work", True)),
            tmp_bytes=allowed.pop("tmp_bytes", 64 * MIB),
            way=way,
            fresh=allowed.pop("fresh", False),
        )
        return Run(
            (),
            "/work/job",
            _environment("/work/job"),
            str(place.stdout),
            str(place.stderr),
            _limits(**allowed),
            sandbox=sandbox,
            script=Script(f"/work/job/{script}", arguments),
            sweep=str(place.task),
        )

    def outside(self, place: Workplace, script: str, *arguments: str, **allowed: Any) -> Run:
        """The same without a sandbox."""
        argv = (str(SYSTEM_PYTHON), "-s", "-S", "-B", str(place.job / script), *arguments)
        return Run(
            argv,
            str(place.job),
            _environment(str(place.job)),
            str(place.stdout),
            str(place.stderr),
            _limits(**allowed),
        )

    @contextmanager
    def spawner(self) -> Iterator[Spawner]:
        """A spawner, closed at the end."""
        spawner = Spawner(self.account)
        try:
            yield spawner
        finally:
            spawner.close()


def outcome(ended: Ended, place: Workplace) -> Outcome:
    """With what the script told on its stdout."""
    lines = place.stdout.read_text(errors="replace").splitlines()
    return Outcome(ended, dict(json.loads(line) for line in lines if line.startswith("[")), place)


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Look every few milliseconds until it holds, which must be soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.005)


def _limits(**allowed: Any) -> Limits:
    return Limits(**{"memory": 400 * MIB, "wall_time": 20.0, **allowed})


def _environment(home: str) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8"}
