"""The Linpack figure: what is kept of it, when it is taken again, and how its processes fail."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from twisted.logger import capturedLogs

import cs
from cs import linpack, linpack_processes
from cs.linpack import Surroundings, is_provisional, largest, load_or_measure, measure, surroundings, sweep
from cs.linpack_processes import ONE_THREAD, solve_together
from cs.linpack_values import Library, LinpackError, LinpackRecord, Order, mflops
from cs.offer import cores_of_machine
from rjs.limits import GIB

HERE = Surroundings("some CPU", 4, Library("2.4.6", "3.11.7", "libopenblas.so (SkylakeX)"))


def record(**changes: Any) -> LinpackRecord:
    """A whole record of ``HERE``, as if measured before."""
    made = LinpackRecord(
        n=2000, solves=5, median_mflops=1000.0, best_mflops=1100.0, spread=0.1, residual=0.01,
        all_cores_mflops=3000.0, used_by_others=0.0, date="2026-06-01T12:00:00+00:00", cores=HERE.cores,
        cpu_model=HERE.cpu_model, numpy_version=HERE.library.numpy_version,
        python_version=HERE.library.python_version, blas=HERE.library.blas,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def load(folder: Path, measuring: Callable[[], LinpackRecord]) -> LinpackRecord:
    return load_or_measure(folder, measuring, lambda: HERE)


def never() -> LinpackRecord:
    """Measuring, where the cache should do."""
    raise AssertionError("measured again")


def test_speed_counts_linpacks_operations() -> None:
    """n = 1000 are 2/3·10⁹ + 2·10⁶ operations (LINPACK's own count: 668.67 million)."""
    assert mflops(1000, 1.0) == pytest.approx(668.6667, abs=1e-3)
    assert mflops(1000, 0.5) == pytest.approx(2 * mflops(1000, 1.0))


def test_the_machine_is_measured_quickly_in_processes_of_their_own() -> None:
    """A whole record in two steps, on one core and on all, of what numpy's BLAS says of itself; each process takes
    less than two seconds of a core."""
    steps: list[int] = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = measure(steps.append)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert used < 2 * (1 + cores_of_machine())
    assert steps == [1, 2]
    assert result.n in (500, 1000, 2000)
    assert result.solves >= 3
    assert 0 < result.median_mflops <= result.best_mflops
    assert result.all_cores_mflops is not None
    assert 0 < result.all_cores_mflops < 2 * cores_of_machine() * result.best_mflops
    assert 0 < result.residual < 1
    there = Library(result.numpy_version, result.python_version, result.blas)
    assert Surroundings(result.cpu_model, result.cores, there) == surroundings()


def test_a_start_takes_the_short_figure(tmp_path: Path) -> None:
    """One core alone: it is provisional, and a second start takes it from the cache."""
    first = load_or_measure(tmp_path)
    assert first.all_cores_mflops is None
    assert is_provisional(first)
    assert load_or_measure(tmp_path, never) == first


def test_each_size_is_told_as_it_is_solved() -> None:
    """For the picture of MFLOPS over n."""
    steps: list[int] = []
    points = sweep([50, 100], steps.append)
    assert next(points)[0] == 50
    assert steps == [1]
    (last,) = points
    assert last[0] == 100
    assert last[1] > 0


def test_the_server_loads_no_numpy() -> None:
    """BLAS brings threads, and a server with threads cannot fork safely."""
    code = "import sys, cs.linpack; cs.linpack.surroundings(); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(cs.__file__).parent.parent, check=True)


def test_the_benchmark_runs_with_one_thread() -> None:
    """Whatever the owner's environment says: the child gets a complete environment that says one."""
    code = "import os, numpy as n; n.ones((300, 300)) @ n.ones((300, 300)); print(len(os.listdir('/proc/self/task')))"
    printed = subprocess.run(
        [sys.executable, "-c", code], env=ONE_THREAD, capture_output=True, check=True, text=True
    )
    assert printed.stdout.strip() == "1"


def test_many_cores_take_no_more_than_their_part_of_the_memory() -> None:
    """The size goes down with the memory of each core, to a size that any desktop holds."""
    assert largest(2000, 4, 16 * GIB) == 2000
    assert largest(2000, 64, 16 * GIB) == 1000
    assert largest(2000, 64, GIB) == 1000


def test_a_figure_is_measured_once(tmp_path: Path) -> None:
    """The second start reads what the first one measured."""
    assert load(tmp_path, record) == record()
    assert load(tmp_path, never) == record()
    assert (tmp_path / "linpack.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("changed", [
    {"cpu_model": "another"}, {"numpy_version": "1"}, {"python_version": "3"}, {"cores": 3}, {"blas": "libblas.so.3"},
])  # fmt: skip
def test_another_machine_or_library_is_measured_again(tmp_path: Path, changed: dict[str, Any]) -> None:
    """A disk that moved, an upgrade, another alternative for BLAS: each changes the speed."""
    load(tmp_path, lambda: record(**changed))
    assert load(tmp_path, record) == record()
    assert load(tmp_path, never) == record()


OLD = (
    b'{"n": 1000, "solves": 15, "median_mflops": 35101.1, "best_mflops": 37000.2, "residual": 0.003, "date":'
    b' "2026-10-01T12:00:00+00:00", "cpu_model": "some CPU", "numpy_version": "2.4.6", "blas":'
    b' "scipy-openblas 0.3.31", "python_version": "3.11.7"}'
)
"""The cache of the release before."""


@pytest.mark.parametrize("damage", [
    OLD, b"", b"{", b"\xff", b"null", b"x" * (linpack.CACHE_FILE + 1),
    msgspec.json.encode({**msgspec.to_builtins(record()), "median_mflops": -5}),
    msgspec.json.encode({**msgspec.to_builtins(record()), "residual": 17}),
    msgspec.json.encode({**msgspec.to_builtins(record()), "extra": 1}),
    msgspec.json.encode(record()).replace(b"1000.0", b"1e999"),
])  # fmt: skip
def test_a_damaged_or_old_cache_is_measured_again(tmp_path: Path, damage: bytes) -> None:
    """Nothing of it is believed, the log says so, and the new record takes its place."""
    (tmp_path / "linpack.json").write_bytes(damage)
    with capturedLogs() as logged:
        assert load(tmp_path, record) == record()
    assert any("will be measured again" in (event["log_format"] or "") for event in logged)
    assert load(tmp_path, never) == record()


@pytest.mark.parametrize(("changed", "provisional"), [
    ({}, False), ({"all_cores_mflops": None}, True),
    ({"used_by_others": 0.5}, True), ({"used_by_others": 0.1}, False),
])  # fmt: skip
def test_what_is_provisional(changed: dict[str, Any], provisional: bool) -> None:
    """The short figure, and any that was taken while others worked."""
    assert is_provisional(record(**changed)) is provisional


def child(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """The benchmark's processes run this instead."""
    monkeypatch.setattr(linpack_processes, "module_argv", lambda *_: [sys.executable, "-c", code])


def test_a_failing_benchmark_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of the child's complaint reaches the owner; a child that hangs is given up."""
    child(monkeypatch, "raise SystemExit('the memory is broken')")
    with pytest.raises(LinpackError, match="the memory is broken"):
        measure()
    with pytest.raises(LinpackError, match="the memory is broken"):
        solve_together(100, 0.1, 2)
    child(monkeypatch, "print('{}')")
    with pytest.raises(LinpackError, match="not credible"):
        measure()
    with pytest.raises(LinpackError, match="not credible"):
        solve_together(100, 0.1, 2)
    monkeypatch.setattr(linpack_processes, "TIMEOUT", 0.2)
    child(monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(LinpackError, match="did not end"):
        measure()


def test_one_process_that_fails_leaves_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A solver that is ready and then computes wrongly says so; those beside it, which would wait, are gone."""
    child(monkeypatch, "print('ready', flush=True); input(); raise SystemExit('wrong')")
    started: list[linpack_processes.Child] = []
    real = linpack_processes._start

    def start(order: Order) -> linpack_processes.Child:
        started.append(real(order))
        return started[-1]

    monkeypatch.setattr(linpack_processes, "_start", start)
    with pytest.raises(LinpackError, match="wrong"):
        solve_together(100, 0.1, 3)
    assert len(started) == 3
    assert all(each.returncode is not None for each in started)


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: Other\n", "Some CPU @ 3 GHz"),
        ("Hardware : x\nModel\t\t: Raspberry Pi 4\n", "Raspberry Pi 4"),
    ],
)
def test_the_processor_is_named_as_the_kernel_names_it(tmp_path: Path, text: str, model: str) -> None:
    """The first name in /proc/cpuinfo, on PCs and on small boards."""
    (tmp_path / "cpuinfo").write_text(text)
    assert linpack.cpu_model(tmp_path / "cpuinfo") == model


def test_a_processor_without_a_name_is_its_architecture(tmp_path: Path) -> None:
    """Never empty."""
    assert linpack.cpu_model(tmp_path / "absent")
