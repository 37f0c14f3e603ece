"""Attack: kill -9, or stop, whoever stands around a task, at any moment: nothing goes on running, nothing hangs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from twisted.internet.defer import Deferred

from cs.spawner.client import Spawner
from cs.spawner.errors import NotStartedError, SpawnerDiedError
from cs.spawner.messages import Ended
from cs.spawner.testing import Workbench

LivingBelow = Callable[[int], list[int]]

_HIDES = """
    import os, signal, time
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open("ready", "w").close()
    time.sleep(60)
    """


@pytest.mark.parametrize("way", ["own", "bubblewrap"])
def test_a_dead_spawner_leaves_no_cell(workbench: Workbench, living_below: LivingBelow, way: str) -> None:
    """Neither the busy one nor an idle one, nor the zygote."""
    sandbox, idle = workbench.sandbox(way=way), workbench.sandbox(way=way, key="idle")

    async def scenario(spawner: Spawner) -> None:
        assert (await spawner.run(workbench.script("pass", sandbox=idle))).exit_status == 0
        running = Deferred.fromCoroutine(spawner.run(workbench.script(_HIDES, sandbox=sandbox)))
        await workbench.until((workbench.work / "ready").exists)
        os.kill(spawner.pid, signal.SIGKILL)
        with pytest.raises(SpawnerDiedError):
            await running
        assert living_below(os.getpid()) == []

    workbench.drive(scenario)


@pytest.mark.parametrize("way", ["own", "bubblewrap"])
def test_a_dead_warden_ends_its_attempt(workbench: Workbench, living_below: LivingBelow, way: str) -> None:
    """With all that is in the cell; the next attempt has another one."""
    sandbox = workbench.sandbox(way=way)

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.script(_HIDES, sandbox=sandbox)))
        await workbench.until(lambda: spawner.started is not None and (workbench.work / "ready").exists())
        assert spawner.started is not None
        os.kill(spawner.started.pid, signal.SIGKILL)
        ended = await running
        assert len(living_below(spawner.pid)) == (1 if way == "own" else 0)
        assert (await spawner.run(workbench.script("pass", sandbox=sandbox))).exit_status == 0
        return ended

    ended = workbench.drive(scenario)
    assert (ended.exit_status, ended.signal, ended.limit) == (None, signal.SIGKILL, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_zygote_is_replaced(workbench: Workbench, living_below: LivingBelow, number: int) -> None:
    """Killed: at once. Stopped: one attempt fails within seconds, and the next has a new one; cells live on."""

    async def scenario(spawner: Spawner) -> list[int]:
        first = workbench.sandbox()
        assert (await spawner.run(workbench.script("pass", sandbox=first))).exit_status == 0
        os.kill(_zygote(spawner), number)
        assert (await spawner.run(workbench.script("pass", sandbox=first))).exit_status == 0
        another = workbench.sandbox(key="another")
        if number == signal.SIGSTOP:
            with pytest.raises(NotStartedError, match="seconds") as caught:
                await spawner.run(workbench.script("pass", sandbox=another))
            assert caught.value.code == "spawner.sandbox"
        assert (await spawner.run(workbench.script("pass", sandbox=another))).exit_status == 0
        return living_below(spawner.pid)

    assert len(workbench.drive(scenario)) == 3


def test_a_stopped_warden_is_found_and_killed(workbench: Workbench, living_below: LivingBelow) -> None:
    """An idle cell that does not answer fails one attempt, by name and within seconds; the next has another."""

    async def scenario(spawner: Spawner) -> None:
        assert (await spawner.run(workbench.script("pass"))).exit_status == 0
        (warden,) = set(living_below(spawner.pid)) - {_zygote(spawner)}
        os.kill(warden, signal.SIGSTOP)
        with pytest.raises(NotStartedError, match="did not answer"):
            await spawner.run(workbench.script("pass"))
        assert warden not in living_below(spawner.pid)
        assert (await spawner.run(workbench.script("pass"))).exit_status == 0

    workbench.drive(scenario)


def test_a_warden_that_is_stopped_over_a_task_does_not_outlast_its_limit(workbench: Workbench) -> None:
    """Who cannot report the end of a task is killed when the task's time is over."""

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(
            spawner.run(
                workbench.script("open('ready', 'w').close()\nimport time\ntime.sleep(0.2)", wall_time=1.5)
            )
        )
        await workbench.until(lambda: spawner.started is not None and (workbench.work / "ready").exists())
        assert spawner.started is not None
        os.kill(spawner.started.pid, signal.SIGSTOP)
        return await running

    ended = workbench.drive(scenario)
    assert ended.limit is not None
    assert (ended.limit.name, ended.left) == ("wall_time", 0)


@pytest.mark.parametrize("whom", ["zygote", "warden", "spawner"])
def test_kills_at_any_moment(workbench: Workbench, living_below: LivingBelow, whom: str) -> None:
    """While cells are made and tasks run: each attempt comes to some end, and then nothing is left."""
    stop = threading.Event()
    targets = {"zygote": _zygote, "warden": _warden, "spawner": lambda spawner: spawner.pid}
    target: Callable[[Spawner], int] = targets[whom]

    def shoot(spawner: Spawner) -> None:
        while not stop.wait(0.013):
            with suppress(psutil.NoSuchProcess, ProcessLookupError, IndexError):
                os.kill(target(spawner), signal.SIGKILL)

    async def scenario(spawner: Spawner) -> int:
        ends = 0
        await spawner.run(workbench.script("pass"))
        shooter = threading.Thread(target=shoot, args=(spawner,))
        shooter.start()
        try:
            for number in range(40):
                request = workbench.script(
                    "import os; os.fork()", sandbox=workbench.sandbox(fresh=number % 2 == 0)
                )
                with suppress(NotStartedError, SpawnerDiedError):
                    await spawner.run(request)
                ends += 1
        finally:
            stop.set()
            shooter.join()
        if whom == "spawner":
            assert living_below(os.getpid()) == []
        else:
            last = workbench.script("pass", sandbox=workbench.sandbox(key="last"))
            assert (await spawner.run(last)).exit_status == 0
        return ends

    assert workbench.drive(scenario) == 40


def _warden(spawner: Spawner) -> int:
    """The number of the spawner's latest child that is no zygote. Raises IndexError."""
    zygote = _zygote(spawner)
    return [each.pid for each in psutil.Process(spawner.pid).children() if each.pid != zygote][-1]


def _zygote(spawner: Spawner) -> int:
    """The number of the spawner's only child in our own pid namespace. Raises ProcessLookupError."""
    for child in psutil.Process(spawner.pid).children():
        with suppress(OSError):
            if Path(f"/proc/{child.pid}/ns/pid").samefile("/proc/self/ns/pid"):
                return child.pid
    raise ProcessLookupError("there is no zygote")
