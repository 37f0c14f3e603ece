"""``rjs benchmark``: its table, its JSON and its picture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cs.linpack_values import LinpackRecord
from rjs.cli import benchmark, chart

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

RECORD = LinpackRecord(
    n=1000, solves=7, median_mflops=40_000.4, best_mflops=42_000.0, spread=0.051, residual=0.0031,
    all_cores_mflops=76_000.0, used_by_others=0.02, date="2026-11-22T05:00:00+00:00", cores=2,
    cpu_model="Some CPU \x1b[31m", numpy_version="2.4.6", python_version="3.11.7", blas="libopenblas.so (SkylakeX)",
)  # fmt: skip


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[int]]:
    """The benchmark says RECORD, and of each size its square; the sizes that were asked for."""
    asked: list[Sequence[int]] = []

    def measure(tell: Callable[[int], object]) -> LinpackRecord:
        tell(1)
        tell(2)
        return RECORD

    def sweep(sizes: Sequence[int], tell: Callable[[int], object]) -> Iterator[tuple[int, float]]:
        asked.append(sizes)
        for done, n in enumerate(sizes, 1):
            tell(done)
            yield n, float(n * n)

    entries: dict[str, Any] = {"cs.benchmark": measure, "cs.benchmark_sizes": sweep}
    monkeypatch.setattr(benchmark, "role_entry", entries.__getitem__)
    return asked


def test_the_table_says_what_was_measured_and_with_what(rjs: Rjs, measured: object) -> None:
    """Per core and all cores, residual, spread, BLAS; what is done is told meanwhile, and nothing can act on a
    terminal."""
    said = rjs("benchmark")
    assert said.status == 0, said.err
    assert said.out.splitlines()[:4] == [
        "LINPACK                 MFLOPS  PER CORE",
        "one core alone, median   40000     40000",
        "one core alone, best     42000     42000",
        "all 2 cores at once      76000     38000",
    ]
    for word in ("n = 1000", "5.1%", "0.0031", "libopenblas.so (SkylakeX)", "2%", "Some CPU \\x1b[31m"):
        assert word in said.out
    assert said.err.splitlines() == ["one core, then all: 1 of 2", "one core, then all: 2 of 2"]


def test_a_busy_machine_is_told_of(rjs: Rjs, measured: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compares figures must know that this one is too low."""
    monkeypatch.setattr(benchmark, "DISTURBED", 0.01)
    assert "measure again" in rjs("benchmark").err


def test_the_picture_is_of_the_sizes_that_the_machine_can_solve(
    rjs: Rjs, measured: list[Sequence[int]], tmp_path: Path
) -> None:
    """A PNG of them, and the same numbers as JSON."""
    said = rjs("benchmark", "--json", "--plot", tmp_path / "speed.png")
    assert said.status == 0, said.err
    assert measured == [[100, 200, 300, 500, 750, 1000, 1500, 2000]]
    document = json.loads(said.out)
    assert document["sizes"][-1] == {"n": 2000, "mflops": 4e6}
    assert document["median_mflops"] == RECORD.median_mflops
    assert document["plot"] == str(tmp_path / "speed.png")
    with Image.open(tmp_path / "speed.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (chart.WIDTH, chart.HEIGHT))
    assert "sizes" not in json.loads(rjs("benchmark", "--json").out)


@pytest.mark.parametrize("name", ["speed.svg", "absent/speed.png"])
def test_a_picture_that_cannot_be_written_is_refused_before_the_work(
    rjs: Rjs, measured: list[Sequence[int]], tmp_path: Path, name: str
) -> None:
    """Nobody waits ten seconds for that."""
    said = rjs("benchmark", "--plot", tmp_path / name)
    assert said.status == 2
    assert "--plot" in said.err
    assert "1 of 2" not in said.err


@given(st.floats(1e-3, 1e9))
def test_ticks_are_round_and_reach_the_most(most: float) -> None:
    """Steps of 1, 2 or 5 times a power of ten, four to ten of them, from nought to at least the most and no step
    more."""
    found = chart.ticks(most)
    step = found[1]
    assert found[0] == 0
    assert found[-1] >= most * (1 - 1e-6)
    assert found[-1] - step < most
    assert 4 <= len(found) - 1 <= 10
    assert f"{step:.0e}"[0] in "125"


def test_a_chart_has_axes_labels_and_its_curve() -> None:
    """Each where it belongs: looked at by its colours."""
    image = chart.line_chart("title", "n", "MFLOPS", [(0.0, 0.0), (1000.0, 500.0), (500.0, 500.0)])

    def dark(box: tuple[int, int, int, int]) -> bool:
        return image.crop(box).convert("L").getextrema()[0] < 128  # type: ignore[operator]  # of one band: numbers

    right, bottom = chart.WIDTH - chart.RIGHT, chart.HEIGHT - chart.BOTTOM
    assert image.getpixel((chart.LEFT + (right - chart.LEFT) // 2, chart.TOP)) == chart.CURVE
    assert image.getpixel((chart.LEFT, (chart.TOP + bottom) // 2)) == chart.INK
    assert image.getpixel((right, (chart.TOP + bottom) // 2 + 7)) != chart.INK
    assert dark((0, chart.TOP + 50, chart.LEFT - 5, bottom))  # numbers beside the upper axis
    assert dark((chart.LEFT, bottom + 8, right, chart.HEIGHT - 40))
    assert dark((chart.LEFT, 0, right, chart.TOP - 10))
    assert dark((chart.LEFT, chart.HEIGHT - 35, right, chart.HEIGHT))
    assert not dark((0, chart.HEIGHT - 40, chart.LEFT, chart.HEIGHT))
