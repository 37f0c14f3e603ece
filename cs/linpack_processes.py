"""The benchmark's processes: one alone, or one for each core, which start to solve at the same moment.

They block the caller for as long as they run, TIMEOUT at most, and none of them is left.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from threading import Timer
from typing import TypeVar

import msgspec

from cs.linpack_values import READY, Library, LinpackError, Order, Solved
from rjs.child_python import module_argv

TIMEOUT = 60.0
"""Seconds until a measurement is given up: a machine that slow, or that busy, should not compute."""
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""The environment of the benchmark: whichever BLAS numpy was built with, threads would only hinder each other on a
busy desktop."""

Child = subprocess.Popen[bytes]
Said = TypeVar("Said", Library, Solved)


def ask_library() -> Library:
    """What would compute. Raises LinpackError."""
    with _started(Order(), 1) as (child,):
        return _said(child, Library)


def solve_alone(order: Order) -> Iterator[Solved]:
    """Each size of the order, as it is solved. Raises LinpackError."""
    with _started(order, 1) as (child,):
        for _ in order.sizes:
            yield _said(child, Solved)


def solve_together(n: int, seconds: float, processes: int) -> list[Solved]:
    """The same system in so many processes at once. Raises LinpackError."""
    with _started(Order((n,), seconds, together=True), processes) as children:
        for child in children:
            _wait_until_ready(child)
        for child in children:
            _let_go(child)
        return [_said(child, Solved) for child in children]


@contextlib.contextmanager
def _started(order: Order, processes: int) -> Iterator[list[Child]]:
    children: list[Child] = []
    given_up = Timer(TIMEOUT, _kill, (children,))
    given_up.daemon = True
    try:
        given_up.start()
        for _ in range(processes):
            children.append(_start(order))
        yield children
    finally:
        given_up.cancel()
        _kill(children)
        for child in children:
            child.communicate()


def _start(order: Order) -> Child:
    argv = module_argv("cs.linpack_solver", msgspec.json.encode(order).decode())
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, env=ONE_THREAD, stdin=pipe, stdout=pipe, stderr=pipe)


def _kill(children: list[Child]) -> None:
    for child in tuple(children):
        child.kill()


def _wait_until_ready(child: Child) -> None:
    if _line(child).strip() != READY:
        raise LinpackError("the benchmark's result is not credible: it did not wait for the others")


def _let_go(child: Child) -> None:
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it failed, and says why where it should say what it solved
        child.stdin.write(b"\n")
        child.stdin.flush()


def _said(child: Child, kind: type[Said]) -> Said:
    try:
        return msgspec.json.decode(_line(child), type=kind)
    except msgspec.DecodeError as error:
        raise LinpackError(f"the benchmark's result is not credible: {error}") from error


def _line(child: Child) -> bytes:
    """Its next line. Raises LinpackError when it ended instead."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if line:
        return line
    _, complaint = child.communicate()
    if child.returncode < 0:
        raise LinpackError(f"the benchmark did not end in {TIMEOUT:.0f} seconds, or was killed")
    tail = complaint.decode(errors="replace").strip().splitlines()[-1:]
    raise LinpackError(f"the benchmark failed: {''.join(tail) or f'status {child.returncode}'}")
