"""How fast this machine solves dense linear systems: the figure that orders compute servers, measured and cached.

The benchmark itself (``cs.linpack_solver``) runs in short-lived processes of its own, of one thread each: the server
never loads numpy, whose threads must not exist where processes start.

**Which figure ranks**: the median of one thread, for a compute server runs one task at a time, and most tasks have
one thread. A compute server that starts takes the short figure; the whole one, on one core and on all at once, is
taken when the machine is quiet (``cs.speed_keeper``).
"""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from twisted.logger import Logger

from cs.linpack_processes import ask_library, solve_alone, solve_together
from cs.linpack_values import Library, LinpackRecord, Order, Solved, mflops
from cs.machine_load import CpuTime, cpu_time, used_by_others
from cs.offer import cores_of_machine, memory_of_machine
from rjs.errors import RefusedError
from rjs.files import read_small, write_atomically
from rjs.limits import KIB

_log = Logger("cs.linpack")

N = 2000
"""Unknowns of the whole measurement: with the matrix (32 MB) out of the caches' reach, OpenBLAS was within a few
percent of what it does with 4000. Slower machines solve 1000 or 500."""
PHASE = 0.6
"""Seconds of solving on one core, and then on all: both with their start take less than 3 s."""
SHORT_N = 1000
SHORT = 0.3
"""Unknowns, and seconds of solving, of the figure that a compute server starts with."""
QUIET = 0.1
"""The share of all cores that others may use while a figure is measured that shall stay."""
MEMORY_SHARE = 8
"""The processes together take no more than this part of the machine's memory: it is its owner's."""
CACHE_NAME = "linpack.json"
CACHE_FILE = 16 * KIB

Tell = Callable[[int], object]
"""Hears how many steps are done."""


class Surroundings(msgspec.Struct, frozen=True):
    """What a cached figure must agree with to count still."""

    cpu_model: str
    cores: int
    library: Library


def load_or_measure(
    folder: Path,
    measuring: Callable[[], LinpackRecord] | None = None,
    here: Callable[[], Surroundings] | None = None,
) -> LinpackRecord:
    """The record cached in ``folder``, or the short figure, cached there, when something that matters changed.

    Takes about a second when it measures: call before the reactor starts. A damaged cache, or an older release's,
    counts as none, and the log says why. Raises LinpackError when measuring fails, OSError when the folder cannot be
    written.
    """
    record = _cached(folder / CACHE_NAME, here or surroundings)
    if record is None:
        record = (measuring or measure_shortly)()
        keep(folder, record)
    return record


def keep(folder: Path, record: LinpackRecord) -> None:
    """Cache it. Raises OSError."""
    write_atomically(folder / CACHE_NAME, msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def is_provisional(record: LinpackRecord) -> bool:
    """Whether it should be measured again when the machine is quiet."""
    return record.all_cores_mflops is None or record.used_by_others > QUIET


def _cached(path: Path, here: Callable[[], Surroundings]) -> LinpackRecord | None:
    try:
        record = msgspec.json.decode(read_small(path, CACHE_FILE), type=LinpackRecord)
    except FileNotFoundError:
        return None
    except (OSError, RefusedError, msgspec.DecodeError, UnicodeDecodeError) as error:
        _log.warn("{path} is ignored and will be measured again: {error}", path=str(path), error=error)
        return None
    library = Library(record.numpy_version, record.python_version, record.blas)
    then, now = Surroundings(record.cpu_model, record.cores, library), here()
    if then != now:
        _log.info("measuring again: {then} became {now}", then=then, now=now)
        return None
    return record


def measure(tell: Tell = lambda done: None) -> LinpackRecord:
    """The whole figure, in under 3 s on a quiet machine: on one core, then on all at once (two steps). Raises
    LinpackError."""
    cores, before = cores_of_machine(), cpu_time()
    (alone,) = solve_alone(Order((largest(N, cores, memory_of_machine()),), PHASE, may_be_less=True))
    tell(1)
    together = solve_together(alone.n, PHASE, cores)
    tell(2)
    return _record(alone, together, before)


def measure_shortly() -> LinpackRecord:
    """The figure of one thread alone, in about a second. Raises LinpackError."""
    before = cpu_time()
    (alone,) = solve_alone(Order((SHORT_N,), SHORT))
    return _record(alone, (), before)


def sweep(sizes: Sequence[int], tell: Tell = lambda done: None) -> Iterator[tuple[int, float]]:
    """Unknowns and the median MFLOPS of one thread, for each of these sizes: a step each. Raises LinpackError."""
    for done, solved in enumerate(solve_alone(Order(tuple(sizes), SHORT)), 1):
        tell(done)
        yield solved.n, mflops(solved.n, statistics.median(solved.times))


def largest(n: int, cores: int, memory: int) -> int:
    """``n`` unknowns, or half as many, and so on, so that a process for each core fits in a part of the memory."""
    while n > SHORT_N and cores * 3 * 8 * n * n > memory // MEMORY_SHARE:  # LAPACK copies what it factorises
        n //= 2
    return n


def _record(alone: Solved, together: Sequence[Solved], before: CpuTime | None) -> LinpackRecord:
    solved, median = (alone, *together), statistics.median(alone.times)
    speeds = [mflops(each.n, statistics.median(each.times)) for each in together]
    return LinpackRecord(
        n=alone.n,
        solves=len(alone.times),
        median_mflops=mflops(alone.n, median),
        best_mflops=mflops(alone.n, min(alone.times)),
        spread=(max(alone.times) - min(alone.times)) / median,
        residual=max(each.residual for each in solved),
        all_cores_mflops=sum(speeds) or None,
        used_by_others=used_by_others(before, cpu_time(), sum(each.cpu_seconds for each in solved)),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        cores=cores_of_machine(),
        cpu_model=cpu_model(),
        numpy_version=alone.library.numpy_version,
        python_version=alone.library.python_version,
        blas=alone.library.blas,
    )


def surroundings() -> Surroundings:
    """Of this machine now. A process is asked for the BLAS that it loads, which takes 0.2 s. Raises LinpackError."""
    return Surroundings(cpu_model(), cores_of_machine(), ask_library())


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
