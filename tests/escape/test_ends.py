"""Hostile jobs that would outlive their end, and ends that nobody planned: whoever dies, all that is a job's dies."""

from __future__ import annotations

import base64
import signal

import msgspec
import psutil
import pytest
from escape_account import Account
from escape_yard import Spawner, Way, Yard, outcome, wait_until

from cs.spawner.messages import Started, frame

_DAEMONS = 5
_SERVER = """
import base64, os, socket, subprocess, sys, time
ours, theirs = socket.socketpair()
boot = "import sys; from cs.spawner.main import main; sys.exit(main(sys.argv[1:]))"
argv = [sys.executable, "-I", "-c", boot, str(theirs.fileno()), str(os.getpid())]
subprocess.Popen(argv, pass_fds=[theirs.fileno()], start_new_session=True, stdout=subprocess.DEVNULL)
theirs.close()
ours.sendall(base64.b64decode(sys.argv[1]))
time.sleep(60)
"""


def test_daemons_are_gone_when_the_end_is_reported(yard: Yard, account: Account, way: Way) -> None:
    """Processes that left session, group and parent are dead and counted when the attempt is over."""
    with yard.spawner() as spawner:
        place = yard.place()
        ended = spawner.run(yard.inside(way, place, "daemons.py", "end"))
        assert _told_apart(account)[1] == []
    assert (ended.exit_status, ended.strays, ended.left) == (3, _DAEMONS, 0), place.stderr.read_text()


def test_whoever_is_killed_leaves_nothing(yard: Yard, account: Account, way: Way) -> None:
    """kill -9 of one process in its turn: the spawner, who makes cells, ``bwrap``, the cell's first, the job itself.

    A spawner that lives reports an end, and runs the next attempt.
    """
    for turn in range(20):
        with yard.spawner() as spawner:
            _start(yard, way, spawner)
            ours, jobs = _told_apart(account)
            victims = [*ours, jobs[0]]
            if turn == len(victims):
                break
            victims[turn].kill()
            if victims[turn].pid == spawner.process.pid:
                wait_until(lambda: account.processes() == [])
                continue
            if turn > 1 or way == "bubblewrap":  # a zygote that dies may take its cells along, or not
                assert spawner.wait().left == 0
                assert _told_apart(account)[1] == []
    else:
        pytest.fail("every process of ours was killed, and there were always more")
    assert turn >= 3


@pytest.mark.parametrize("youngest_first", [False, True])
def test_all_of_ours_killed_at_once(yard: Yard, account: Account, way: Way, youngest_first: bool) -> None:
    """kill -9 of every process that watches a job, one right after the other: the job does not live without them."""
    with yard.spawner() as spawner:
        _start(yard, way, spawner)
        ours, jobs = _told_apart(account)
        assert len(jobs) == 1 + _DAEMONS
        for process in sorted(ours, key=lambda each: each.pid, reverse=youngest_first):
            process.kill()
        wait_until(lambda: account.processes() == [])


def test_the_server_killed_with_all_of_ours(yard: Yard, account: Account, way: Way) -> None:
    """kill -9 of a compute server and of whatever it started, at once, the server first."""
    place = yard.place()
    request = base64.b64encode(frame(yard.inside(way, place, "daemons.py", "stay"))).decode()
    with account.start("-c", _SERVER, request) as server:
        wait_until(lambda: place.stdout.exists() and "ready" in place.stdout.read_text())
        ours, jobs = _told_apart(account)
        assert (len(jobs), ours[0].pid) == (1 + _DAEMONS, server.pid)
        for process in ours:
            process.kill()
        wait_until(lambda: account.processes() == [])


def test_a_server_that_is_killed_leaves_nothing(yard: Yard, account: Account, way: Way) -> None:
    """kill -9 of a compute server alone: the spawner is told by its socket and by the kernel."""
    place = yard.place()
    request = base64.b64encode(frame(yard.inside(way, place, "daemons.py", "stay"))).decode()
    with account.start("-c", _SERVER, request) as server:
        wait_until(lambda: place.stdout.exists() and "ready" in place.stdout.read_text())
        server.kill()
        wait_until(lambda: account.processes() == [])


def test_a_server_that_goes_takes_all_along(yard: Yard, account: Account, way: Way) -> None:
    """Its end of the socket closes, as when it is killed: the spawner ends everything, and itself."""
    with yard.spawner() as spawner:
        _start(yard, way, spawner)
    assert account.processes() == []


def test_a_cells_first_process_hears_no_signal(yard: Yard, way: Way) -> None:
    """Whatever a job sends to its parent, the parent lives on, says how the job ended, and takes the next one."""
    with yard.spawner() as spawner:
        for _ in range(2):
            place = yard.place()
            done = outcome(spawner.run(yard.inside(way, place, "signals.py")), place)
            assert signal.SIGKILL in done.told["sent"]
            assert (done.ended.exit_status, done.ended.signal, done.ended.strays) == (7, None, 0)


def test_what_was_loaded_in_advance_ends_with_its_task(yard: Yard, account: Account, way: Way) -> None:
    """A package that a cell's first process loaded runs no more when the end is reported: what the server then reads
    and removes of the folder, nobody changes."""
    with yard.spawner() as spawner:
        place = yard.place()
        request = yard.inside(way, place, "turned.py")
        assert request.sandbox is not None
        turned = msgspec.structs.replace(request.sandbox, preload=("turned",), python_paths=("/work/job",))
        done = outcome(spawner.run(msgspec.structs.replace(request, sandbox=turned)), place)
        assert done.told == {"changed by": "the first process"}, (done, done.stderr)
        assert [process for process in account.processes() if process.num_threads() > 1] == []


def _start(yard: Yard, way: Way, spawner: Spawner) -> Started:
    """A job that stays, once its daemons are there."""
    place = yard.place()
    started = spawner.start(yard.inside(way, place, "daemons.py", "stay"))
    wait_until(lambda: "ready" in place.stdout.read_text())
    return started


def _told_apart(account: Account) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Our processes and the job's, which say so themselves; the oldest of each first."""
    living = account.processes()
    jobs = [process for process in living if process.name() == "hostile"]
    return [process for process in living if process not in jobs], jobs
