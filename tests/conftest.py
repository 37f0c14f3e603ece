"""Fixtures that tests of several packages share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from cs.spawner.testing import Workbench

LivingBelow = Callable[[int], list[int]]


@pytest.fixture
def living_below() -> LivingBelow:
    """The numbers of all living processes below a given one; reaps the dead that the test process adopted."""

    def look(root: int) -> list[int]:
        living = []
        for process in psutil.Process(root).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process.pid)
                elif process.ppid() == os.getpid():
                    os.waitpid(process.pid, 0)
        return living

    return look


@pytest.fixture
def workbench(tmp_path: Path, living_below: LivingBelow) -> Iterator[Workbench]:
    """A folder and real spawners for attempts; afterwards no process is left below the test, orphans included."""
    yield Workbench(tmp_path)
    assert living_below(os.getpid()) == []
