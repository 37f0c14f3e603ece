"""When a compute server measures its whole figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import ensureDeferred

from cs.linpack import Surroundings, load_or_measure
from cs.linpack_values import Library, LinpackRecord
from cs.machine_load import CpuTime, cpu_time, used_by_others
from cs.speed_keeper import SpeedKeeper
from rjs.background import ImmediateWorkers


def record(**changes: Any) -> LinpackRecord:
    values: dict[str, Any] = {
        "n": 2000, "solves": 5, "median_mflops": 2.0, "best_mflops": 2.0, "spread": 0.0, "residual": 0.0,
        "all_cores_mflops": 4.0, "used_by_others": 0.0, "date": "", "cores": 2, "cpu_model": "", "numpy_version": "",
        "python_version": "", "blas": "",
    }  # fmt: skip
    return LinpackRecord(**(values | changes))


SHORT = record(median_mflops=1.0, all_cores_mflops=None)


class Machine:
    """With a keeper, whose looks see these shares of the cores used by others; ``busy``: it has a task."""

    def __init__(
        self, folder: Path, first: LinpackRecord = SHORT, result: LinpackRecord | None = None
    ) -> None:
        self.measured, self.busy, self.used, self.all = 0, "", 0.0, 0.0
        self.changes: list[LinpackRecord] = []
        self.result = result or record()
        self.keeper = SpeedKeeper(
            folder, first, ImmediateWorkers(), lambda: self.busy, self.changes.append, self.measure, self.load
        )

    def measure(self) -> LinpackRecord:
        self.measured += 1
        return self.result

    def load(self) -> CpuTime | None:
        return CpuTime(self.used, self.all)

    def look(self, *shares: float) -> None:
        for share in shares:
            self.all += 120.0
            self.used += 120.0 * share
            done: list[object] = []
            ensureDeferred(self.keeper.look()).addCallback(done.append)
            assert done == [None]


def test_a_quiet_machine_is_measured_once(tmp_path: Path) -> None:
    """After a quiet time from one look to the next; then the figure counts, is told, and is there after a restart."""
    machine = Machine(tmp_path)
    machine.look(0.0)
    assert machine.measured == 0
    machine.look(0.05, 0.0, 0.0)
    assert machine.measured == 1
    assert machine.changes == [machine.keeper.record] == [record()]
    here = Surroundings("", 2, Library("", "", ""))
    assert load_or_measure(tmp_path, lambda: SHORT, lambda: here) == record()


def test_a_machine_that_others_use_is_left_alone(tmp_path: Path) -> None:
    """Their work, or a task of ours, postpones it until the machine is quiet."""
    machine = Machine(tmp_path)
    machine.look(0.5, 0.5, 0.11)
    machine.busy = "a task runs"
    machine.look(0.0, 0.0)
    assert machine.measured == 0
    machine.busy = ""
    machine.look(0.0)
    assert machine.measured == 1


@pytest.mark.parametrize("result", [record(used_by_others=0.3), SHORT])
def test_a_disturbed_measurement_does_not_count(tmp_path: Path, result: LinpackRecord) -> None:
    """Who came meanwhile made it slower: it is taken again later, and what ranks us stays."""
    machine = Machine(tmp_path, result=result)
    machine.look(0.0, 0.0, 0.0)
    assert machine.measured == 2
    assert machine.changes == []
    assert machine.keeper.record == SHORT
    assert list(tmp_path.iterdir()) == []


def test_a_whole_figure_is_not_taken_again(tmp_path: Path) -> None:
    """It is what the cache had, of the same machine and libraries."""
    machine = Machine(tmp_path, first=record())
    machine.look(0.0, 0.0, 0.0)
    assert machine.measured == 0


def test_where_the_kernel_does_not_count_nobody_is_assumed(tmp_path: Path) -> None:
    """Else such a machine would never be measured."""
    machine = Machine(tmp_path)
    machine.keeper.load = lambda: None
    machine.look(0.9, 0.9)
    assert machine.measured == 1


def test_the_kernels_count_is_read(tmp_path: Path) -> None:
    """Idle and waiting for disks is not used; time stolen from a virtual machine is."""
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 200 300 1000 400 10 20 70 50 50\ncpu0 1 2 3 4\n")
    found = cpu_time(stat)
    assert found is not None
    assert found.used / found.all == pytest.approx(700 / 2100)
    stat.write_text("cpu  200 200 300 1000 400 10 20 170 50 50\n")
    assert used_by_others(found, cpu_time(stat), 0.0) == 1.0
    assert used_by_others(found, cpu_time(stat), (cpu_time_of(stat).all - found.all) / 4) == pytest.approx(
        0.75
    )


def cpu_time_of(stat: Path) -> CpuTime:
    found = cpu_time(stat)
    assert found is not None
    return found


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu 1 2 x 4 5\n", "intr 1 2 3 4 5 6 7 8\n", "cpu 1 2 3\n"])
def test_what_is_no_count_is_none(tmp_path: Path, text: str) -> None:
    """Nothing is guessed from it."""
    (tmp_path / "stat").write_text(text)
    assert cpu_time(tmp_path / "stat") is None
    assert used_by_others(None, CpuTime(1.0, 2.0), 0.0) == 0.0


def shares() -> Iterable[tuple[CpuTime, CpuTime, float]]:
    yield CpuTime(1.0, 2.0), CpuTime(1.0, 2.0), 0.0
    yield CpuTime(1.0, 2.0), CpuTime(1.5, 4.0), 9.0
    yield CpuTime(5.0, 9.0), CpuTime(1.0, 2.0), 0.0


@pytest.mark.parametrize(("before", "after", "own"), list(shares()))
def test_a_share_is_never_below_nothing(before: CpuTime, after: CpuTime, own: float) -> None:
    """No time passed, we used more than was counted, or the count began anew."""
    assert used_by_others(before, after, own) == 0.0
