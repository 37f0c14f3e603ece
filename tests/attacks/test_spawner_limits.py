"""Attack: a job takes more memory, time, output or disk than it was given, and hides it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from cs.spawner.client import Spawner
from cs.spawner.messages import Ended
from cs.spawner.testing import Workbench
from rjs.limits import MIB

_HOGS = {
    "alone": """
        block = bytearray(300 << 20); time.sleep(60)
        """,
    "in many children": """
        for _ in range(10):
            if os.fork() == 0: block = bytearray(30 << 20); time.sleep(60)
        time.sleep(60)
        """,
    "in a daemon": """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: block = bytearray(300 << 20); time.sleep(60)
            os._exit(0)
        time.sleep(60)
        """,
    "in a thread whose process looks dead": """
        import ctypes, threading
        def hog():
            time.sleep(0.3); block = bytearray(300 << 20); time.sleep(60)
        threading.Thread(target=hog).start()
        ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit the first thread alone
        """,
    "undumpable, so that nobody may look inside": """
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
        block = bytearray(300 << 20); time.sleep(60)
        """,
}


@pytest.mark.parametrize("hog", _HOGS.values(), ids=_HOGS.keys())
def test_memory_of_all_descendants_counts(workbench: Workbench, hog: str) -> None:
    """Wherever a job puts its memory, the sum is found and the attempt killed for it."""
    ended = workbench.run(workbench.python("\n        import os, time" + hog, memory=200 * MIB))
    assert ended.limit is not None, workbench.stderr.read_text()
    assert (ended.limit.name, ended.limit.allowed) == ("memory", 200 * MIB)
    assert ended.limit.measured > 200 * MIB
    assert ended.max_memory >= ended.limit.measured
    assert (ended.signal, ended.left) == (signal.SIGKILL, 0)


def test_memory_that_processes_share_counts_once(workbench: Workbench) -> None:
    """Forked workers on one large table are not killed for the sum of what each of them sees."""
    source = """
        import os, time
        table = bytearray(os.urandom(1 << 20)) * 120
        workers = []
        for _ in range(6):
            pid = os.fork()
            if pid == 0: sum(table[::4096]); time.sleep(0.6); os._exit(0)
            workers.append(pid)
        for pid in workers: os.waitpid(pid, 0)
        """
    ended = workbench.run(workbench.python(source, memory=250 * MIB))
    assert (ended.exit_status, ended.limit) == (0, None), workbench.stderr.read_text()
    assert 120 * MIB < ended.max_memory <= 250 * MIB


def test_wall_time_ends_a_spinning_job(workbench: Workbench) -> None:
    """It ends soon after its time, whatever it ignores."""
    source = """
        import signal
        for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
            try: signal.signal(number, signal.SIG_IGN)
            except OSError: pass
        while True: pass
        """
    ended = workbench.run(workbench.python(source, wall_time=0.7))
    assert ended.limit is not None
    assert ended.limit.name == "wall_time"
    assert 0.7 < ended.limit.measured < 5
    assert ended.cpu_seconds > 0.1


def test_a_job_that_ignores_sigterm_is_killed_after_the_grace(workbench: Workbench) -> None:
    """A stop ends everything when its grace is over, daemons included."""
    source = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0: os.setsid()
        open(f"ready{os.getpid() == os.getsid(0)}", "w").close()
        time.sleep(60)
        """

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.python(source)))
        await workbench.until((workbench.folder / "readyTrue").exists)
        spawner.stop(grace=0.3)
        return await running

    ended = workbench.drive(scenario)
    assert (ended.signal, ended.stopped, ended.left) == (signal.SIGKILL, True, 0)
    assert ended.wall_seconds >= 0.3


@pytest.mark.parametrize("stream", ["1", "2"])
def test_a_flood_of_output_is_stopped_and_cut(workbench: Workbench, stream: str) -> None:
    """Nobody has to read more than the cap, and the disk holds no more than the file limit at any time."""
    request = workbench.request("/bin/sh", "-c", f"yes flood >&{stream}", output=2 * MIB, file_size=64 * MIB)
    ended = workbench.run(request)
    assert ended.limit is not None
    assert ended.limit.name == "output"
    assert 2 * MIB < ended.limit.measured <= 64 * MIB
    assert Path(request.stdout if stream == "1" else request.stderr).stat().st_size == 2 * MIB


def test_output_over_the_cap_in_a_last_breath_is_cut(workbench: Workbench) -> None:
    """A job that printed too much and ended before anybody looked has hit the limit too."""
    ended = workbench.run(workbench.request("/bin/echo", "far too long", output=3))
    assert workbench.stdout.read_text() == "far"
    assert ended.limit is not None
    assert (ended.limit.name, ended.limit.measured) == ("output", len("far too long\n"))


def test_a_file_over_the_limit_kills_its_writer(workbench: Workbench) -> None:
    """The kernel stops the write itself; the attempt is reported as having hit the limit."""
    request = workbench.request(
        "/bin/sh", "-c", "exec dd if=/dev/zero of=big bs=1048576 count=100", file_size=5 * MIB
    )
    ended = workbench.run(request)
    assert ended.limit is not None, workbench.stderr.read_text()
    assert (ended.limit.name, ended.signal) == ("file_size", signal.SIGXFSZ)
    assert (workbench.folder / "big").stat().st_size <= 5 * MIB
