"""A cluster under faults for a minute keeps every promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign import Plan, run

pytestmark = pytest.mark.integration

SEED = 1


@pytest.mark.timeout(420)
def test_a_minute_of_faults(tmp_path: Path) -> None:
    """Machines die, sleep, lose cables, disks and clocks while jobs flow: nothing is lost, doubled or wrong."""
    report = run(tmp_path / "r", Plan(seed=SEED, seconds=60, tasks=150))
    told = [f"{what}: {amount}" for what, amount in report.lines()]
    assert not report.violations, "\n".join([*told, *map(str, report.violations)])
    assert len(report.faults) >= 6
    assert report.ends["committed"] > 100
