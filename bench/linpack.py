"""The Linpack figure beside HPL with the same BLAS kernels, in one run, on one core.

    python bench/linpack.py --runs 10

HPL is the one in Debian's ``hpcc``. Its calls of CBLAS go to the very library that numpy brings (OpenBLAS with 64-bit
integers and names of its own), through nine functions that are compiled here and loaded before any other: so both
sides have the same kernels, chosen by the same code. HPL solves systems of the size that the figure is of, three
times, and one of twice that size, in several block sizes; the best block size counts, by its median. The figure is
what ``rjs benchmark`` prints, the median of one core: ``--runs`` times, half before HPL and half after. ``hpcc``
insists on its other tests too, for half a minute.

Wants a quiet machine, and says how much of it others used.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

import attrs

from cs.linpack import N, measure
from cs.linpack_processes import ONE_THREAD
from cs.linpack_values import RESIDUAL_LIMIT, LinpackRecord
from cs.machine_load import cpu_time, used_by_others
from rjs.cli.console import print_table, progress, say

NEED = (Path(__file__).parent.parent / ".ci" / "need", "hpcc=hpcc", "cc=gcc")
PATIENCE = 600
"""Seconds until hpcc is given up."""
BLOCKS = (64, 128, 192, 256)

SIGNATURES = {
    "daxpy": "n a x i y i", "dcopy": "n x i y i", "dscal": "n a y i", "idamax": "n x i",
    "dgemv": "f f n n a x i x i a y i", "dger": "f n n a x i x i y i", "dtrsv": "f f f f n x i y i",
    "dgemm": "f f f n n n a x i x i a y i", "dtrsm": "f f f f f n n a x i y i",
}  # fmt: skip
"""What HPL calls, and of what kind its arguments are: flag, number, increment, factor, read or written numbers."""
KINDS = {"f": "int", "n": "int", "i": "int", "a": "double", "x": "const double *", "y": "double *"}
"""In CBLAS with 32-bit integers."""


@attrs.frozen
class Solved:
    """One line of HPL's output: unknowns, block size, MFLOPS, scaled residual."""

    n: int
    block: int
    mflops: float
    residual: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The Linpack figure beside HPL with the same kernels.")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    subprocess.run(NEED, check=True)
    before, own = cpu_time(), os.times()
    with progress("runs of the figure", given.runs) as tell:
        records = [_run(tell, number) for number in range(1, given.runs // 2 + 1)]
        solved = hpl(records[0].n if records else N)
        records += [_run(tell, number) for number in range(given.runs // 2 + 1, given.runs + 1)]
    used = os.times()
    share = used_by_others(before, cpu_time(), sum(used[:4]) - sum(own[:4]))
    report(records, solved, share, given.json)


def _run(tell: Callable[[int], None], number: int) -> LinpackRecord:
    record = measure()
    tell(number)
    return record


def report(records: Sequence[LinpackRecord], solved: Sequence[Solved], share: float, as_json: bool) -> None:
    """The table, or all of it as JSON."""
    figures = [each.median_mflops for each in records]
    median, n = statistics.median(figures), records[0].n
    same, twice = best_block(solved, n), best_block(solved, 2 * n)
    spread = (max(figures) - min(figures)) / median
    if as_json:
        both = {"rjs": figures, "hpl": [attrs.asdict(each) for each in solved]}
        facts = {
            "of_hpl": median / same,
            "spread": spread,
            "used_by_others": share,
            "blas": records[0].blas,
        }
        sys.stdout.write(json.dumps(both | facts, indent=2) + "\n")
        return
    rows: list[list[str | int]] = [
        [f"rjs benchmark, median of {len(figures)} runs", n, round(median), "100%"],
        ["HPL, best block size", n, round(same), f"{median / same:.0%}"],
        ["HPL, best block size", 2 * n, round(twice), f"{median / twice:.0%}"],
    ]
    print_table(["ONE CORE", "N", "MFLOPS", "RJS IS"], rows)
    say(f"{len(figures)} runs differ by {spread:.1%} of their median, from slowest to quickest")
    say(f"largest scaled residuals: {max(each.residual for each in records):.4f} and "
        f"{max(each.residual for each in solved):.4f} (HPL), {RESIDUAL_LIMIT:.0f} is the limit")  # fmt: skip
    say(f"others used {share:.0%} of the cores; both computed with {records[0].blas}")


def hpl(n: int) -> list[Solved]:
    """What HPL says of ``n`` unknowns, three times, and of ``2 n``, on one core. Raises RuntimeError where a solution
    is wrong."""
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as name:
        folder = Path(name)
        (folder / "hpccinf.txt").write_text(settings((n, n, n, 2 * n)))
        preload = forwarding(folder)
        environment = {"PATH": os.environ["PATH"], "HOME": name, "LD_PRELOAD": str(preload), **ONE_THREAD}
        subprocess.run(
            ["hpcc"], cwd=folder, env=environment, check=True, timeout=PATIENCE, capture_output=True
        )
        return read_output((folder / "hpccoutf.txt").read_text())


def best_block(solved: Sequence[Solved], n: int) -> float:
    """MFLOPS of this size in the block size that is best for it, the median."""
    of_block: dict[int, list[float]] = {}
    for each in solved:
        if each.n == n:
            of_block.setdefault(each.block, []).append(each.mflops)
    return max(statistics.median(found) for found in of_block.values())


def settings(sizes: Sequence[int]) -> str:
    """HPL's input file, whose meaning is in the numbers of its lines."""
    lines = [
        "HPLinpack benchmark input file", "", "HPL.out", "8 device out",
        f"{len(sizes)} # of problems sizes (N)", " ".join(map(str, sizes)),
        f"{len(BLOCKS)} # of NBs", " ".join(map(str, BLOCKS)), "0 PMAP", "1 # of process grids", "1 Ps", "1 Qs",
        f"{RESIDUAL_LIMIT} threshold", "1 # of panel fact", "2 PFACTs", "1 # of recursive stopping criterium",
        "4 NBMINs", "1 # of panels in recursion", "2 NDIVs", "1 # of recursive panel fact.", "1 RFACTs",
        "1 # of broadcast", "0 BCASTs", "1 # of lookahead depth", "0 DEPTHs", "2 SWAP", "64 swapping threshold",
        "0 L1", "0 U", "1 Equilibration", "8 memory alignment", "# nothing more for PTRANS", "0", "0", "0", "0",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def read_output(text: str) -> list[Solved]:
    """The results in ``hpccoutf.txt``. Raises RuntimeError where there is none, or one did not pass."""
    results = re.findall(r"^W\w+ +(\d+) +(\d+) +\d+ +\d+ +\S+ +(\S+)$", text, re.MULTILINE)
    checks = re.findall(r"^\|\|Ax-b\|\|.*= *(\S+) \.+ (\w+)$", text, re.MULTILINE)
    if not results or len(results) != len(checks) or any(verdict != "PASSED" for _, verdict in checks):
        raise RuntimeError(f"HPL did not solve what it was given:\n{text[-2000:]}")
    return [
        Solved(int(n), int(block), 1000 * float(gflops), float(residual))
        for (n, block, gflops), (residual, _) in zip(results, checks, strict=True)
    ]


def forwarding(folder: Path) -> Path:
    """A library whose CBLAS functions call those of numpy's own OpenBLAS."""
    library, prefix, suffix = numpys_openblas()
    source = folder / "forward.c"
    source.write_text(
        "#include <stdint.h>\n" + "".join(_forward(name, prefix, suffix) for name in SIGNATURES)
    )
    built = folder / "libforward.so"
    subprocess.run(
        ["cc", "-O2", "-shared", "-fPIC", "-o", built, source, library, f"-Wl,-rpath,{library.parent}"],
        check=True,
    )
    return built


def numpys_openblas() -> tuple[Path, str, str]:
    """The file in numpy's wheel, and what it puts before and after each name. Raises RuntimeError where numpy brings
    none."""
    for file in metadata.files("numpy") or ():
        if file.name.startswith("libscipy_openblas64_") and ".so" in file.name:
            return Path(str(file.locate())).resolve(), "scipy_", "64_"
    raise RuntimeError(
        "this numpy brings no OpenBLAS of its own; install its wheel to compare the same kernels"
    )


def _forward(name: str, prefix: str, suffix: str) -> str:
    kinds = SIGNATURES[name].split()
    narrow = ", ".join(f"{KINDS[kind]} v{at}" for at, kind in enumerate(kinds))
    wide = ", ".join("int64_t" if kind in "ni" else KINDS[kind] for kind in kinds)
    values = ", ".join(f"v{at}" for at in range(len(kinds)))
    result, wide_result = ("int", "int64_t") if name == "idamax" else ("void", "void")
    call = f"{prefix}cblas_{name}{suffix}"
    give = "return (int)" if name == "idamax" else ""
    return f"{wide_result} {call}({wide});\n{result} cblas_{name}({narrow}) {{ {give}{call}({values}); }}\n"


if __name__ == "__main__":
    main()
