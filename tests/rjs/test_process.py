"""Server processes: how they start, fail, and end, seen from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from rjs import clock, process
from rjs.errors import ConfigError, UnreachableError

class App:
    def __init__(self, reactor):
        assert reactor.seconds is clock.steady_seconds
        self.reactor = reactor
    async def start(self):
        {start}
        print("serves", flush=True)
    async def stop(self):
        {stop}
        print("stopped", flush=True)

process.STOPPING = 0.5
sys.exit(process.run_server(App))
"""


def run(start: str = "pass", stop: str = "pass", end: signal.Signals | None = None) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a server; ``end`` is sent when it has said a first word."""
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(start=start, stop=stop)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if end is not None:
            process.send_signal(end)
        out, err = process.communicate(timeout=30)
    return process.returncode, first + out, err


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(end: signal.Signals) -> None:
    """SIGTERM and SIGINT stop it in order, with exit status 0."""
    assert run(end=end)[:2] == (0, "serves\nstopped\n")


@pytest.mark.parametrize(("error", "status"), [("ConfigError", 1), ("UnreachableError", 3)])
def test_what_a_person_can_mend_is_told_without_a_traceback(error: str, status: int) -> None:
    """A start that fails for a stated reason says it, stops in order, and exits with that error's status."""
    code, out, err = run(start=f"raise {error}('port 9000 is taken')")
    assert (code, out) == (status, "stopped\n")
    assert "cannot start: port 9000 is taken" in err and "Traceback" not in err


def test_a_defect_at_the_start_is_told_with_its_traceback() -> None:
    """What nobody expected is logged whole, and the process does not stay half started."""
    code, out, err = run(start="1 / 0")
    assert (code, out) == (1, "stopped\n") and "ZeroDivisionError" in err


def test_stopping_while_it_starts() -> None:
    """A start under way is cancelled before anything is closed, so that it opens nothing afterwards."""
    waiting = "print('starting', flush=True); await deferLater(self.reactor, 60)"
    code, out, err = run(start=waiting, end=signal.SIGTERM)
    assert (code, out) == (0, "starting\nstopped\n") and "cannot start" not in err


@pytest.mark.parametrize(
    ("stop", "words"), [("1 / 0", "ZeroDivisionError"), ("await Deferred()", "TimeoutError")]
)
def test_a_stop_that_fails_or_hangs_is_told_and_ends(stop: str, words: str) -> None:
    """Whoever stops a server gets it stopped in bounded time, with the reason and another exit status than 0."""
    code, out, err = run(stop=stop, end=signal.SIGTERM)
    assert (code, out) == (1, "serves\n") and "could not stop cleanly" in err and words in err


def test_a_log_in_a_file(tmp_path: Path) -> None:
    """With one, all goes there, and only errors to standard error too."""
    path = tmp_path / "server.log"
    script = SCRIPT.replace("process.run_server(App)", "process.run_server(App, LogFile(Path(sys.argv[1])))")
    script = "from pathlib import Path\nfrom rjs.log_file import LogFile\n" + script
    start = "process._log.info('all is well'); raise ConfigError('port 9000 is taken')"
    argv = [sys.executable, "-c", script.format(start=start, stop="pass"), str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "cannot start: port 9000 is taken" in done.stderr and "all is well" not in done.stderr
    assert "cannot start: port 9000 is taken" in path.read_text() and "all is well" in path.read_text()


def test_a_server_has_all_open_files_that_it_may_have() -> None:
    """The usual limit of 1,024 is for programs that hold no thousand sessions."""
    script = (
        "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (64, 512));"
        "from rjs.process import allow_open_files; allow_open_files(); print(r.getrlimit(r.RLIMIT_NOFILE))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert ran.stdout == "(512, 512)\n"
