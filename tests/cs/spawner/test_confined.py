"""Attempts in cells, made by our own calls and by bubblewrap: what a job gets, and what is reported of its end."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import msgspec
import pytest
from twisted.internet.defer import CancelledError, Deferred

from cs.spawner.client import Spawner
from cs.spawner.errors import NotStartedError
from cs.spawner.messages import Ended, Sandbox, Wall
from cs.spawner.testing import Workbench
from rjs.limits import MIB


@pytest.fixture(params=["own", "bubblewrap"])
def sandbox(request: pytest.FixtureRequest, workbench: Workbench) -> Sandbox:
    """A cell, made each way."""
    return workbench.sandbox(way=request.param)


def test_exit_status_output_and_times_are_reported(workbench: Workbench, sandbox: Sandbox) -> None:
    """A job that ends by itself is reported with its status, output, wall and processor time and memory."""
    source = """
        import sys, time
        block = bytearray(50 << 20)
        before = time.process_time()
        while time.process_time() < before + 0.1: pass
        print("said"); print("complained", file=sys.stderr); sys.exit(7)
        """
    ended = workbench.run(workbench.script(source, sandbox=sandbox))
    assert (ended.exit_status, ended.signal, ended.limit, ended.stopped) == (7, None, None, False)
    assert (ended.strays, ended.left) == (0, 0)
    assert (workbench.stdout.read_text(), workbench.stderr.read_text()) == ("said\n", "complained\n")
    assert 0.1 <= ended.cpu_seconds < 10
    assert 0.1 <= ended.wall_seconds < 30
    assert 50 * MIB <= ended.max_memory < 150 * MIB


_LOOK = """
import json, os, resource, sys
descriptors = []
for number in range(4096):
    try: os.fstat(number)
    except OSError: continue
    descriptors.append(number)
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "environment": dict(os.environ), "cwd": os.getcwd(), "descriptors": descriptors,
    "stdin": os.read(0, 10).decode(), "leader": os.getsid(0) == os.getpid() == os.getpgrp(),
    "blocked": int(status["SigBlk"], 16), "umask": status["Umask"].strip(),
    "core": resource.getrlimit(resource.RLIMIT_CORE), "file": resource.getrlimit(resource.RLIMIT_FSIZE),
    "open": resource.getrlimit(resource.RLIMIT_NOFILE), "cpu": resource.getrlimit(resource.RLIMIT_CPU),
    "processes": resource.getrlimit(resource.RLIMIT_NPROC),
    "oom": int(open("/proc/self/oom_score_adj").read()), "own": os.access("/proc/self/environ", os.R_OK),
}))
"""


@pytest.mark.parametrize("executed", [False, True])
def test_a_job_gets_nothing_but_what_its_request_says(
    workbench: Workbench, sandbox: Sandbox, executed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment, folder, descriptors, session, limits are the request's, whether it is forked or executed."""
    monkeypatch.setenv("SECRET", "of the server")
    limits = {"file_size": 3 * MIB, "processes": 3, "descriptors": 50, "cpu_time": 2.5}
    request = workbench.script(_LOOK, sandbox=sandbox, **limits)
    if executed:
        assert request.script is not None
        request = msgspec.structs.replace(
            request, argv=("/usr/bin/python3", "-S", request.script.entry), script=None
        )
    assert workbench.run(request).exit_status == 0, workbench.stderr.read_text()
    seen = json.loads(workbench.stdout.read_text())
    environment = {"PATH": "/usr/bin:/bin", "LC_CTYPE": "C.UTF-8", "RJS_CONTROL": "fd:3"}
    assert seen.pop("environment").items() <= environment.items()
    assert seen == {
        "cwd": "/work",
        "descriptors": [0, 1, 2, 3],
        "stdin": "",
        "leader": True,
        "blocked": 0,
        "umask": "0077",
        "core": [0, 0],
        "file": [3 * MIB, 3 * MIB],
        "open": [50, 50],
        "cpu": [3, 4],
        "processes": [7, 7],
        "oom": 1000,
        "own": True,
    }


def test_attempts_with_equal_words_follow_each_other_in_a_cell(
    workbench: Workbench, sandbox: Sandbox
) -> None:
    """Another key, a fresh one, another file in the place of a bind: each has a cell of its own."""
    link = workbench.folder / "bundle"
    link.mkdir()
    bound = msgspec.structs.replace(sandbox, binds=(*sandbox.binds, Wall(str(link), "/bundle")))
    other = msgspec.structs.replace(bound, key="b")
    fresh = msgspec.structs.replace(bound, fresh=True)

    async def scenario(spawner: Spawner) -> list[int]:
        cells = []
        for each in (bound, bound, other, bound, fresh, fresh, bound):
            cells.append(await _cell_of(workbench, spawner, each))
        link.rmdir()
        (workbench.folder / "between").mkdir()
        link.mkdir()
        (workbench.folder / "between").rmdir()
        cells.append(await _cell_of(workbench, spawner, bound))
        return cells

    first, second, third, fourth, fifth, sixth, seventh, renewed = workbench.drive(scenario)
    assert first == second == fourth == seventh
    assert len({first, third, fifth, sixth, renewed}) == 5


async def _cell_of(workbench: Workbench, spawner: Spawner, sandbox: Sandbox) -> int:
    running = Deferred.fromCoroutine(
        spawner.run(workbench.confined("/bin/sh", "-c", "until [ -e go ]; do :; done", sandbox=sandbox))
    )
    await workbench.until(lambda: spawner.started is not None)
    assert spawner.started is not None
    pid = spawner.started.pid
    (workbench.work / "go").touch()
    assert (await running).exit_status == 0
    (workbench.work / "go").unlink()
    return pid


def test_no_more_idle_cells_are_kept_than_allowed(workbench: Workbench, living_below: object) -> None:
    """The one that waited longest goes; the zygote is one more."""
    assert callable(living_below)

    async def scenario(spawner: Spawner) -> int:
        for key in "abcdefg":
            request = workbench.script("pass", sandbox=workbench.sandbox(key=key))
            assert (await spawner.run(request)).exit_status == 0
        return len(living_below(spawner.pid))

    assert workbench.drive(scenario) == 4 + 1


def test_an_unconfined_attempt_finds_no_cells_beside_it(workbench: Workbench, living_below: object) -> None:
    """What it could reach is gone before it starts."""
    assert callable(living_below)

    async def scenario(spawner: Spawner) -> tuple[Ended, int]:
        await spawner.run(workbench.script("pass"))
        before = len(living_below(spawner.pid))
        ended = await spawner.run(workbench.request("/bin/sh", "-c", "ls /proc/$PPID/task/$PPID/children"))
        assert (await spawner.run(workbench.script("pass"))).exit_status == 0
        assert before == 2
        return ended, before

    assert workbench.drive(scenario)[0].strays == 0


@pytest.mark.parametrize("argv", ["/nonexistent/program", "relative-and-absent", "/etc/passwd"])
def test_a_program_that_cannot_run_is_refused_and_leaves_nothing(
    workbench: Workbench, sandbox: Sandbox, argv: str
) -> None:
    """Its output files are gone again, and the cell runs the next attempt."""
    request = workbench.confined(argv, sandbox=sandbox)

    async def scenario(spawner: Spawner) -> str:
        with pytest.raises(NotStartedError) as caught:
            await spawner.run(request)
        assert (await spawner.run(workbench.confined("/bin/true", sandbox=sandbox))).exit_status == 0
        return caught.value.code

    assert workbench.drive(scenario) == "spawner.program"
    assert not Path(request.stdout).exists()
    assert not Path(request.stderr).exists()


def test_a_cell_that_cannot_be_made_is_said(workbench: Workbench, sandbox: Sandbox) -> None:
    """The sentence names what is missing; nothing is left; the spawner goes on."""
    missing = msgspec.structs.replace(sandbox, binds=(*sandbox.binds, Wall("/nonexistent", "/data")))
    request = workbench.confined("/bin/true", sandbox=missing)

    async def scenario(spawner: Spawner) -> str:
        with pytest.raises(NotStartedError, match="nonexistent") as caught:
            await spawner.run(request)
        assert (await spawner.run(workbench.confined("/bin/true", sandbox=sandbox))).exit_status == 0
        return caught.value.code

    assert workbench.drive(scenario) == "spawner.sandbox"
    assert not Path(request.stdout).exists()


def test_stop_with_grace_lets_a_job_finish(workbench: Workbench, sandbox: Sandbox) -> None:
    """SIGTERM comes first, and a job that ends in time is reported with its own exit status."""
    source = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        open("ready", "w").close()
        time.sleep(60)
        """

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.script(source, sandbox=sandbox)))
        await workbench.until((workbench.work / "ready").exists)
        spawner.stop(grace=30)
        return await running

    ended = workbench.drive(scenario)
    assert (ended.exit_status, ended.stopped) == (5, True)
    assert ended.wall_seconds < 20


@pytest.mark.parametrize("grace", [0.0, 0.3])
def test_who_ignores_sigterm_is_killed_with_all_its_daemons(
    workbench: Workbench, sandbox: Sandbox, grace: float
) -> None:
    """When the grace is over nothing of the cell is left; a cancelled run is stopped too, and the next one runs."""
    source = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0: os.setsid()
        open(f"ready{os.getpid() == os.getsid(0)}", "w").close()
        time.sleep(60)
        """

    async def scenario(spawner: Spawner) -> Ended:
        running = Deferred.fromCoroutine(spawner.run(workbench.script(source, sandbox=sandbox)))
        await workbench.until((workbench.work / "readyTrue").exists)
        spawner.stop(grace=grace)
        ended = await running
        cancelled = Deferred.fromCoroutine(spawner.run(workbench.script(source, sandbox=sandbox)))
        await workbench.until(lambda: spawner.started is not None)
        cancelled.cancel()
        with pytest.raises(CancelledError):
            await cancelled
        await workbench.until(lambda: spawner.idle)
        assert (await spawner.run(workbench.script("pass", sandbox=sandbox))).exit_status == 0
        return ended

    ended = workbench.drive(scenario)
    assert (ended.signal, ended.stopped, ended.left) == (signal.SIGKILL, True, 0)
    assert ended.wall_seconds >= grace


def test_a_task_speaks_with_the_server(workbench: Workbench, sandbox: Sandbox) -> None:
    """The control channel is descriptor 3, as outside of a cell."""
    source = """
        import socket
        channel = socket.socket(fileno=3)
        channel.sendall(b"question")
        print(channel.recv(100).decode())
        """

    async def scenario(spawner: Spawner) -> Ended:
        spawner.heard = lambda data: spawner.say(b"answer to " + data)
        return await spawner.run(workbench.script(source, sandbox=sandbox))

    assert workbench.drive(scenario).exit_status == 0
    assert workbench.stdout.read_text() == "answer to question\n"


def test_a_socket_that_listens_inside_comes_out(workbench: Workbench, sandbox: Sandbox) -> None:
    """What a job says to its proxy is heard by who got the descriptor, for each attempt in the cell anew."""
    source = """
        import socket
        with socket.create_connection(("127.0.0.1", 3128), 10) as proxy: proxy.sendall(b"through")
        """
    sandbox = msgspec.structs.replace(sandbox, network=True)

    async def scenario(spawner: Spawner) -> list[bytes]:
        heard, came = [], list[int]()
        spawner.listened = came.append
        for _ in range(2):
            assert (await spawner.run(workbench.script(source, sandbox=sandbox))).exit_status == 0
            assert not os.get_inheritable(came[0])
            with socket.socket(fileno=came.pop()) as listener:
                connection = listener.accept()[0]
            with connection:
                heard.append(connection.recv(100))
        assert came == []
        return heard

    assert workbench.drive(scenario) == [b"through", b"through"]


def test_modules_are_loaded_in_advance(workbench: Workbench, sandbox: Sandbox) -> None:
    """Each task finds them loaded, with generators of its own; what cannot be loaded fails in the task alone."""
    wheels = workbench.folder / "wheels"
    (wheels / "numpy").mkdir(parents=True)
    (wheels / "numpy" / "__init__.py").write_text("import os; LOADED_BY = os.getpid()\n")
    seeded = "import os\nseeds = []\ndef seed(): seeds.append(os.getpid())\n"
    (wheels / "numpy" / "random.py").write_text(seeded)
    (wheels / "broken.py").write_text("raise SystemExit('broken')\n")
    sandbox = msgspec.structs.replace(
        sandbox,
        binds=(*sandbox.binds, Wall(str(wheels), "/wheels/0")),
        preload=("broken", "numpy.random", "absent"),
        python_paths=("/wheels/0",),
    )
    source = """
        import sys, os
        assert "numpy" in sys.modules and sys.path[-1] == "/wheels/0"
        import numpy, numpy.random, random
        assert numpy.random.seeds == [os.getpid()], numpy.random.seeds
        print(numpy.LOADED_BY, random.random())
        try: import absent
        except ImportError: import broken
        """

    async def scenario(spawner: Spawner) -> list[str]:
        said = []
        for _ in range(2):
            ended = await spawner.run(workbench.script(source, sandbox=sandbox))
            assert (ended.exit_status, workbench.stderr.read_text()) == (1, "broken\n")
            said.append(workbench.stdout.read_text())
        return said

    first, second = workbench.drive(scenario)
    assert first.startswith("1 ")
    assert second.startswith("1 ")
    assert first != second
