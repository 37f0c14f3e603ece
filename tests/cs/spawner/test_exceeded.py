"""The rule that says which limit an attempt is over."""

from __future__ import annotations

import pytest

from cs.spawner.messages import LimitHit, LimitName, Limits
from cs.spawner.usage import Usage, exceeded

_ALLOWED = Limits(memory=100, wall_time=10.0, output=50, processes=5)


def test_exactly_what_is_allowed_is_allowed() -> None:
    """A limit is the last value that is still good."""
    assert exceeded(_ALLOWED, Usage(wall_time=10.0, memory=100, output=50, processes=5)) is None


@pytest.mark.parametrize(
    ("usage", "name", "allowed", "measured"),
    [
        (Usage(wall_time=10.5), "wall_time", 10.0, 10.5),
        (Usage(memory=101), "memory", 100, 101),
        (Usage(output=51), "output", 50, 51),
        (Usage(processes=6), "processes", 5, 6),
        (Usage(wall_time=11, memory=101, output=51, processes=6), "processes", 5, 6),
        (Usage(wall_time=11, memory=101, output=51), "memory", 100, 101),
    ],
)
def test_the_limit_hit_is_named_with_its_figures(
    usage: Usage, name: LimitName, allowed: float, measured: float
) -> None:
    """One name, what was allowed, what was measured; a cause goes before its consequence."""
    assert exceeded(_ALLOWED, usage) == LimitHit(name, allowed, measured)
