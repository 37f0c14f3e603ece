"""How fast this machine solves dense linear systems: the figure that orders compute servers, measured and cached.

The benchmark itself (``cs.linpack_solver``) runs in a short-lived process of its own with one thread: the server
never loads numpy, whose threads must not exist where processes start.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import msgspec
from twisted.logger import Logger

from rjs.child_python import module_argv
from rjs.errors import RefusedError, RjsError
from rjs.files import read_small, write_atomically
from rjs.limits import KIB

_log = Logger("cs.linpack")

RESIDUAL_LIMIT = 16.0
"""HPL's threshold for the scaled residual; a correct solver stays below 0.1."""
TIMEOUT = 60.0
"""Seconds until a measurement is given up: a machine that slow, or that busy, should not compute."""
CACHE_NAME = "linpack.json"
CACHE_FILE = 16 * KIB
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""The environment of the benchmark: whichever BLAS numpy was built with, threads would only hinder each other on a
busy desktop."""

Speed = Annotated[float, msgspec.Meta(gt=0, lt=1e12)]


class LinpackError(RjsError):
    """The benchmark failed or computed wrongly: this machine should not run other people's jobs."""


class LinpackRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One measurement and what it depends on. Speeds are MFLOPS of one thread."""

    n: int
    solves: int
    median_mflops: Speed
    best_mflops: Speed
    residual: Annotated[float, msgspec.Meta(ge=0, lt=RESIDUAL_LIMIT)]
    """The largest scaled residual of all solves."""
    date: str
    """UTC, ISO 8601."""
    cpu_model: str
    numpy_version: str
    blas: str
    """Name, version and build options of the BLAS that numpy was built with: it matters more than the processor."""
    python_version: str


class Surroundings(msgspec.Struct, frozen=True):
    """What a cached figure must agree with to count still."""

    cpu_model: str
    numpy_version: str
    python_version: str


def load_or_measure(folder: Path, measuring: Callable[[], LinpackRecord] | None = None) -> LinpackRecord:
    """The record cached in ``folder``, or a new one, cached there, when something that matters changed.

    Takes under 3 s when it measures: call before the reactor starts. A damaged cache counts as none, and the log says
    why. Raises LinpackError when measuring fails, OSError when the folder cannot be written.
    """
    path = folder / CACHE_NAME
    record = _cached(path)
    if record is not None:
        return record
    record = (measuring or measure)()
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    return record


def _cached(path: Path) -> LinpackRecord | None:
    try:
        record = msgspec.json.decode(read_small(path, CACHE_FILE), type=LinpackRecord)
    except FileNotFoundError:
        return None
    except (OSError, RefusedError, msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warn("{path} is ignored and will be measured again: {error}", path=str(path), error=error)
        return None
    here = surroundings()
    then = Surroundings(record.cpu_model, record.numpy_version, record.python_version)
    if then != here:
        _log.info("measuring again: {then} became {here}", then=then, here=here)
        return None
    return record


def measure() -> LinpackRecord:
    """Run the benchmark in a process of its own, with one thread. Raises LinpackError; takes under 3 s."""
    try:
        done = subprocess.run(
            module_argv("cs.linpack_solver"), env=ONE_THREAD, capture_output=True, timeout=TIMEOUT, check=True
        )
        return msgspec.json.decode(done.stdout, type=LinpackRecord)
    except subprocess.TimeoutExpired as error:
        raise LinpackError(f"the benchmark did not end in {TIMEOUT:.0f} seconds") from error
    except subprocess.CalledProcessError as error:
        tail = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise LinpackError(f"the benchmark failed: {''.join(tail) or error}") from error
    except msgspec.DecodeError as error:
        raise LinpackError(f"the benchmark's result is not credible: {error}") from error


def surroundings() -> Surroundings:
    """Processor, numpy and Python of this machine, without loading numpy."""
    return Surroundings(cpu_model(), metadata.version("numpy"), platform.python_version())


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as the kernel gives it, else the architecture's."""
    try:
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model", "cpu model") and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
