"""Attack: a job leaves processes behind that left its session, its group and its family."""

from __future__ import annotations

import pytest

from cs.spawner.testing import Workbench

_LEAVE = """
    import os, signal, sys, time
    def daemon(work):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
                os.write(writer, b".")
                work()
            os._exit(0)
        os.wait()
        os.read(reader, 1)  # it is there and deaf
    """


@pytest.mark.parametrize(
    "work",
    [
        "lambda: time.sleep(60)",
        "lambda: [0 for _ in iter(int, 1)]",
        "lambda: (os.closerange(0, 4096), time.sleep(60))",
        "lambda: os.kill(os.getpid(), signal.SIGSTOP)",
    ],
    ids=["sleeping", "spinning", "without descriptors", "stopped"],
)
def test_daemons_are_gone_when_the_end_is_reported(workbench: Workbench, work: str) -> None:
    """Every process that a job hid is killed, reaped and counted before the attempt counts as ended."""
    ended = workbench.run(
        workbench.python(f"{_LEAVE}\n    for _ in range(5): daemon({work})\n    sys.exit(3)")
    )
    assert (ended.exit_status, ended.strays, ended.left) == (3, 5, 0), workbench.stderr.read_text()


def test_a_stray_that_lost_its_first_thread_is_killed(workbench: Workbench) -> None:
    """A process whose first thread ended looks like a zombie to everybody, and still dies with its job."""
    source = f"""{_LEAVE}
    import ctypes, threading
    def headless():
        threading.Thread(target=time.sleep, args=(60,)).start()
        ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # exit this thread alone
    daemon(headless)
    """
    ended = workbench.run(workbench.python(source))
    assert (ended.exit_status, ended.strays, ended.left) == (0, 1, 0), workbench.stderr.read_text()


def test_a_comet_is_caught(workbench: Workbench) -> None:
    """Processes that fork, enter a new session and exit at every step, so that each number seen is stale."""
    source = f"""{_LEAVE}
    def hop():
        end = time.monotonic() + 30
        while time.monotonic() < end:
            if os.fork(): os._exit(0)
            os.setsid()
    for _ in range(3): daemon(hop)
    """
    ended = workbench.run(workbench.python(source))
    assert (ended.exit_status, ended.left) == (0, 0), workbench.stderr.read_text()
    assert ended.strays >= 1


def test_a_main_process_that_closes_everything_is_still_watched(workbench: Workbench) -> None:
    """Without any descriptor a job runs on, and its wall time ends it all the same."""
    source = "import os, time\nos.closerange(0, 4096)\ntime.sleep(60)"
    ended = workbench.run(workbench.python(source, wall_time=0.5))
    assert ended.limit is not None
    assert ended.limit.name == "wall_time"
