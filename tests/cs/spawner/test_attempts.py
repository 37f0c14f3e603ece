"""Attempts through a real spawner: what a job gets, and what is reported of its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred

import cs
from cs.spawner.client import Spawner, start_spawner
from cs.spawner.errors import NotStartedError, SpawnerDiedError
from cs.spawner.messages import Ended
from cs.spawner.testing import Workbench
from rjs.errors import ProtocolError
from rjs.limits import MIB


def test_exit_status_output_and_times_are_reported(workbench: Workbench) -> None:
    """A job that ends by itself is reported with its status, output, wall and processor time and memory."""
    ended = workbench.run(
        workbench.python(
            """
            import sys, time
            block = bytearray(50 << 20)
            before = time.process_time()
            while time.process_time() < before + 0.1: pass
            print("said"); print("complained", file=sys.stderr); sys.exit(7)
            """
        )
    )
    assert (ended.exit_status, ended.signal, ended.limit, ended.stopped) == (7, None, None, False)
    assert (ended.strays, ended.left) == (0, 0)
    assert workbench.stdout.read_text() == "said\n"
    assert workbench.stderr.read_text() == "complained\n"
    assert 0.1 <= ended.cpu_seconds < 10
    assert 0.1 <= ended.wall_seconds < 30
    assert 50 * MIB <= ended.max_memory < 150 * MIB


def test_a_signal_is_reported_as_such(workbench: Workbench) -> None:
    """A main process that dies of a signal has no exit status."""
    ended = workbench.run(workbench.request("/bin/sh", "-c", "kill -SEGV $$"))
    assert (ended.exit_status, ended.signal, ended.limit) == (None, signal.SIGSEGV, None)


def test_a_job_gets_nothing_but_what_its_request_says(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, folder, descriptors, signals, session, privileges and limits are the request's, none inherited."""
    monkeypatch.setenv("SECRET", "of the server")
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    source = """
        import json, os, resource, signal, sys
        descriptors = []
        for number in range(3, 4096):
            try: os.fstat(number)
            except OSError: continue
            descriptors.append(number)
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(json.dumps({
            "environment": dict(os.environ), "cwd": os.getcwd(), "args": sys.argv[1:],
            "descriptors": descriptors, "stdin": os.read(0, 10).decode(),
            "leader": os.getsid(0) == os.getpid() == os.getpgrp(),
            "no_new_privileges": int(status["NoNewPrivs"]),
            "blocked": int(status["SigBlk"], 16),
            "core": resource.getrlimit(resource.RLIMIT_CORE), "file": resource.getrlimit(resource.RLIMIT_FSIZE),
            "threads": 7 <= min(resource.getrlimit(resource.RLIMIT_NPROC)),
            "oom": int(open("/proc/self/oom_score_adj").read()),
        }))
    """
    try:
        ended = workbench.run(workbench.python(source, "one", "two words", file_size=3 * MIB, processes=3))
    finally:
        os.close(inherited)
    assert ended.exit_status == 0, workbench.stderr.read_text()
    seen = json.loads(workbench.stdout.read_text())
    environment = {"PATH": "/usr/bin:/bin", "LC_CTYPE": "C.UTF-8", "RJS_CONTROL": "fd:3"}
    assert seen.pop("environment").items() <= environment.items()
    assert seen == {
        "cwd": str(workbench.folder),
        "args": ["one", "two words"],
        "descriptors": [3],
        "stdin": "",
        "leader": True,
        "no_new_privileges": 1,
        "blocked": 0,
        "core": [0, 0],
        "file": [3 * MIB, 3 * MIB],
        "threads": True,
        "oom": 1000,
    }


def test_signals_that_python_ignores_are_a_jobs_own_again(workbench: Workbench) -> None:
    """SIGPIPE and SIGXFSZ kill a program that does not ask otherwise, as in a shell."""
    ended = workbench.run(workbench.request("/bin/sh", "-c", "kill -PIPE $$"))
    assert ended.signal == signal.SIGPIPE


def test_a_python_job_sees_the_standard_library_and_its_neighbours_only(workbench: Workbench) -> None:
    """Neither the server's packages nor byte code beside the job's files."""
    (workbench.folder / "neighbour.py").write_text("HERE = True\n")
    source = """
        import sqlite3, neighbour
        for name in ("msgspec", "numpy", "cs", "rjs"):
            try: __import__(name)
            except ImportError: continue
            print(name)
        """
    ended = workbench.run(workbench.python(source))
    assert (ended.exit_status, workbench.stdout.read_text()) == (0, ""), workbench.stderr.read_text()
    assert not (workbench.folder / "__pycache__").exists()


@pytest.mark.parametrize(
    "argv", [("/nonexistent/program",), ("relative-and-absent",), ("/etc/passwd",), ("/bin/sh\0x",)]
)
def test_a_program_that_cannot_run_is_refused_and_leaves_nothing(
    workbench: Workbench, argv: tuple[str, ...]
) -> None:
    """The refusal names the program, and its output files are gone again."""
    request = workbench.request(*argv)
    with pytest.raises(NotStartedError, match="cannot be run") as caught:
        workbench.run(request)
    assert caught.value.code == "spawner.program"
    assert not Path(request.stdout).exists()
    assert not Path(request.stderr).exists()


def test_a_missing_folder_is_refused(workbench: Workbench) -> None:
    """An attempt does not run somewhere else."""
    request = workbench.request("/bin/true")
    with pytest.raises(NotStartedError, match="No such file"):
        workbench.run(msgspec.structs.replace(request, cwd="/nonexistent"))


@pytest.mark.parametrize("which", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_output_never_goes_into_what_is_there_already(workbench: Workbench, which: str, kind: str) -> None:
    """An existing file or a planted link in the place of an output file refuses the attempt."""
    request = workbench.request("/bin/echo", "overwritten")
    precious = workbench.folder / "precious"
    precious.write_text("kept")
    place = Path(getattr(request, which))
    if kind == "file":
        place.write_text("kept")
    else:
        place.symlink_to(precious)
    with pytest.raises(NotStartedError, match=r"spawner\.output"):
        workbench.run(request)
    assert (precious.read_text(), place.read_text()) == ("kept", "kept")
    assert sorted(path.name for path in workbench.folder.iterdir()) == sorted({"precious", place.name})


def test_many_attempts_follow_each_other(workbench: Workbench) -> None:
    """One spawner runs attempt after attempt, a refused one among them."""

    async def scenario(spawner: Spawner) -> list[int | None]:
        statuses = []
        for status in range(5):
            statuses.append(
                (await spawner.run(workbench.request("/bin/sh", "-c", f"exit {status}"))).exit_status
            )
        with pytest.raises(NotStartedError):
            await spawner.run(workbench.request("/nonexistent"))
        statuses.append((await spawner.run(workbench.request("/bin/true"))).exit_status)
        return statuses

    assert workbench.drive(scenario) == [0, 1, 2, 3, 4, 0]


def test_stop_with_grace_lets_a_job_finish(workbench: Workbench) -> None:
    """SIGTERM comes first, and a job that ends in time is reported with its own exit status."""
    source = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        open("ready", "w").close()
        time.sleep(60)
        """

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.python(source)))
        await workbench.until((workbench.folder / "ready").exists)
        spawner.stop(grace=30)
        return await running

    ended = workbench.drive(scenario)
    assert (ended.exit_status, ended.stopped) == (5, True)
    assert ended.wall_seconds < 20


def test_stop_without_grace_kills_at_once(workbench: Workbench) -> None:
    """No grace, no SIGTERM handler runs; a second stop and one after the end do nothing."""

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.request("/bin/sleep", "60")))
        spawner.stop()
        spawner.stop()
        ended = await running
        spawner.stop()
        assert (await spawner.run(workbench.request("/bin/true"))).exit_status == 0
        return ended

    ended = workbench.drive(scenario)
    assert (ended.signal, ended.stopped, ended.limit) == (signal.SIGKILL, True, None)


def test_cancelling_run_stops_the_attempt(workbench: Workbench) -> None:
    """The caller is told at once, the job is killed, and the spawner serves the next one."""

    async def scenario(spawner: Spawner) -> None:
        running = Deferred.fromCoroutine(spawner.run(workbench.request("/bin/sleep", "60")))
        await workbench.until(lambda: spawner.started is not None)
        running.cancel()
        with pytest.raises(CancelledError):
            await running
        await workbench.until(lambda: spawner.idle)
        assert (await spawner.run(workbench.request("/bin/true"))).exit_status == 0

    workbench.drive(scenario)


def test_one_attempt_at_a_time(workbench: Workbench) -> None:
    """A second run while one runs is the caller's mistake, and does not disturb the first."""

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.request("/bin/sleep", "0.2")))
        with pytest.raises(RuntimeError):
            await spawner.run(workbench.request("/bin/true"))
        return await running

    assert workbench.drive(scenario).exit_status == 0


def test_a_request_over_the_cap_is_refused_here(workbench: Workbench) -> None:
    """An environment of more than a megabyte never reaches the spawner, which stays usable."""

    async def scenario(spawner: Spawner) -> Ended:
        with pytest.raises(ProtocolError):
            await spawner.run(workbench.request("/bin/echo", "x" * 2 * MIB))
        return await spawner.run(workbench.request("/bin/true"))

    assert workbench.drive(scenario).exit_status == 0


def test_closing_ends_the_running_attempt(workbench: Workbench) -> None:
    """Its caller learns that the spawner was closed; closing again is harmless; nothing runs afterwards."""

    async def scenario(spawner: Spawner) -> None:
        running = Deferred.fromCoroutine(
            spawner.run(workbench.request("/bin/sh", "-c", "setsid sleep 60 & sleep 60"))
        )
        await workbench.until(lambda: spawner.started is not None)
        await spawner.close()
        with pytest.raises(SpawnerDiedError, match="closed"):
            await running
        assert not spawner.alive
        with pytest.raises(SpawnerDiedError):
            await spawner.run(workbench.request("/bin/true"))
        await spawner.close()

    workbench.drive(scenario)


def test_a_spawner_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is the system's own, and both ends of the socket are closed (else a warning fails this test)."""
    monkeypatch.setattr("cs.spawner.client.module_argv", lambda *_: ["/nonexistent/python"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(FileNotFoundError):
        start_spawner()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_spawner_needs_a_reactor_to_run_anything(workbench: Workbench) -> None:
    """Said by name; and one that was never attached can be closed."""
    spawner = start_spawner()
    for call in (spawner.run(workbench.request("/bin/true")), spawner.close()):
        outcome: list[object] = []
        Deferred.fromCoroutine(call).addBoth(outcome.append)
        assert outcome == [None] or "not attached" in str(outcome[0])


def test_the_spawner_is_small_and_has_one_thread(workbench: Workbench) -> None:
    """The process that forks every job has under 24 MiB and no second thread."""

    async def scenario(spawner: Spawner) -> dict[str, str]:
        await spawner.run(workbench.request("/bin/true"))
        lines = Path(f"/proc/{spawner.pid}/status").read_text().splitlines()
        return dict(line.split(":", 1) for line in lines)

    status = workbench.drive(scenario)
    assert int(status["Threads"]) == 1
    assert int(status["VmRSS"].split()[0]) < 24 * 1024


def test_the_spawner_loads_no_heavy_module() -> None:
    """Neither Twisted nor numpy nor cryptography nor attrs, nor the server's rules."""
    code = "import sys, cs.spawner.main; print(*sys.modules)"
    root = Path(cs.__file__).parent.parent
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, check=True, text=True
    )
    loaded = {name.partition(".")[0] for name in printed.stdout.split()}
    assert not loaded & {"twisted", "numpy", "cryptography", "attr", "zope", "threading"}
    ours = {name for name in printed.stdout.split() if name.startswith(("cs.", "rjs."))}
    elsewhere = {name for name in ours if not name.startswith(("cs.spawner", "cs.sandbox"))}
    assert elsewhere == {"rjs.errors", "rjs.limits"}
