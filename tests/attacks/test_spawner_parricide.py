"""Attack: a job, which has the account of its server in this release, kills or stops its own parents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import cs
from cs.spawner import limits
from cs.spawner.client import Spawner, start_spawner
from cs.spawner.errors import SpawnerDiedError
from cs.spawner.testing import Workbench

LivingBelow = Callable[[int], list[int]]

_HIDE_THEN = """
    import os, signal, time
    spawner = os.getppid()
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(60)
            os._exit(0)
        os.wait()
    """


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGSEGV", "SIGUSR1"])
def test_a_dead_spawner_fails_the_attempt_and_leaves_nothing(
    workbench: Workbench, living_below: LivingBelow, number: str
) -> None:
    """The server learns of the death, kills what the spawner left, then says so; a new spawner works."""
    source = f"{_HIDE_THEN}\n    os.kill(spawner, signal.{number})\n    time.sleep(60)"

    async def scenario(spawner: Spawner) -> None:
        with pytest.raises(SpawnerDiedError):
            await spawner.run(workbench.python(source))
        assert living_below(os.getpid()) == []
        assert not spawner.alive

    workbench.drive(scenario)
    assert workbench.run(workbench.request("/bin/true")).exit_status == 0


def test_a_stopped_spawner_is_found_and_killed(
    workbench: Workbench, living_below: LivingBelow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spawner that gives no sign of life does not hang its attempt."""
    monkeypatch.setattr(limits, "SILENCE", 2)
    source = f"{_HIDE_THEN}\n    os.kill(spawner, signal.SIGSTOP)\n    time.sleep(60)"

    async def scenario(spawner: Spawner) -> None:
        with pytest.raises(SpawnerDiedError, match="silent"):
            await spawner.run(workbench.python(source))
        assert living_below(os.getpid()) == []

    workbench.drive(scenario)


def test_a_quiet_job_is_not_taken_for_a_dead_spawner(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beats keep an attempt alive that does nothing for longer than the allowed silence."""
    monkeypatch.setattr(limits, "SILENCE", 2)
    assert workbench.run(workbench.request("/bin/sleep", "3")).exit_status == 0


def test_the_death_of_one_spawner_spares_the_attempts_of_another(
    workbench: Workbench, living_below: LivingBelow
) -> None:
    """What belongs to a living spawner, or to the server itself, is no orphan."""
    own = subprocess.Popen(["/bin/sleep", "60"])
    other = start_spawner()
    try:
        source = f"{_HIDE_THEN}\n    os.kill(spawner, signal.SIGKILL)\n    time.sleep(60)"
        with pytest.raises(SpawnerDiedError):
            workbench.run(workbench.python(source))
        assert own.poll() is None
        assert sorted(living_below(os.getpid())) == sorted([own.pid, other.pid])
    finally:
        own.kill()
        own.wait()
        workbench.drive(lambda _: other.close())


def test_no_job_may_trace_the_spawner(workbench: Workbench) -> None:
    """Its memory and descriptors are closed even to its own account, unless that is root."""
    source = """
        import ctypes, os, sys
        if os.getuid() == 0: os.setgid(65534); os.setuid(65534)
        libc = ctypes.CDLL(None, use_errno=True)
        attached = libc.ptrace(16, os.getppid(), None, None)
        try: os.listdir(f"/proc/{os.getppid()}/fd")
        except PermissionError: sys.exit(0 if attached == -1 else 2)
        sys.exit(1)
        """
    assert workbench.run(workbench.python(source)).exit_status == 0


_SERVER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from cs.spawner.testing import Workbench
workbench = Workbench(Path(sys.argv[2]))
workbench.run(workbench.python(Path(sys.argv[3]).read_text()))
"""


_HOLD_THE_SOCKET = """
import os, socket, sys, time
real = socket.socketpair
def held_pair():
    pair = real()
    if (holder := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    open(sys.argv[2] + "/holder", "w").write(str(holder))
    return pair
socket.socketpair = held_pair
"""


@pytest.fixture
def server(workbench: Workbench, tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a server process with some code of its own; its job has hidden its daemons when this returns."""
    source = tmp_path / "source.py"
    source.write_text(textwrap.dedent(f"{_HIDE_THEN}\n    open('ready', 'w').close()\n    time.sleep(60)"))
    started = []

    def start(preamble: str) -> subprocess.Popen[bytes]:
        arguments = [str(Path(cs.__file__).parent.parent), str(tmp_path), str(source)]
        started.append(subprocess.Popen([sys.executable, "-c", preamble + _SERVER, *arguments]))
        _wait_until((tmp_path / "ready").exists)
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_the_death_of_the_server_ends_everything(
    server: Callable[[str], subprocess.Popen[bytes]], living_below: LivingBelow
) -> None:
    """kill -9 of the server: within seconds neither spawner nor job nor daemon is there."""
    process = server("")
    assert len(living_below(process.pid)) == 5
    process.kill()
    process.wait()
    _wait_until(lambda: not living_below(os.getpid()))


def test_the_death_of_a_server_whose_socket_is_held_open_ends_everything(
    server: Callable[[str], subprocess.Popen[bytes]], living_below: LivingBelow, tmp_path: Path
) -> None:
    """The same when another process has inherited the server's end, so that it never closes."""
    process = server(_HOLD_THE_SOCKET)
    holder = int((tmp_path / "holder").read_text())
    try:
        process.kill()
        process.wait()
        _wait_until(lambda: living_below(os.getpid()) == [holder])
    finally:
        os.kill(holder, signal.SIGKILL)
    _wait_until(lambda: not living_below(os.getpid()))


def _wait_until(condition: Callable[[], object], seconds: float = limits.SWEEP + 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.01)
