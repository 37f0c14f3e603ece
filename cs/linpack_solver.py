"""The Linpack benchmark: one thread, double precision, checked as HPL checks it. Runs as a process of its own.

Repeatable rather than flattering: the same system every time, and every solve counts. The only module of the compute
server that loads numpy, with ``cs.blas``; ``cs.linpack`` starts it, one process for each core where all shall work.

Source: J. Dongarra, P. Luszczek, A. Petitet, "The LINPACK Benchmark: past, present and future", 2003.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from cs.blas import blas_in_use
from cs.linpack_values import (
    READY,
    RESIDUAL_LIMIT,
    Library,
    LinpackError,
    Order,
    Solved,
    library_versions,
)

Array = NDArray[np.floating]
Solve = Callable[[Array, Array], Array]

FIRST = 500
"""Unknowns of the first try; it doubles while MIN_SOLVES of the double fit in the time."""
MIN_SOLVES = 3
MAX_SOLVES = 50


def main(arguments: list[str]) -> int:
    """Carry out the order, which is JSON; prints JSON, a line for each size. Raises LinpackError when a solution is
    wrong."""
    order = msgspec.json.decode(arguments[0], type=Order)
    if not order.sizes:
        _say(library())
    for n in order.sizes:
        system = System(chosen(n, order.seconds) if order.may_be_less else n)
        if order.together:
            system.solve()
            _line(READY)
            sys.stdin.buffer.readline()  # all start at once
        _say(benchmark(system, order.seconds))
    return 0


class System:
    """A random dense system of ``n`` unknowns, always the same one for the same ``n``."""

    def __init__(self, n: int, solve: Solve = np.linalg.solve) -> None:
        generator = np.random.default_rng(seed=1)
        self.n = n
        self._matrix = np.asfortranarray(
            generator.random((n, n)) - 0.5
        )  # LAPACK's order: no transposing is timed
        self._right = generator.random(n) - 0.5
        self._solve = solve

    def solve(self) -> tuple[float, float]:
        """Seconds that it took, and the scaled residual. Raises LinpackError where that is above the limit."""
        before = time.perf_counter()
        solution = self._solve(self._matrix, self._right)
        seconds = time.perf_counter() - before
        return seconds, _checked(scaled_residual(self._matrix, solution, self._right))


def benchmark(system: System, seconds: float) -> Solved:
    """Solve it for at least so many seconds, and MIN_SOLVES times. Raises LinpackError."""
    system.solve()  # untimed: loads code and memory, raises the clock frequency
    times: list[float] = []
    residual = 0.0
    while len(times) < MIN_SOLVES or (sum(times) < seconds and len(times) < MAX_SOLVES):
        took, left = system.solve()
        times.append(took)
        residual = max(residual, left)
    return Solved(system.n, tuple(times), residual, time.process_time(), library())


def chosen(most: int, seconds: float, make: Callable[[int], System] = System) -> int:
    """The size, up to ``most`` unknowns, of which MIN_SOLVES take no more than ``seconds``, as its half tells."""
    n = min(FIRST, most)
    while 2 * n <= most:
        system = make(n)
        system.solve()
        if 8 * MIN_SOLVES * min(system.solve()[0] for _ in range(MIN_SOLVES)) > seconds:
            break
        n *= 2
    return n


def scaled_residual(matrix: Array, solution: Array, right: Array) -> float:
    """HPL's check: ‖Ax−b‖∞ / (ε (‖A‖∞ ‖x‖∞ + ‖b‖∞) n), where ε is the unit round-off 2⁻⁵³."""
    error = np.abs(matrix @ solution - right).max()
    norm = np.abs(matrix).sum(axis=1).max() * np.abs(solution).max() + np.abs(right).max()
    return float(error / (np.finfo(np.float64).eps / 2 * norm * len(right)))


def library() -> Library:
    """What computes here."""
    return Library(*library_versions(), blas_in_use())


def _checked(residual: float) -> float:
    if not residual < RESIDUAL_LIMIT:  # so that NaN fails too
        raise LinpackError(f"the solution is wrong: scaled residual {residual:g}, allowed {RESIDUAL_LIMIT:g}")
    return residual


def _say(value: msgspec.Struct) -> None:
    _line(msgspec.json.encode(value))


def _line(data: bytes) -> None:
    sys.stdout.buffer.write(data + b"\n")
    sys.stdout.buffer.flush()
