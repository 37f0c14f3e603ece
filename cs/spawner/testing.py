"""For tests and measurements: attempts in a folder, each scenario with a real spawner in a reactor of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure

from cs.runtimes.python import python_argv
from cs.sandbox.boot import base_python
from cs.sandbox.system import system_binds
from cs.spawner.client import Spawner, start_spawner
from cs.spawner.messages import Ended, Limits, Run, Sandbox, Script, Wall
from rjs.background import sleep
from rjs.limits import MIB

T = TypeVar("T")

SCENARIO = 60.0
"""Seconds until a scenario is given up."""


class Workbench:
    """A folder for attempts, and for each ``drive`` a real spawner in a real reactor of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self._count = 0
        self.reactor: SelectReactor | None = None

    @property
    def stdout(self) -> Path:
        """What the latest request prints."""
        return self.folder / f"stdout.{self._count}"

    @property
    def stderr(self) -> Path:
        """What the latest request complains."""
        return self.folder / f"stderr.{self._count}"

    def request(self, *argv: str, **limits: Any) -> Run:
        """An attempt at ``argv`` in the folder, with 400 MiB and 30 s unless ``limits`` say otherwise."""
        self._count += 1
        allowed = Limits(**{"memory": 400 * MIB, "wall_time": 30.0, **limits})
        environment = {"PATH": "/usr/bin:/bin"}
        return Run(argv, str(self.folder), environment, str(self.stdout), str(self.stderr), allowed)

    def python(self, source: str, *args: str, **limits: Any) -> Run:
        """An attempt at a Python job."""
        entry = self.folder / f"job{self._count}.py"
        entry.write_text(textwrap.dedent(source))
        return self.request(*python_argv(entry, args), **limits)

    def sandbox(self, **fields: Any) -> Sandbox:
        """A cell of this machine's system in which ``work``, a folder of ours, is at /work."""
        self.work.mkdir(exist_ok=True)
        system = (Wall(*bind) for bind in system_binds(base_python()))
        given = {"key": "a", "binds": (*system, Wall(str(self.work), "/work", True)), "tmp_bytes": 64 * MIB}
        return Sandbox(**{**given, **fields})

    def confined(self, *argv: str, sandbox: Sandbox | None = None, **limits: Any) -> Run:
        """An attempt at ``argv`` in a cell."""
        request = self.request(*argv, **limits)
        sandbox = sandbox or self.sandbox()
        return msgspec.structs.replace(request, cwd="/work", sandbox=sandbox, sweep=str(self.work))

    def script(self, source: str, *args: str, sandbox: Sandbox | None = None, **limits: Any) -> Run:
        """An attempt at a Python job in a cell."""
        request = self.confined("unused", sandbox=sandbox, **limits)
        entry = self.work / f"job{self._count}.py"
        entry.write_text(textwrap.dedent(source))
        return msgspec.structs.replace(request, argv=(), script=Script(f"/work/{entry.name}", args))

    def run(self, request: Run) -> Ended:
        """How one attempt ends."""
        return self.drive(lambda spawner: spawner.run(request))

    def drive(
        self, scenario: Callable[[Spawner], Coroutine[Deferred[Any], Any, T]], seconds: float = SCENARIO
    ) -> T:
        """The result of ``scenario`` with a fresh spawner, which is closed afterwards. Ends within ``seconds``."""
        reactor = self.reactor = SelectReactor()
        spawner = start_spawner()
        outcome: list[T | Failure] = []

        async def play() -> None:
            spawner.attach(reactor)
            try:
                result = await scenario(spawner)
            finally:
                await spawner.close()
            outcome.append(result)

        def started() -> None:
            played = Deferred.fromCoroutine(play())
            reactor.callLater(seconds, played.cancel)
            played.addErrback(outcome.append)
            played.addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(started)
        reactor.run(installSignalHandlers=False)
        if isinstance(outcome[0], Failure):
            outcome[0].raiseException()
        return outcome[0]

    async def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Return when ``condition`` holds, looking every few milliseconds. Raises TimeoutError."""
        assert self.reactor is not None
        deadline = self.reactor.seconds() + seconds
        while not condition():
            if self.reactor.seconds() > deadline:
                raise TimeoutError(f"not within {seconds} seconds")
            await sleep(self.reactor, 0.005)
