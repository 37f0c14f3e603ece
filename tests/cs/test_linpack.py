"""The Linpack figure: its arithmetic, its check, and its cache."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cs
from cs import linpack, linpack_solver
from cs.linpack import LinpackError, LinpackRecord, load_or_measure, measure, surroundings
from cs.linpack_solver import Array, benchmark, mflops, scaled_residual


def record(**changes: Any) -> LinpackRecord:
    """A record of this machine, as if measured before."""
    here = surroundings()
    made = LinpackRecord(
        n=1000,
        solves=3,
        median_mflops=1000.0,
        best_mflops=1100.0,
        residual=0.01,
        date="2026-06-01T12:00:00+00:00",
        cpu_model=here.cpu_model,
        numpy_version=here.numpy_version,
        blas="some",
        python_version=here.python_version,
    )
    return msgspec.structs.replace(made, **changes)


def never() -> LinpackRecord:
    """Measuring, where the cache should do."""
    raise AssertionError("measured again")


def test_speed_counts_linpacks_operations() -> None:
    """n = 1000 are 2/3·10⁹ + 2·10⁶ operations (LINPACK's own count: 668.67 million)."""
    assert mflops(1000, 1.0) == pytest.approx(668.6667, abs=1e-3)
    assert mflops(1000, 0.5) == pytest.approx(2 * mflops(1000, 1.0))


def test_the_residual_is_the_one_of_hpl() -> None:
    """Worked by hand for a system of two: ‖Ax−b‖=0.5, ‖A‖=7, ‖x‖=1, ‖b‖=7, n=2."""
    matrix, right = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([3.5, 7.0])
    expected = 0.5 / (2.0**-53 * (7 * 1 + 7) * 2)
    assert scaled_residual(matrix, np.array([1.0, 1.0]), right) == pytest.approx(expected)


def test_a_real_solve_is_far_below_the_limit() -> None:
    """What LAPACK computes passes, and is counted with at least three solves."""
    result = benchmark(n=120)
    assert 0 < result.residual < 1
    assert linpack_solver.MIN_SOLVES <= result.solves <= linpack_solver.MAX_SOLVES
    assert 0 < result.median_mflops <= result.best_mflops


@given(
    wrong=st.sampled_from([1e-9, 1.0, float("nan"), float("inf")]),
    place=st.integers(0, 19),
    turn=st.integers(1, 3),
)
def test_one_wrong_number_in_one_solve_fails_the_benchmark(wrong: float, place: int, turn: int) -> None:
    """A machine that computes wrongly, even once and slightly, gets no figure."""
    solves = iter(range(1000))

    def faulty(matrix: Array, right: Array) -> Array:
        solution = np.linalg.solve(matrix, right)
        if next(solves) == turn:
            solution[place] += wrong
        return solution

    with np.errstate(invalid="ignore"), pytest.raises(LinpackError, match="residual"):
        benchmark(n=20, solve=faulty)


def test_the_machine_is_measured_quickly_in_a_process_of_its_own() -> None:
    """A whole record, within three seconds beyond a bare import of numpy; the server itself never loads numpy."""
    before = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import numpy"], check=True)
    floor = time.perf_counter() - before
    before = time.perf_counter()
    result = measure()
    assert time.perf_counter() - before < 3 + 2 * floor
    assert (result.n, result.solves >= 3) == (1000, True)
    assert result.blas
    assert result.cpu_model == surroundings().cpu_model


def test_the_server_loads_no_numpy() -> None:
    """BLAS brings threads, and a server with threads cannot fork safely."""
    code = "import sys, cs.linpack; cs.linpack.surroundings(); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(cs.__file__).parent.parent, check=True)


def test_the_benchmark_runs_with_one_thread() -> None:
    """Whatever the owner's environment says: the child gets a complete environment that says one."""
    code = "import os, numpy as n; n.ones((300, 300)) @ n.ones((300, 300)); print(len(os.listdir('/proc/self/task')))"
    printed = subprocess.run(
        [sys.executable, "-c", code], env=linpack.ONE_THREAD, capture_output=True, check=True, text=True
    )
    assert printed.stdout.strip() == "1"


def test_a_figure_is_measured_once(tmp_path: Path) -> None:
    """The second start reads what the first one measured."""
    assert load_or_measure(tmp_path, record) == record()
    assert load_or_measure(tmp_path, never) == record()
    assert (tmp_path / "linpack.json").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("field", ["cpu_model", "numpy_version", "python_version"])
def test_another_machine_or_library_is_measured_again(tmp_path: Path, field: str) -> None:
    """A disk that moved, or an upgrade, changes the speed."""
    load_or_measure(tmp_path, lambda: record(**{field: "another"}))
    assert load_or_measure(tmp_path, record) == record()
    assert load_or_measure(tmp_path, never) == record()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"\xff",
        b"null",
        b"x" * (linpack.CACHE_FILE + 1),
        msgspec.json.encode({**msgspec.to_builtins(record()), "median_mflops": -5}),
        msgspec.json.encode({**msgspec.to_builtins(record()), "residual": 17}),
        msgspec.json.encode({**msgspec.to_builtins(record()), "extra": 1}),
        msgspec.json.encode(record()).replace(b"1000.0", b"1e999"),
    ],
)
def test_a_damaged_cache_is_measured_again(tmp_path: Path, damage: bytes) -> None:
    """Nothing of it is believed, and the new record takes its place."""
    (tmp_path / "linpack.json").write_bytes(damage)
    assert load_or_measure(tmp_path, record) == record()
    assert load_or_measure(tmp_path, never) == record()


def test_a_failing_benchmark_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line of the child's complaint reaches the owner; a child that hangs is given up."""
    fail = [sys.executable, "-c", "raise SystemExit('the memory is broken')"]
    monkeypatch.setattr(linpack, "module_argv", lambda *_: fail)
    with pytest.raises(LinpackError, match="the memory is broken"):
        measure()
    monkeypatch.setattr(linpack, "module_argv", lambda *_: [sys.executable, "-c", "print('{}')"])
    with pytest.raises(LinpackError, match="not credible"):
        measure()
    monkeypatch.setattr(linpack, "TIMEOUT", 0.2)
    monkeypatch.setattr(linpack, "module_argv", lambda *_: ["/bin/sleep", "60"])
    with pytest.raises(LinpackError, match="did not end"):
        measure()


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
