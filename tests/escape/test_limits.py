"""Hostile jobs that take more than they were given, where it is hard to see; the report says which limit it was."""

from __future__ import annotations

import errno
import re
import signal
from typing import Any

import pytest
from escape_yard import Way, Yard, outcome, wait_until

from cs.spawner.messages import LimitName
from rjs.limits import GIB, MIB

_HOGS: list[tuple[str, LimitName, dict[str, Any]]] = [
    ("allocated", "memory", {"memory": 100 * MIB}),
    ("tmp", "memory", {"memory": 100 * MIB, "tmp_bytes": 400 * MIB}),
    ("shm", "memory", {"memory": 100 * MIB, "tmp_bytes": 400 * MIB}),
    ("tmp_and_allocated", "memory", {"memory": 100 * MIB, "tmp_bytes": 100 * MIB}),
    ("page_tables", "memory", {"memory": 100 * MIB}),
    ("bytes_on_disk", "disk", {"disk": 50 * MIB}),
    ("bytes_unlinked", "disk", {"disk": 50 * MIB}),
    ("bytes_unnamed", "disk", {"disk": 50 * MIB}),
    ("bytes_hidden", "disk", {"disk": 50 * MIB}),
    ("bytes_behind_a_door", "files", {"files": 500, "disk": 50 * MIB}),
    ("bytes_behind_a_pane", "files", {"files": 500, "disk": 50 * MIB}),
    ("bytes_reserved", "disk", {"disk": 50 * MIB}),
    ("bytes_beside", "disk", {"disk": 50 * MIB}),
    ("many_files", "files", {"files": 1_000}),
    ("deep_folders", "files", {"files": 1_000}),
    ("one_file", "file_size", {"file_size": 20 * MIB, "disk": 1 * GIB}),
    ("processor", "cpu_time", {"cpu_time": 0.5}),
    ("processors", "cpu_time", {"cpu_time": 1.0, "processes": 50}),
    ("sleeper", "wall_time", {"wall_time": 0.7}),
    ("bomb", "processes", {"processes": 40}),
    ("stdout", "output", {"output": 1 * MIB, "file_size": 64 * MIB}),
    ("stderr", "output", {"output": 1 * MIB, "file_size": 64 * MIB}),
]


@pytest.mark.parametrize(("hog", "limit", "allowed"), _HOGS, ids=[row[0] for row in _HOGS])
def test_who_takes_too_much_is_ended_for_it(
    yard: Yard, way: Way, hog: str, limit: LimitName, allowed: dict[str, Any]
) -> None:
    """It ends long before it is through, nothing of it lives on, and the report names the limit and the amount."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.inside(way, place, "hogs.py", hog, **allowed)), place)
    ended = done.ended
    assert ended.limit is not None, (ended, done.stderr)
    assert (ended.limit.name, ended.limit.allowed) == (limit, allowed[limit]), ended
    assert ended.limit.measured >= allowed[limit]
    assert (hog in done.told, ended.left) == (False, 0)
    assert ended.wall_seconds < 10


@pytest.mark.parametrize(
    ("hog", "error"),
    [
        ("tmp", errno.ENOSPC),
        ("shm", errno.ENOSPC),
        ("memfd", errno.ENOSYS),
        ("sysv", errno.ENOSYS),
    ],
)
def test_memory_that_is_in_no_process_has_a_wall(yard: Yard, way: Way, hog: str, error: int) -> None:
    """Files in memory are sized, and what nobody could count is not to be had."""
    with yard.spawner() as spawner:
        place = yard.place()
        request = yard.inside(way, place, "hogs.py", hog, memory=1 * GIB, tmp_bytes=20 * MIB)
        done = outcome(spawner.run(request), place)
    assert done.ended.exit_status == 1, done
    assert f"[Errno {error}]" in done.stderr


@pytest.mark.parametrize("hog", ["tmp_names", "pipes"])
def test_memory_of_the_kernels_has_a_wall(yard: Yard, way: Way, hog: str) -> None:
    """Names of empty files and what waits in pipes are as few as the kernel's own bounds, or count."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.inside(way, place, "hogs.py", hog, memory=100 * MIB)), place)
    limited = done.ended.limit is not None and done.ended.limit.name == "memory"
    assert limited or re.search(r"\[Errno (28|1|24|12)\]", done.stderr), done
    assert hog not in done.told


def test_descriptors_have_an_end(yard: Yard, way: Way) -> None:
    """The kernel refuses the next one, and the job may do with what it has."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.inside(way, place, "hogs.py", "descriptors", descriptors=100)), place)
    refused, had = done.told["descriptors"]
    assert (refused, done.ended.exit_status) == (errno.EMFILE, 0)
    assert 80 < had < 100


def test_threads_have_an_end(yard: Yard, way: Way) -> None:
    """The kernel counts them where the watch counts processes."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(
            spawner.run(yard.inside(way, place, "hogs.py", "threads", processes=20, wall_time=5.0)), place
        )
    assert "threads" not in done.told
    assert "can't start new thread" in done.stderr or done.ended.limit is not None


def test_who_takes_long_to_end_hides_nothing(yard: Yard, way: Way) -> None:
    """A process that has a lot of memory to give back shows its descriptors to nobody meanwhile, and may."""
    with yard.spawner() as spawner:
        place = yard.place()
        request = yard.inside(way, place, "hogs.py", "much_to_free", memory=3 * GIB)
        done = outcome(spawner.run(request), place)
    assert (done.ended.exit_status, done.ended.limit) == (0, None), done
    assert done.told == {"much_to_free": "taken"}


def test_a_stop_ends_the_deaf(yard: Yard, way: Way) -> None:
    """Asked to end, a job may take its grace, and is killed with all that it hid when that is over."""
    with yard.spawner() as spawner:
        place = yard.place()
        spawner.start(yard.inside(way, place, "hogs.py", "sleeper"))
        wait_until(lambda: "ready" in place.stdout.read_text())
        spawner.stop(grace=0.3)
        ended = spawner.wait()
    assert (ended.signal, ended.stopped, ended.limit, ended.left) == (signal.SIGKILL, True, None, 0)
