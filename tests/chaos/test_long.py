"""A cluster under faults for ten minutes keeps every promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import Plan, run

pytestmark = [pytest.mark.integration, pytest.mark.long]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [11, 12])
def test_ten_minutes_of_faults(tmp_path: Path, seed: int) -> None:
    """Long enough for cuts that outlive the lease of a LUS: nothing is lost, doubled or wrong."""
    report = run(tmp_path / "r", Plan(seed=seed, seconds=600, tasks=3_000))
    told = [f"{what}: {amount}" for what, amount in report.lines()]
    assert not report.violations, "\n".join([*told, *map(str, report.violations)])
    assert report.ends["committed"] > 2_000
