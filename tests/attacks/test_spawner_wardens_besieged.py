"""Attack: a task against the warden of its cell, which has the same account, and against the next task in it."""

from __future__ import annotations

import signal

import pytest

from cs.spawner.client import Spawner
from cs.spawner.messages import Ended, Sandbox, Wall
from cs.spawner.testing import Workbench

_CALLS = "import ctypes, os, signal, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"

# ruff: noqa: E501 - a siege a line
HARMLESS = {
    "signals": "for n in range(1, 65):\n  try: os.kill(1, n)\n  except OSError: pass",
    "signals to all": "os.kill(-1, signal.SIGTERM); os.kill(-1, signal.SIGSTOP) if os.fork() else os._exit(0)",
    "queued signals": "for n in range(34, 64): libc.sigqueue(1, n, 7)",
    "trace": "assert libc.ptrace(16, 1, None, None) == -1",
    "memory": "try: open('/proc/1/mem', 'r+b')\nexcept PermissionError: pass\nelse: raise SystemExit(9)",
    "descriptors": "try: os.readlink('/proc/1/fd/3')\nexcept PermissionError: pass\nelse: raise SystemExit(9)",
    "environment": "try: open('/proc/1/environ').read()\nexcept PermissionError: pass\nelse: raise SystemExit(9)",
    "limits": "import resource\ntry: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))\nexcept OSError: pass\nelse: raise SystemExit(9)",
    "daemons": "for n in range(5):\n  if os.fork() == 0: os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
    "stopped daemons": "if os.fork() == 0: os.kill(os.getpid(), signal.SIGSTOP)",
    "orphans": "for n in range(200):\n  if os.fork() == 0:\n    os._exit(0) if os.fork() else os._exit(0)\n  os.wait()",
    "flood of the channel": "os.set_blocking(3, False)\nfor n in range(10**4):\n  try: os.write(3, b'x' * 65536)\n  except OSError: break",
    "closed channel": "os.close(3)",
    "closed streams": "os.closerange(0, 100)",
    "odd status": "os._exit(255)",
    "segmentation fault": "ctypes.string_at(0)",
    "killed by itself": "os.kill(os.getpid(), signal.SIGKILL)",
    "files in memory": "open('/tmp/a', 'w').write('x'); os.makedirs('/dev/shm/b/c'); open('/dev/shm/b/c/d', 'w').write('x')",
    "links in memory": "os.symlink('/work', '/tmp/work'); os.symlink('/tmp', '/tmp/tmp'); os.mkfifo('/tmp/pipe')",
    "processors": "os.sched_setaffinity(0, {0}); os.nice(5)",
}  # fmt: skip
"""After which the cell is as it was."""

HARMFUL = {
    "many files in memory": "for n in range(5000): open(f'/tmp/{n}', 'w').close()",
    "no more files in memory": "try:\n  for n in range(10**5): os.mkdir(f'/dev/shm/{n}')\nexcept OSError: pass",
    "deep folders in memory": "os.chdir('/tmp')\nfor n in range(2000): os.mkdir('d'); os.chdir('d')",
    "mode of the folder": "os.chmod('/tmp', 0o700)",
    "closed folder": "os.makedirs('/tmp/a/b'); os.chmod('/tmp/a', 0)",
    "processors of the warden": "os.sched_setaffinity(1, {0})",
    "priority of the warden": "os.setpriority(os.PRIO_USER, os.getuid(), 19)",
    "scheduling of the warden": "os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))",
}
"""After which the cell is not used again, unless the walls held it back."""


@pytest.mark.parametrize("way", ["own", "bubblewrap"])
def test_the_next_task_finds_the_cell_as_it_was(workbench: Workbench, way: str) -> None:
    """After each siege the next task runs, alone, in empty folders, with all processors, signals and channels."""
    after = """
        import os, signal
        alone = [name for name in os.listdir("/proc") if name.isdigit()] == ["1", str(os.getpid())]
        processors = len(os.sched_getaffinity(0)) == os.cpu_count()
        usual = os.getpriority(os.PRIO_PROCESS, 0) == 0 and os.sched_getscheduler(0) == os.SCHED_OTHER
        empty = not os.listdir("/tmp") and not os.listdir("/dev/shm") and os.stat("/tmp").st_mode == 0o41777
        print(alone, processors, usual, empty, os.write(3, b"x"), os.stat("/proc/self/ns/pid").st_ino)
        """
    sandbox = workbench.sandbox(way=way)

    async def scenario(spawner: Spawner) -> dict[str, tuple[str, str]]:
        found = {"nothing": await _found(workbench, spawner, after, sandbox)}
        for name, source in {**HARMLESS, **HARMFUL}.items():
            ended = await spawner.run(workbench.script(_CALLS + source, sandbox=sandbox))
            assert (ended.exit_status, ended.limit) != (9, None), name
            assert ended.limit is None, name
            found[name] = await _found(workbench, spawner, after, sandbox)
        return found

    found = workbench.drive(scenario)
    odd = {name: told for name, (told, _) in found.items() if told != "True True True True 1"}
    assert odd == {}
    assert len({found[name][1] for name in ("nothing", *HARMLESS)}) == 1, "a cell was renewed without need"
    assert found["many files in memory"][1] != found["odd status"][1]


async def _found(workbench: Workbench, spawner: Spawner, source: str, sandbox: Sandbox) -> tuple[str, str]:
    """What the next task says, and which cell it is in."""
    ended = await spawner.run(workbench.script(source, sandbox=sandbox))
    assert ended.exit_status == 0, workbench.stderr.read_text()
    told, _, cell = workbench.stdout.read_text().strip().rpartition(" ")
    return told, cell


def test_strays_are_counted_and_gone(workbench: Workbench) -> None:
    """Whatever a task leaves running is killed before its end is reported."""
    ended = workbench.run(workbench.script(_CALLS + HARMLESS["daemons"]))
    assert (ended.exit_status, ended.strays, ended.left) == (0, 5, 0)


def test_a_task_that_forks_for_ever_while_it_is_killed(workbench: Workbench) -> None:
    """A comet, whose every number is stale when it is seen, does not outlive its task."""
    source = """
        import os, time
        if os.fork() == 0:
            os.setsid()
            while True:
                if os.fork(): os._exit(0)
        time.sleep(0.2)
        """

    async def scenario(spawner: Spawner) -> list[Ended]:
        comet = await spawner.run(workbench.script(source))
        return [comet, await spawner.run(workbench.script("import os; assert os.listdir('/proc')[0]"))]

    comet, following = workbench.drive(scenario)
    assert (comet.exit_status, comet.left) == (0, 0)
    assert (following.exit_status, following.strays) == (0, 0)


def test_a_full_table_of_processes_does_not_hurt_the_next_task(workbench: Workbench) -> None:
    """Whoever ends first, the job that made as many processes as it could or its limit, there is room afterwards."""
    source = """
        import os
        for _ in range(1000):
            try:
                if os.fork() == 0:
                    os.setsid()
                    while True: os.read(3, 1)
            except OSError: break
        os._exit(3)
        """

    async def scenario(spawner: Spawner) -> list[Ended]:
        bomb = await spawner.run(workbench.script(source, processes=30))
        return [bomb, await spawner.run(workbench.script("import os; os.fork()", processes=30))]

    bomb, following = workbench.drive(scenario)
    assert bomb.exit_status == 3 or (bomb.limit is not None and bomb.limit.name == "processes")
    assert (following.exit_status, following.limit) == (0, None)


def test_a_turned_warden_only_harms_its_own_attempts(workbench: Workbench) -> None:
    """A module that is loaded in advance is the bundle's code in the warden: what it says is taken for hostile."""
    wheels = workbench.folder / "wheels"
    wheels.mkdir()
    (wheels / "evil.py").write_text(
        "import os\nfor n in range(3, 64):\n"
        "  for word in (b'garbage', b'+', b'.[]', b'.{\"ended\": -1}', b'.{\"started\": 1, \"cpu\": 1e400}', b'x' * 99999):\n"
        "    try: os.write(n, word)\n    except OSError: pass\n"
    )
    plain = workbench.sandbox()
    evil = workbench.sandbox(
        key="evil", binds=(*plain.binds, Wall(str(wheels), "/wheels/0")), preload=("evil",), python_paths=("/wheels/0",)
    )  # fmt: skip

    async def scenario(spawner: Spawner) -> tuple[Ended, Ended]:
        turned = await spawner.run(workbench.script("pass", sandbox=evil))
        return turned, await spawner.run(workbench.script("pass"))

    turned, following = workbench.drive(scenario)
    assert (turned.signal, turned.left) == (signal.SIGKILL, 0)
    assert following.exit_status == 0
