"""``rjs benchmark``: the figure by which compute servers are ordered, measured here and now."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import json_option, print_json, print_table, progress, say
from rjs.cli.group import role_entry

if TYPE_CHECKING:
    from PIL.Image import Image

SIZES = (100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 4000)
"""Unknowns of the systems in the picture, up to twice as many as this machine solves well in the time."""

DISTURBED = 0.1
"""The share of the cores that others use from which on a figure is not to be believed."""

Points = list[tuple[int, float]]


@click.command("benchmark")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.png",
              help="Draw MFLOPS over n, which takes some ten seconds more.")  # fmt: skip
@json_option
def command(plot: Path | None, as_json: bool) -> None:
    """Measure this machine's speed with Linpack.

    Solves dense linear systems on one core and then on all cores at once, a process each, checks the results as HPL
    does, and takes about three seconds. Compute servers are ordered by the median of one core. Nothing is kept: a
    compute server measures for itself when its machine is quiet.

    \b
    Example:
      rjs benchmark
      rjs benchmark --json
      rjs benchmark --plot speed.png
    """
    import msgspec

    _check_place(plot)
    with progress("one core, then all", 2) as tell:
        record = msgspec.to_builtins(role_entry("cs.benchmark")(tell))
    points = _points(record["n"]) if plot is not None else []
    if plot is not None:
        _picture(record, points).save(plot, "PNG")
    if as_json:
        drawn = {"sizes": [{"n": n, "mflops": speed} for n, speed in points], "plot": plot}
        print_json(record | (drawn if plot is not None else {}))
    else:
        _tell(record, plot)


def _check_place(plot: Path | None) -> None:
    """Refuse before the work what would only be refused after it."""
    if plot is None:
        return
    if plot.suffix.lower() != ".png":
        raise click.UsageError(f"--plot {plot}: the picture is a PNG; name a file that ends in .png")
    if not os.access(plot.resolve().parent, os.W_OK):
        raise click.UsageError(f"--plot {plot}: no folder that you may write to")


def _points(n: int) -> Points:
    sizes = [size for size in SIZES if size <= 2 * n]
    with progress("sizes", len(sizes)) as tell:
        return list(role_entry("cs.benchmark_sizes")(sizes, tell))


def _picture(record: Mapping[str, Any], points: Points) -> Image:
    from rjs.cli.chart import line_chart

    title = f"Linpack on one core of {record['cpu_model'][:60]}"
    return line_chart(title, "unknowns n of the dense system", "MFLOPS", points)


def _tell(record: Mapping[str, Any], plot: Path | None) -> None:
    cores, together = record["cores"], record["all_cores_mflops"]
    rows = [
        ["one core alone, median", round(record["median_mflops"]), round(record["median_mflops"])],
        ["one core alone, best", round(record["best_mflops"]), round(record["best_mflops"])],
        [f"all {cores} cores at once", round(together), round(together / cores)],
    ]
    print_table(["LINPACK", "MFLOPS", "PER CORE"], rows)
    click.echo()
    facts = {
        "solved": f"{record['solves']} times n = {record['n']} on one core, slowest to quickest"
                  f" {record['spread']:.1%} of the median",
        "residual": f"{record['residual']:.4f}, scaled as HPL does; 16 is its limit",
        "BLAS": record["blas"],
        "processor": record["cpu_model"],
        "numpy": f"{record['numpy_version']}, Python {record['python_version']}",
        "others used": f"{record['used_by_others']:.0%} of the cores meanwhile",
    }  # fmt: skip
    print_table(["WITH", ""], list(facts.items()))
    if record["used_by_others"] > DISTURBED:
        say("this machine was busy: the figures are too low; measure again when it is quiet")
    if plot is not None:
        say(f"MFLOPS over n: {plot}")
