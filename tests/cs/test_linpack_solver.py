"""The benchmark's arithmetic and its check, in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs import blas, linpack_solver
from cs.linpack_solver import Array, System, benchmark, chosen, scaled_residual
from cs.linpack_values import LinpackError


def test_the_residual_is_the_one_of_hpl() -> None:
    """Worked by hand for a system of two: ‖Ax−b‖=0.5, ‖A‖=7, ‖x‖=1, ‖b‖=7, n=2."""
    matrix, right = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([3.5, 7.0])
    expected = 0.5 / (2.0**-53 * (7 * 1 + 7) * 2)
    assert scaled_residual(matrix, np.array([1.0, 1.0]), right) == pytest.approx(expected)


def test_a_real_solve_is_far_below_the_limit() -> None:
    """What LAPACK computes passes, and is counted with at least three solves."""
    result = benchmark(System(120), 0.0)
    assert 0 < result.residual < 1
    assert len(result.times) == linpack_solver.MIN_SOLVES
    assert result.n == 120


@given(
    wrong=st.sampled_from([1e-9, 1.0, float("nan"), float("inf")]),
    place=st.integers(0, 19),
    turn=st.integers(0, 3),
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
        benchmark(System(20, faulty), 0.0)


@pytest.mark.parametrize(
    ("mflops", "n"), [(100_000, 2000), (25_000, 2000), (12_000, 1000), (3_000, 1000), (500, 500)]
)
def test_a_slow_machine_solves_smaller_systems(mflops: float, n: int) -> None:
    """Of the size that is chosen three solves fit in the time, as far as its half can tell."""

    class Simulated(System):
        def __init__(self, n: int) -> None:
            self.n = n

        def solve(self) -> tuple[float, float]:
            return 2 / 3 * self.n**3 / mflops / 1e6, 0.01

    assert chosen(2000, 0.7, Simulated) == n


def test_the_blas_in_use_tells_its_version_and_kernels() -> None:
    """Numpy's own wheels bring OpenBLAS, which says which processor it computes for."""
    said = blas.blas_in_use()
    assert "openblas" in said.lower()
    assert "MAX_THREADS" in said


def test_other_libraries_are_named_as_they_are_loaded(tmp_path: Path) -> None:
    """Only libraries count, each once, and a name may hold blanks; where the system does not tell, none."""
    row = "7f00-7f01 r-xp 00000000 08:01 1  "
    paths = [
        "/usr/lib/my libs/libblas.so.3",
        "/opt/libmkl_rt.so",
        "/x/_umath_linalg.blas.so",
        "/usr/lib/libc.so.6",
    ]
    (tmp_path / "maps").write_text("".join(f"{row}{path}\n" for path in [*paths, *paths]) + f"{row}\n")
    assert [each.name for each in blas._loaded(tmp_path / "maps")] == ["libmkl_rt.so", "libblas.so.3"]
    assert blas._loaded(tmp_path / "absent") == []
