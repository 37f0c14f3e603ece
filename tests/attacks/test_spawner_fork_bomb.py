"""Attack: a job forks as fast as it can. Here it has a time of its own, and a process limit should ours fail."""

from __future__ import annotations

import pytest

from cs.spawner.testing import Workbench

_BOMB = """
    import os, resource, sys, time
    if os.getuid() == 0:
        os.setgid(65534); os.setuid(65534)  # root has no process limit
    room = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], int(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_NPROC, (room, room))
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try: os.fork()
        except OSError: continue
        if "setsid" in sys.argv and os.getpid() != os.getsid(0): os.setsid()
    """


@pytest.mark.parametrize("how", ["plain", "setsid"])
def test_a_fork_bomb_hits_the_limit_of_processes_and_is_gone(workbench: Workbench, how: str) -> None:
    """It is killed for its number of processes, long before its own time is over, and nothing is left."""
    workbench.folder.chmod(0o755)
    ended = workbench.run(workbench.python(_BOMB, "2000", how, processes=100, memory=1 << 40))
    assert ended.limit is not None, workbench.stderr.read_text()
    assert (ended.limit.name, ended.left) == ("processes", 0)
    assert ended.limit.measured > 100
    assert ended.wall_seconds < 10


def test_a_full_grown_bomb_is_swept_too(workbench: Workbench) -> None:
    """With all its processes there and fighting for the processors, the end still comes and is complete."""
    ended = workbench.run(
        workbench.python(_BOMB, "400", "setsid", processes=100_000, memory=1 << 40, wall_time=1.5)
    )
    assert ended.limit is not None, workbench.stderr.read_text()
    assert (ended.limit.name, ended.left) == ("wall_time", 0)
    assert ended.strays >= 100
