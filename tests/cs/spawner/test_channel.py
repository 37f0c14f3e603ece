"""The control channel through a real spawner: what a job says arrives, and a job that misuses it disturbs nobody."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred

from cs.spawner import limits
from cs.spawner.client import Spawner
from cs.spawner.messages import Ended, Run
from cs.spawner.testing import Workbench

ECHO = """
    import os, socket
    channel = socket.socket(fileno=int(os.environ["RJS_CONTROL"].removeprefix("fd:")))
    channel.sendall(b"hello\\n")
    print(channel.recv(100).decode(), end="")
    print(repr(channel.recv(100)))
"""


def run(workbench: Workbench, request: Run, answer: str = "") -> tuple[Ended, bytes]:
    """How it ended and all that it said; after its first words it hears ``answer``, and then nothing any more."""
    heard = bytearray()

    async def scenario(spawner: Spawner) -> Ended:
        def hear(data: bytes) -> None:
            heard.extend(data)
            if answer and len(heard) == len(data):
                spawner.say(answer.encode())
                spawner.hush()

        spawner.heard = hear
        return await spawner.run(request)

    return workbench.drive(scenario), bytes(heard)


def test_words_go_both_ways(workbench: Workbench) -> None:
    """The descriptor in RJS_CONTROL is a stream to the compute server and back, until that closes it."""
    ended, heard = run(workbench, workbench.python(ECHO), answer="good day\n")
    assert ended.exit_status == 0, workbench.stderr.read_text()
    assert heard == b"hello\n" and workbench.stdout.read_text() == "good day\nb''\n"


def test_a_shell_can_speak(workbench: Workbench) -> None:
    """A native program writes to it as to any file."""
    ended, heard = run(workbench, workbench.request("/bin/sh", "-c", "echo said >&3"))
    assert ended.exit_status == 0 and heard == b"said\n"


def test_who_closes_it_runs_on(workbench: Workbench) -> None:
    """A job that closes its end, or never had a use for it, is a job like any other."""
    source = "import os, time; os.close(3); time.sleep(0.2); print('done')"
    ended, heard = run(workbench, workbench.python(source))
    assert (ended.exit_status, heard, workbench.stdout.read_text()) == (0, b"", "done\n")


def test_only_the_job_has_it(workbench: Workbench) -> None:
    """Nothing of an earlier attempt's channel is left, and there is one end in the job, which its children
    have only where a program hands it on."""
    source = """
        import json, os, subprocess, sys
        count = "import os; print(sum(os.path.exists(f'/proc/self/fd/{n}') for n in range(3, 50)))"
        own = [n for n in range(3, 50) if os.path.exists(f"/proc/self/fd/{n}")]
        print(json.dumps([own, os.readlink("/proc/self/fd/3").split(":")[0],
                          subprocess.check_output([sys.executable, "-S", "-c", count]).decode().strip()]))
    """

    async def scenario(spawner: Spawner) -> None:
        for _ in range(3):
            await spawner.run(workbench.python(source))
            own, kind, inherited = json.loads(workbench.stdout.read_text())
            assert (own, kind, inherited) == ([3], "socket", "0")

    workbench.drive(scenario)


def test_a_flood_waits(workbench: Workbench) -> None:
    """A job that writes and writes is read at a bounded rate, and its limits are watched all the while."""
    source = """
        import os
        while True: os.write(3, b"x" * 65536)
    """
    ended, heard = run(workbench, workbench.python(source, wall_time=1.5))
    assert ended.limit is not None and ended.limit.name == "wall_time"
    assert ended.wall_seconds < 3.0
    most = limits.CHANNEL_AT_ONCE + 3 * limits.CHANNEL_A_SECOND
    assert limits.CHANNEL_AT_ONCE <= len(heard) <= most


def test_who_does_not_read_is_told_no_more(workbench: Workbench) -> None:
    """Words to a job that reads none pile up nowhere, and stop nobody."""
    request = workbench.python("import os, time; os.write(3, b'x'); time.sleep(0.5)")

    async def scenario(spawner: Spawner) -> Ended:
        first: Deferred[bytes] = Deferred()
        spawner.heard = first.callback
        running = Deferred.fromCoroutine(spawner.run(request))
        await first
        for _ in range(200):
            spawner.say(b"y" * 4096)
        return await running

    assert workbench.drive(scenario).exit_status == 0
