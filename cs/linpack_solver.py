"""The Linpack benchmark: one thread, double precision, checked as HPL checks it. Runs as a process of its own.

Repeatable rather than flattering: the same system every time, and the median counts. The only module of the compute
server that loads numpy; ``cs.linpack.measure`` starts it.

Source: J. Dongarra, P. Luszczek, A. Petitet, "The LINPACK Benchmark: past, present and future", 2003.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from cs.linpack import RESIDUAL_LIMIT, LinpackError, LinpackRecord, surroundings

Array = NDArray[np.floating]

N = 1000
"""Unknowns: the matrix (8 MB) is out of most inner caches' reach, and one solve takes 10–300 ms."""
MIN_SOLVES = 3
MAX_SOLVES = 15
ENOUGH = 0.3
"""Seconds of solving after which MIN_SOLVES suffice: fast machines need more solves for a steady median."""


def main(arguments: list[str]) -> int:
    """Print the record of this machine as JSON. Raises LinpackError when a solution is wrong."""
    sys.stdout.buffer.write(msgspec.json.encode(benchmark()))
    return 0


def _lapack(matrix: Array, right: Array) -> Array:
    return np.linalg.solve(matrix, right)


def benchmark(n: int = N, solve: Callable[[Array, Array], Array] = _lapack) -> LinpackRecord:
    """Solve a random dense system of ``n`` unknowns repeatedly, in this process. Raises LinpackError."""
    generator = np.random.default_rng(seed=1)
    matrix, right = generator.random((n, n)) - 0.5, generator.random(n) - 0.5
    solve(matrix, right)  # untimed: loads code, raises the clock frequency
    times: list[float] = []
    residual = 0.0
    while len(times) < MIN_SOLVES or (sum(times) < ENOUGH and len(times) < MAX_SOLVES):
        before = time.perf_counter()
        solution = solve(matrix, right)
        times.append(time.perf_counter() - before)
        residual = max(residual, _checked(scaled_residual(matrix, solution, right)))
    return _record(n, times, residual)


def mflops(n: int, seconds: float) -> float:
    """Speed of one solve: LINPACK's (2/3 n³ + 2 n²) operations in ``seconds``, in 10⁶ a second."""
    return (2 / 3 * n**3 + 2 * n**2) / seconds / 1e6


def scaled_residual(matrix: Array, solution: Array, right: Array) -> float:
    """HPL's check: ‖Ax−b‖∞ / (ε (‖A‖∞ ‖x‖∞ + ‖b‖∞) n), where ε is the unit round-off 2⁻⁵³."""
    error = np.abs(matrix @ solution - right).max()
    norm = np.abs(matrix).sum(axis=1).max() * np.abs(solution).max() + np.abs(right).max()
    return float(error / (np.finfo(np.float64).eps / 2 * norm * len(right)))


def _checked(residual: float) -> float:
    if not residual < RESIDUAL_LIMIT:  # so that NaN fails too
        raise LinpackError(f"the solution is wrong: scaled residual {residual:g}, allowed {RESIDUAL_LIMIT:g}")
    return residual


def _record(n: int, times: list[float], residual: float) -> LinpackRecord:
    here = surroundings()
    return LinpackRecord(
        n=n,
        solves=len(times),
        median_mflops=mflops(n, statistics.median(times)),
        best_mflops=mflops(n, min(times)),
        residual=residual,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cpu_model=here.cpu_model,
        numpy_version=here.numpy_version,
        blas=_blas(),
        python_version=here.python_version,
    )


def _blas() -> str:
    """What numpy says of the BLAS that it was built with, in one line."""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    parts = (built.get(key) for key in ("name", "version", "openblas configuration"))
    return " ".join(" ".join(str(part) for part in parts if part).split())
