"""Hostile jobs that leave something for whoever comes next: the same bundle's next task, and another bundle's."""

from __future__ import annotations

import os
from typing import Any

import pytest
from escape_yard import Spawner, Way, Yard, outcome

_REMNANTS = ("daemons", "files", "kernel_objects", "attributes", "parent", "own_process")
_SEEN = {
    "processes", "signals", "umask", "environment", "path", "modules", "patched", "timers", "in /tmp", "in /dev/shm",
    "in /work", "sockets", "priority", "scheduler", "processors", "ioprio of 1",
}  # fmt: skip
_KEY = 0x524A53FF - os.getpid() % 256


def test_the_next_task_finds_nothing(yard: Yard, way: Way) -> None:
    """Processes, files, sockets, kernel objects, priorities, modes and modules: the next task of a bundle finds what
    the first one found, and so does the first of another bundle."""
    with yard.spawner() as spawner:
        before = _look(yard, way, spawner, "bundle")
        told = _leave(yard, way, spawner)
        after = _look(yard, way, spawner, "bundle")
        elsewhere = _look(yard, way, spawner, "another")
    assert told["all"] == "left"
    assert _changed(before, after) == {}
    assert _changed(before, elsewhere) == {}


@pytest.mark.parametrize("remnant", _REMNANTS)
def test_one_by_one(yard: Yard, way: Way, remnant: str) -> None:
    """Whatever a task leaves, alone and so without a cell being given up for something else."""
    with yard.spawner() as spawner:
        before = _look(yard, way, spawner, "bundle")
        _leave(yard, way, spawner, remnant)
        assert _changed(before, _look(yard, way, spawner, "bundle")) == {}


def test_they_are_there_as_long_as_the_task_is(yard: Yard, way: Way) -> None:
    """The control: a look at the remnants before the task's end sees each of them."""
    with yard.spawner() as spawner:
        before = _look(yard, way, spawner, "bundle")
        told = _leave(yard, way, spawner, "look", *_REMNANTS)
    assert {name for name in before.keys() & told.keys() if before[name] != told[name]} >= _SEEN


def _look(yard: Yard, way: Way, spawner: Spawner, bundle: str) -> dict[str, Any]:
    place = yard.place(bundle)
    done = outcome(spawner.run(yard.inside(way, place, "look.py", str(_KEY))), place)
    assert done.ended.exit_status == 0, done.stderr
    return done.told


def _leave(yard: Yard, way: Way, spawner: Spawner, *what: str) -> dict[str, Any]:
    place = yard.place()
    done = outcome(spawner.run(yard.inside(way, place, "remnants.py", str(_KEY), *what)), place)
    assert done.told.get("all") == "left", (done.ended, done.stderr)
    return done.told


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What differs, but for the numbers of a cell itself."""
    assert before.keys() == after.keys()
    names = before.keys() - {"namespaces", "mounts"}
    return {name: (before[name], after[name]) for name in names if before[name] != after[name]}
