"""Attack: a job in a cell that uses more than it may; whatever it is, the attempt ends with its name."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from cs.spawner.messages import Ended, LimitName
from cs.spawner.testing import Workbench
from rjs.limits import MIB

_EXCESSES: dict[str, tuple[LimitName, dict[str, Any], str]] = {
    "memory of one process": (
        "memory",
        {"memory": 100 * MIB},
        "block = b'x' * (200 << 20); import time; time.sleep(60)",
    ),
    "memory of many": (
        "memory",
        {"memory": 100 * MIB},
        """
        import os, time
        for _ in range(8):
            if os.fork() == 0: break
        block = b"x" * (20 << 20); time.sleep(60)
        """,
    ),
    "files in memory": (
        "memory",
        {"memory": 30 * MIB},
        "open('/dev/shm/big', 'wb').write(b'x' * (60 << 20)); import time; time.sleep(60)",
    ),
    "files in memory, deleted but open": (
        "memory",
        {"memory": 30 * MIB},
        """
        import os, time
        file = open("/tmp/big", "wb"); os.unlink("/tmp/big")
        file.write(b"x" * (60 << 20)); file.flush(); time.sleep(60)
        """,
    ),
    "time": ("wall_time", {"wall_time": 0.5}, "import time; time.sleep(60)"),
    "processors": (
        "cpu_time",
        {"cpu_time": 1.0},
        """
        import os
        for _ in range(2): os.fork()
        while True: pass
        """,
    ),
    "processors, by short processes": (
        "cpu_time",
        {"cpu_time": 1.0},
        """
        import os
        while True:
            if os.fork() == 0:
                for _ in range(10**6): pass
                os._exit(0)
            os.wait()
        """,
    ),
    "processes": (
        "processes",
        {"processes": 20},
        """
        import os, time
        while True:
            try:
                if os.fork() == 0: os.setsid()
            except OSError: pass
        """,
    ),
    "disk": (
        "disk",
        {"disk": 5 * MIB},
        """
        import time
        for number in range(10): open(str(number), "wb").write(b"x" * (1 << 20))
        time.sleep(60)
        """,
    ),
    "files": (
        "files",
        {"files": 500},
        """
        import os, time
        for number in range(1000): os.mkdir(str(number))
        time.sleep(60)
        """,
    ),
    "depth": (
        "files",
        {"files": 5000},
        """
        import os, time
        for number in range(150): os.mkdir("d"); os.chdir("d")
        time.sleep(60)
        """,
    ),
    "closed folders": (
        "files",
        {"files": 5000},
        """
        import os, time
        os.mkdir("d"); open("d/big", "w").write("x" * (1 << 20)); os.chmod("d", 0)
        time.sleep(60)
        """,
    ),
    "output": ("output", {"output": 1 * MIB}, "while True: print('x' * 1000)"),
}


@pytest.mark.parametrize("what", _EXCESSES)
def test_an_excess_ends_the_attempt_with_its_name(workbench: Workbench, what: str) -> None:
    """The limit is named with what was allowed and what was measured, nothing is left, and the next attempt runs."""
    name, limits, source = _EXCESSES[what]
    if what == "closed folders" and _reads_everything():
        pytest.skip("root reads closed folders: there is nothing to hide in")
    ended = workbench.run(workbench.script(source, **limits))
    assert ended.limit is not None, workbench.stderr.read_text()
    assert ended.limit.name == name
    assert ended.limit.measured > ended.limit.allowed == pytest.approx(limits[name])
    assert (ended.signal, ended.left) == (signal.SIGKILL, 0)
    assert ended.wall_seconds < 20


def _reads_everything() -> bool:
    return os.geteuid() == 0


def _ended(workbench: Workbench, *argv: str, **limits: Any) -> Ended:
    return workbench.run(workbench.confined(*argv, **limits))


def test_the_kernels_own_limits_are_named_too(workbench: Workbench) -> None:
    """A program that dies of its processor time, or of a file's size, in a moment in which nobody looked."""
    spins = _ended(workbench, "/bin/sh", "-c", "ulimit -S -t 1; while :; do :; done", cpu_time=30.0)
    assert (spins.signal, spins.limit and spins.limit.name) == (signal.SIGXCPU, "cpu_time")
    writes = _ended(
        workbench, "/bin/dd", "if=/dev/zero", "of=/work/big", "bs=1M", "count=8", file_size=5 * MIB
    )
    assert (writes.signal, writes.limit and writes.limit.name) == (signal.SIGXFSZ, "file_size")


def test_what_is_mapped_from_memory_counts_once(workbench: Workbench) -> None:
    """Eight processes that share one array in /dev/shm use it once, not sixteen times."""
    source = """
        import mmap, os, time
        with open("/dev/shm/array", "w+b") as file:
            file.truncate(40 << 20)
            array = mmap.mmap(file.fileno(), 40 << 20)
        array.write(b"x" * (40 << 20))
        for _ in range(3): os.fork()
        for start in range(0, 40 << 20, 4096): array[start]
        time.sleep(0.5)
        """
    ended = workbench.run(workbench.script(source, memory=120 * MIB))
    assert (ended.exit_status, ended.limit) == (0, None)
    assert 40 * MIB < ended.max_memory <= 120 * MIB


def test_links_out_of_the_folder_are_not_followed(workbench: Workbench) -> None:
    """A job's links to everything do not count as its files."""
    source = """
        import os, time
        for number in range(5): os.symlink("/usr", f"usr{number}"); os.symlink("..", f"up{number}")
        time.sleep(0.3)
        """
    assert workbench.run(workbench.script(source, files=50, disk=1 * MIB)).limit is None
