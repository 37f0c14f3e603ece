"""What the benchmark is told, what it says, and the record that is made of it: values only, quick to import."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated

import msgspec

from rjs.errors import RjsError

RESIDUAL_LIMIT = 16.0
"""HPL's threshold for the scaled residual; a correct solver stays below 0.1."""
READY = b"ready"
"""The line of a process that waits for the others."""

Speed = Annotated[float, msgspec.Meta(gt=0, lt=1e12)]
Seconds = Annotated[float, msgspec.Meta(gt=0, lt=1e6)]
Residual = Annotated[float, msgspec.Meta(ge=0, lt=RESIDUAL_LIMIT)]


class LinpackError(RjsError):
    """The benchmark failed or computed wrongly: this machine should not run other people's jobs."""


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a process shall solve: systems of so many unknowns, each for at least ``seconds``. ``may_be_less``: of
    fewer, where the machine is too slow for as many. ``together``: once the others are ready. No size: it shall only
    say what computes there."""

    sizes: tuple[int, ...] = ()
    seconds: float = 0.0
    may_be_less: bool = False
    together: bool = False


class Library(msgspec.Struct, frozen=True):
    """What computes. ``blas``: the libraries that were loaded, and what they say of themselves."""

    numpy_version: str
    python_version: str
    blas: str


class Solved(msgspec.Struct, frozen=True):
    """What one process says of one size: seconds of each solve, the largest scaled residual, and the processor time
    that the process has used so far."""

    n: Annotated[int, msgspec.Meta(ge=1)]
    times: Annotated[tuple[Seconds, ...], msgspec.Meta(min_length=1)]
    residual: Residual
    cpu_seconds: float
    library: Library


class LinpackRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One measurement and what it depends on. Speeds are in MFLOPS."""

    n: int
    solves: int
    median_mflops: Speed
    """Of one thread: the figure that ranks this machine."""
    best_mflops: Speed
    spread: Annotated[float, msgspec.Meta(ge=0)]
    """Between the slowest and the quickest solve, as a share of the median."""
    residual: Residual
    """The largest scaled residual of all solves."""
    all_cores_mflops: Speed | None
    """Of as many processes at once as there are cores, summed up; None: not measured yet."""
    used_by_others: Annotated[float, msgspec.Meta(ge=0, le=1)]
    """The share of the machine's cores that others used meanwhile: above a little the figures are too low."""
    date: str
    """UTC, ISO 8601."""
    cores: int
    cpu_model: str
    numpy_version: str
    python_version: str
    blas: str
    """The BLAS that was loaded, and its kernels: they matter more than the processor."""


def mflops(n: int, seconds: float) -> float:
    """Speed of one solve: LINPACK's (2/3 n³ + 2 n²) operations in ``seconds``, in 10⁶ a second."""
    return (2 / 3 * n**3 + 2 * n**2) / seconds / 1e6


def library_versions() -> tuple[str, str]:
    """Numpy's version and Python's, without loading numpy."""
    return metadata.version("numpy"), platform.python_version()
